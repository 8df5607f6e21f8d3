"""What the informer keeps of pods that have a node: what the scheduler looks at, a sixth of the object.

There may be 150,000 of them. Pods without a node are kept whole: extenders and reports need them.
"""

from kaa.api.objects import Object
from kaa.scheduler.pod_info import RESIZE_PENDING, SHAPE_FIELDS, decisive_volumes, resized_specs

METADATA = (
    *("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"),
    *("labels", "ownerReferences"),
)
SPEC = (*SHAPE_FIELDS, "nodeName", "schedulingGates")
STATUS = ("phase", "startTime", "nominatedNodeName")
CONTAINER_STATUS = ("name", "allocatedResources", "resources")
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
        "status": _status(pod),
    }


def _status(pod: Object) -> Object:
    """With the containers' sizes only while they are not what the spec says."""
    status = pod.get("status") or {}
    kept = _only(status, STATUS)
    if resized_specs(pod):
        for field in ("containerStatuses", "initContainerStatuses"):
            if field in status:
                kept[field] = [_only(container, CONTAINER_STATUS) for container in status[field]]
        kept["conditions"] = [c for c in status.get("conditions") or () if c.get("type") == RESIZE_PENDING]
    return kept


def _only(obj: Object, fields: tuple[str, ...]) -> Object:
    return {field: obj[field] for field in fields if field in obj}
