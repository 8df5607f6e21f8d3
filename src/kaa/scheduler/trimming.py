"""What the informer keeps of pods that have a node: what the scheduler looks at, a sixth of the object.

There may be 150,000 of them. Pods without a node are kept whole: extenders and reports need them.
"""

from kaa.api.objects import Object
from kaa.scheduler.pod_info import SHAPE_FIELDS, decisive_volumes

METADATA = (
    *("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"),
    *("labels", "ownerReferences"),
)
SPEC = (*SHAPE_FIELDS, "nodeName", "schedulingGates")
STATUS = ("phase", "startTime", "nominatedNodeName")
CONTAINER = ("name", "image", "resources", "ports", "restartPolicy")


def trimmed(pod: Object) -> Object:
    """Of the same shape as the whole pod."""
    spec = pod["spec"]
    if not spec.get("nodeName"):
        return pod
    kept = _only(spec, SPEC)
    for kind in ("containers", "initContainers"):
        if kind in spec:
            kept[kind] = [_only(container, CONTAINER) for container in spec[kind]]
    if volumes := list(decisive_volumes(spec)):
        kept["volumes"] = volumes
    return {
        "apiVersion": pod["apiVersion"],
        "kind": pod["kind"],
        "metadata": _only(pod["metadata"], METADATA),
        "spec": kept,
        "status": _only(pod.get("status") or {}, STATUS),
    }


def _only(obj: Object, fields: tuple[str, ...]) -> Object:
    return {field: obj[field] for field in fields if field in obj}
