"""DefaultTolerationSeconds: a pod stays five minutes on a node that has gone quiet, unless it says otherwise."""

from kaa.api.objects import Object
from kaa.server.admission.plugin import CREATE, POD, UPDATE, Context, Plugin, spec_of
from kaa.server.request import AdmissionRequest

TOLERATION_SECONDS = 300
KEYS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


async def tolerate_quiet_nodes(request: AdmissionRequest, context: Context) -> None:
    spec = spec_of(request)
    tolerations = spec.get("tolerations") or []
    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS}
        for key in KEYS
        if not any(_speaks_of(toleration, key) for toleration in tolerations)
    ]
    if added:
        spec["tolerations"] = [*tolerations, *added]


def _speaks_of(toleration: Object, key: str) -> bool:
    """An empty key or effect means every one."""
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")


DEFAULT_TOLERATION_SECONDS = Plugin(
    name="DefaultTolerationSeconds",
    kinds=POD,
    operations=frozenset({CREATE, UPDATE}),
    mutate=tolerate_quiet_nodes,
)
