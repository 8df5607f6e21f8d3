"""PodSecurity: a namespace's labels say which Pod Security Standard its pods must keep, and what happens otherwise.

`pod-security.kubernetes.io/enforce` refuses pods, `warn` warns whoever writes them (also through a workload's
template), `audit` is for the audit log. Levels: privileged (anything goes), baseline, restricted. The checks
themselves are in `pod_standards.py`.
"""

from kaa.api.objects import Object, labels_of
from kaa.server.admission.plugin import CREATE, UPDATE, Context, Plugin, created, refused
from kaa.server.admission.pod_standards import LEVELS, violations
from kaa.server.request import AdmissionRequest

LABEL_PREFIX = "pod-security.kubernetes.io/"
PRIVILEGED = "privileged"

TEMPLATES = frozenset(
    {
        ("", "PodTemplate"),
        ("", "ReplicationController"),
        ("apps", "ReplicaSet"),
        ("apps", "Deployment"),
        ("apps", "DaemonSet"),
        ("apps", "StatefulSet"),
        ("batch", "Job"),
        ("batch", "CronJob"),
    }
)


async def check_pod_security(request: AdmissionRequest, context: Context) -> None:
    obj = created(request)
    namespace = context.reader.get("Namespace", request.attributes.namespace) or {"metadata": {}}
    spec = pod_spec_in(obj, request.resource.kind)
    if spec is None or (request.old is not None and pod_spec_in(request.old, request.resource.kind) == spec):
        return
    is_pod = request.resource.kind == "Pod"
    if is_pod and (found := _violations(namespace, "enforce", spec)):
        raise refused(request, f"violates PodSecurity {found}")
    if warning := _violations(namespace, "warn", spec):
        request.warnings.append(f"would violate PodSecurity {warning}")


def pod_spec_in(obj: Object, kind: str) -> Object | None:
    """The pod spec of a pod or a template; None if it is missing, which validation refuses."""
    paths = {"Pod": ("spec",), "PodTemplate": ("template", "spec")}
    paths["CronJob"] = ("spec", "jobTemplate", "spec", "template", "spec")
    found: Object | None = obj
    for field in paths.get(kind, ("spec", "template", "spec")):
        found = (found or {}).get(field)
    return found


def _violations(namespace: Object, mode: str, spec: Object) -> str:
    """`"restricted:latest": privileged (...), ...`, "" when the pod keeps to the mode's level."""
    level = labels_of(namespace).get(LABEL_PREFIX + mode, PRIVILEGED)
    version = labels_of(namespace).get(f"{LABEL_PREFIX}{mode}-version", "latest")
    if level not in LEVELS:
        return ""
    found = violations(spec, level)
    return f'"{level}:{version}": {", ".join(found)}' if found else ""


POD_SECURITY = Plugin(
    name="PodSecurity",
    kinds=TEMPLATES | {("", "Pod")},
    operations=frozenset({CREATE, UPDATE}),
    subresources=frozenset({"", "ephemeralcontainers"}),
    validate=check_pod_security,
)
