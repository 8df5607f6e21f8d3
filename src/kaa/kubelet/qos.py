"""Quality of service: a pod's class, and how eagerly the kernel kills its containers when memory runs out. Pure."""

from kaa.api.objects import Object
from kaa.api.quantity import bytes_of, parse_quantity
from kaa.kubelet.pod_spec import app_containers, init_containers

QOS_RESOURCES = ("cpu", "memory")

GUARANTEED_OOM_SCORE = -997
BESTEFFORT_OOM_SCORE = 1000
NODE_CRITICAL_PRIORITY = 2_000_000_000
"""system-node-critical and above: killed last, as if guaranteed."""


def qos_class(pod: Object) -> str:
    """Guaranteed: every container has cpu and memory limits equal to its requests. BestEffort: none has any."""
    if whole := pod["spec"].get("resources"):
        return _class_of([whole])
    return _class_of([c.get("resources") or {} for c in (*init_containers(pod), *app_containers(pod))])


def _class_of(resources: list[Object]) -> str:
    amounts = [(_amounts(r.get("requests")), _amounts(r.get("limits"))) for r in resources]
    if not any(requests or limits for requests, limits in amounts):
        return "BestEffort"
    for requests, limits in amounts:
        if set(limits) != set(QOS_RESOURCES) or (limits | requests) != limits:
            return "Burstable"
    return "Guaranteed"


def _amounts(quantities: Object | None) -> dict[str, object]:
    parsed = {name: parse_quantity((quantities or {}).get(name, 0)) for name in QOS_RESOURCES}
    return {name: amount for name, amount in parsed.items() if amount}


def oom_score_adj(pod: Object, container: Object, memory_capacity_bytes: int) -> int:
    """For burstable pods: the less of the node's memory is requested, the sooner it is killed (2..999)."""
    if (pod["spec"].get("priority") or 0) >= NODE_CRITICAL_PRIORITY:
        return GUARANTEED_OOM_SCORE
    match qos_class(pod):
        case "Guaranteed":
            return GUARANTEED_OOM_SCORE
        case "BestEffort":
            return BESTEFFORT_OOM_SCORE
        case _:
            requests = (container.get("resources") or {}).get("requests") or {}
            requested = bytes_of(requests.get("memory", 0))
            score = 1000 - 1000 * requested // max(memory_capacity_bytes, 1)
            # Above a guaranteed pod's and below a best-effort one's, whatever is requested.
            return int(min(max(score, 1000 + GUARANTEED_OOM_SCORE), BESTEFFORT_OOM_SCORE - 1))
