"""Resizing a running pod in place: what of its new resources the node grants, and what that changes. Pure.

Terms: a container's resources are *desired* (its spec), *granted* (what this node has set aside for it, the older ones
until the newer fit), and *actual* (what the runtime was last told). The kubelet runs the granted pod. Requests that are
granted are on record in the status as allocatedResources, and resources are what is actual there, so a kubelet that
starts anew goes on from the status. A resource with the resizePolicy RestartContainer changes only with a restart.
"""

from collections.abc import Mapping

from kaa.api.objects import Object
from kaa.cri.cri import Message
from kaa.kubelet.resources import QUOTA_PERIOD_MICROSECONDS, container_limits, pod_resources

Resources = Mapping[str, Object]
"""ResourceRequirements by container name; a container without any has none to resize."""

NO_LIMIT = -1
"""CRI: take a limit away. (0 means: leave it as it is.)"""

FIELDS_OF = {"cpu": ("cpu_shares", "cpu_quota"), "memory": ("memory_limit_in_bytes",)}
"""What of CRI's LinuxContainerResources belongs to each resource that can be resized."""

LIMIT_FIELDS = ("cpu_quota", "memory_limit_in_bytes")


def desired_resources(pod: Object) -> dict[str, Object]:
    return {c["name"]: c.get("resources") or {} for kind in CONTAINER_FIELDS for c in pod["spec"].get(kind) or ()}


CONTAINER_FIELDS = ("initContainers", "containers")
STATUS_FIELDS = ("initContainerStatuses", "containerStatuses")


def recorded_resources(pod: Object) -> dict[str, Object]:
    """What the status says was granted, of containers that have run; what is desired, of the others."""
    recorded = desired_resources(pod)
    for status_field in STATUS_FIELDS:
        for status in (pod.get("status") or {}).get(status_field) or ():
            if "resources" in status and status["name"] in recorded:
                limits = status["resources"].get("limits")
                granted = {"requests": status.get("allocatedResources"), "limits": limits}
                recorded[status["name"]] = {key: value for key, value in granted.items() if value}
    return recorded


def with_resources(pod: Object, granted: Resources) -> Object:
    """The pod as the node runs it. Containers that nothing was granted to yet keep what they ask for."""
    if granted == desired_resources(pod):
        return pod
    spec = dict(pod["spec"])
    for kind in CONTAINER_FIELDS:
        if kind in spec:
            spec[kind] = [{**c, "resources": granted.get(c["name"], c.get("resources") or {})} for c in spec[kind]]
    return {**pod, "spec": spec}


def changes(container: Object, actual: Message) -> Message:
    """What the runtime must be told so that a running container has its resources; empty when it has them.

    A runtime that does not say what a container has is taken to have done as it was told.
    """
    if not actual:
        return {}
    wanted = container_limits(container)
    differing = [
        field for fields in FIELDS_OF.values() for field in fields if _value(wanted, field) != _value(actual, field)
    ]
    linux: Message = {field: wanted.get(field) or NO_LIMIT for field in differing}
    if "cpu_quota" in linux:
        linux["cpu_period"] = QUOTA_PERIOD_MICROSECONDS
    return linux


def _value(linux: Message, field: str) -> int:
    """0 stands for no limit, however it is written."""
    return max(int(linux.get(field) or 0), 0)


def needs_restart(container: Object, linux: Message) -> bool:
    """Whether the container says of a resource among these changes that it cannot take it while running."""
    policies = {p["resourceName"]: p["restartPolicy"] for p in container.get("resizePolicy") or ()}
    return any(
        policies.get(resource) == "RestartContainer" and any(field in linux for field in fields)
        for resource, fields in FIELDS_OF.items()
    )


def sandbox_resources(pod: Object) -> Message:
    """What the pod's own cgroup is given: every limit, or that there is none."""
    linux = pod_resources(pod)
    return linux | {field: linux.get(field) or NO_LIMIT for field in LIMIT_FIELDS}


def without_limits(linux: Message) -> Message:
    """The pod's cgroup while its containers change: what the new limits allow it may not have room for yet."""
    return linux | dict.fromkeys(LIMIT_FIELDS, NO_LIMIT)
