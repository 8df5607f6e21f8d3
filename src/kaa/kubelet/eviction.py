"""Which pod to end when the node runs out of memory or disk. Pure.

First pods that use more than they requested, of them the one of lowest priority, of those the one furthest above its
request. Critical pods (priority of 2,000,000,000 and above) are never ended for it.
"""

from collections.abc import Iterable, Mapping

from kaa.api.objects import Object, uid_of
from kaa.kubelet.pod_spec import is_finished
from kaa.kubelet.qos import NODE_CRITICAL_PRIORITY
from kaa.kubelet.resources import pod_requests

CHECK_SECONDS = 10.0
RESOURCES = {"MemoryPressure": "memory", "DiskPressure": "ephemeral-storage"}
"""The resource that a pressure condition is about; pids are not evicted for."""


def victim(pods: Iterable[Object], usage: Mapping[str, int], resource: str) -> Object | None:
    """`usage` is in bytes by pod uid. None when no pod may be ended."""
    candidates = [
        pod
        for pod in pods
        if not is_finished(pod) and (pod["spec"].get("priority") or 0) < NODE_CRITICAL_PRIORITY and uid_of(pod) in usage
    ]

    def rank(pod: Object) -> tuple[bool, int, int]:
        above = usage[uid_of(pod)] - pod_requests(pod).get(resource, 0)
        return above <= 0, pod["spec"].get("priority") or 0, -above

    return min(candidates, key=rank, default=None)


def eviction_message(resource: str) -> str:
    return f"The node was low on resource: {resource}. "
