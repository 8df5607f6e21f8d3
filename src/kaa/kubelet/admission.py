"""Whether this node takes a pod that was bound to it. Pure.

The scheduler has asked the same questions, but from a view that may be old, and pods with spec.nodeName set by hand
never met it. A pod that is refused fails at once with the reason, and is never run.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from kaa.api.objects import Object, labels_of
from kaa.kubelet.pod_spec import app_containers, sidecars
from kaa.kubelet.resources import Amounts, amounts, pod_requests


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason such as OutOfcpu or NodeAffinity, and what `kubectl describe` shows."""

    reason: str
    message: str


def refusal(pod: Object, node: Object, others: Iterable[Object]) -> Refusal | None:
    """None when the pod fits beside `others`, the pods that already count on the node."""
    selector = pod["spec"].get("nodeSelector") or {}
    labels = labels_of(node)
    if any(labels.get(key) != value for key, value in selector.items()):
        return Refusal(
            "NodeAffinity",
            "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        )
    rivals = list(others)
    if any(conflicts(port, taken) for port in host_ports(pod) for other in rivals for taken in host_ports(other)):
        return Refusal(
            "NodePorts",
            "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        )
    short = _shortage(pod, node, rivals)
    if short is None:
        return None
    return Refusal(f"OutOf{short.resource}", f"Pod was rejected: {short.among_others}")


def resize_refusal(pod: Object, node: Object, others: Iterable[Object]) -> Refusal | None:
    """Why a running pod cannot have the resources it asks for now: never on this node, or not beside the others."""
    if (short := _shortage(pod, node, [])) is not None:
        return Refusal("Infeasible", short.alone)
    if (short := _shortage(pod, node, list(others))) is not None:
        return Refusal("Deferred", short.among_others)
    return None


HostPort: TypeAlias = tuple[str, str, int]
"""Address ("" for all of the node), protocol, port."""


def host_ports(pod: Object) -> list[HostPort]:
    """The node's ports that the pod takes for as long as it runs."""
    return [
        ("" if port.get("hostIP", "") == "0.0.0.0" else port.get("hostIP", ""), port.get("protocol", "TCP"), number)
        for container in (*app_containers(pod), *sidecars(pod))
        for port in container.get("ports") or ()
        if (number := port.get("hostPort", 0))
    ]


def conflicts(one: HostPort, other: HostPort) -> bool:
    return one[1:] == other[1:] and (one[0] == other[0] or not one[0] or not other[0])


@dataclass(frozen=True, slots=True)
class _Shortage:
    """In millicores, bytes or numbers."""

    resource: str
    requested: int
    used: int
    capacity: int

    @property
    def among_others(self) -> str:
        return (
            f"Node didn't have enough resource: {self.resource}, requested: {self.requested}, used: {self.used}, "
            f"capacity: {self.capacity}"
        )

    @property
    def alone(self) -> str:
        return (
            f"Node didn't have enough capacity: {self.resource}, requested: {self.requested}, capacity: {self.capacity}"
        )


def _shortage(pod: Object, node: Object, others: list[Object]) -> _Shortage | None:
    allocatable = amounts((node.get("status") or {}).get("allocatable"))
    if len(others) + 1 > allocatable.get("pods", 0):
        return _Shortage("pods", 1, len(others), allocatable.get("pods", 0))
    used: Amounts = {}
    for other in others:
        for name, value in pod_requests(other).items():
            used[name] = used.get(name, 0) + value
    for name, requested in sorted(pod_requests(pod).items()):
        if requested and requested + used.get(name, 0) > allocatable.get(name, 0):
            return _Shortage(name, requested, used.get(name, 0), allocatable.get(name, 0))
    return None
