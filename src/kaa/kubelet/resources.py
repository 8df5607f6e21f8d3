"""Requests and limits as cgroup numbers, and what a whole pod asks of a node. Pure.

CPU shares are 1024 a core (at least 2), a quota is per 100 ms period (at least 1 ms). The formulas are upstream's:
the kernel sees the same numbers whichever kubelet runs the pod.
"""

from collections.abc import Iterable

from kaa.api.objects import Object
from kaa.api.quantity import bytes_of, cpu_millicores
from kaa.cri.cri import Message
from kaa.kubelet.pod_spec import app_containers, init_containers, is_sidecar
from kaa.kubelet.qos import oom_score_adj, qos_class

MIN_SHARES, MAX_SHARES, SHARES_PER_CPU = 2, 262144, 1024
QUOTA_PERIOD_MICROSECONDS = 100_000
MIN_QUOTA_MICROSECONDS = 1_000

Amounts = dict[str, int]
"""By resource name; cpu in millicores, all else in units (bytes)."""


def cpu_shares(millicores: int) -> int:
    if millicores == 0:
        return MIN_SHARES
    return min(max(millicores * SHARES_PER_CPU // 1000, MIN_SHARES), MAX_SHARES)


def cpu_quota(millicores: int) -> int:
    """Microseconds a period; 0 is no limit."""
    if millicores == 0:
        return 0
    return max(millicores * QUOTA_PERIOD_MICROSECONDS // 1000, MIN_QUOTA_MICROSECONDS)


def amount(name: str, quantity: str | int | float) -> int:
    return cpu_millicores(quantity) if name == "cpu" else bytes_of(quantity)


def amounts(quantities: Object | None) -> Amounts:
    return {name: amount(name, quantity) for name, quantity in (quantities or {}).items()}


def container_resources(pod: Object, container: Object, memory_capacity_bytes: int) -> Message:
    """CRI's LinuxContainerResources of one container."""
    return container_limits(container) | {"oom_score_adj": oom_score_adj(pod, container, memory_capacity_bytes)}


def container_limits(container: Object) -> Message:
    """Of these, what may change while the container runs."""
    resources = container.get("resources") or {}
    return _linux(amounts(resources.get("requests")), amounts(resources.get("limits")))


def pod_resources(pod: Object) -> Message:
    """CRI's LinuxContainerResources for the pod's own cgroup: the sums, limited only where every container is."""
    requests, limits = pod_requests(pod), pod_limits(pod)
    linux = _linux(requests, limits)
    if qos_class(pod) == "BestEffort":
        linux["cpu_shares"] = MIN_SHARES
    return linux


def _linux(requests: Amounts, limits: Amounts) -> Message:
    # A limit without a request counts as the request too.
    requested_cpu = requests.get("cpu", limits.get("cpu", 0))
    linux: Message = {"cpu_shares": cpu_shares(requested_cpu)}
    if limits.get("cpu"):
        linux |= {"cpu_period": QUOTA_PERIOD_MICROSECONDS, "cpu_quota": cpu_quota(limits["cpu"])}
    if limits.get("memory"):
        linux["memory_limit_in_bytes"] = limits["memory"]
    return linux


def pod_requests(pod: Object) -> Amounts:
    """What the scheduler counts: app containers and sidecars together, or an init container's step if that is more."""
    return _whole(pod, "requests")


def pod_limits(pod: Object) -> Amounts:
    """Of each resource that every container limits, the sum; of the others nothing."""
    limited = [set(amounts((c.get("resources") or {}).get("limits"))) for c in _long_running(pod)]
    common = set.intersection(*limited) if limited else set()
    whole = _whole(pod, "limits")
    return {name: whole[name] for name in whole if name in common or (pod["spec"].get("resources") or {}).get("limits")}


def _long_running(pod: Object) -> list[Object]:
    return [*app_containers(pod), *(c for c in init_containers(pod) if is_sidecar(c))]


def _whole(pod: Object, which: str) -> Amounts:
    total = _sum(amounts((c.get("resources") or {}).get(which)) for c in app_containers(pod))
    side: Amounts = {}
    peak: Amounts = {}
    for container in init_containers(pod):
        own = amounts((container.get("resources") or {}).get(which))
        step = _sum((side, own))
        if is_sidecar(container):
            side = step
        peak = {name: max(peak.get(name, 0), step.get(name, 0)) for name in peak | step}
    total = _sum((total, side))
    total = {name: max(total.get(name, 0), peak.get(name, 0)) for name in total | peak}
    total |= amounts((pod["spec"].get("resources") or {}).get(which))
    return _sum((total, amounts(pod["spec"].get("overhead"))))


def _sum(parts: Iterable[Amounts]) -> Amounts:
    total: Amounts = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0) + value
    return total
