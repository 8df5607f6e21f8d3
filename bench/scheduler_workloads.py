"""The workloads of upstream's scheduler_perf, by the same names: the nodes, the pods that are there, those that come.

Sizes are of one kind for all: 5,000 nodes and 3,000 pods measured, unless the workload is about something else.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kaa.api.objects import Object

NODES = 5000
PODS = 3000
INIT, MEASURED = "sched-0", "sched-1"
"""Namespaces of the pods that are there at first and of those that are measured; rules of some pods name both."""

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


def node(index: int, zones: tuple[str, ...] = (), **room: str) -> Object:
    name = f"node-{index}"
    labels = {HOSTNAME: name}
    if zones:
        labels[ZONE] = zones[index % len(zones)]
    amounts = {"cpu": "4", "memory": "32Gi", "pods": "110", **room}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]},
    }


def pod(labels: dict[str, str] | None = None, cpu: str = "100m", memory: str = "500Mi", **spec: Any) -> Object:
    """A pod without a name: the run gives it one."""
    requests = {"cpu": cpu, "memory": memory}
    container = {"name": "pause", "image": "registry.k8s.io/pause:3.10", "resources": {"requests": requests}}
    metadata: Object = {"generateName": "pod-"}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container], **spec}}


def required(kind: str, key: str, color: str) -> Object:
    term = {
        "labelSelector": {"matchLabels": {"color": color}},
        "topologyKey": key,
        "namespaces": [MEASURED, INIT],
    }
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def preferred(kind: str, key: str, color: str) -> Object:
    term = {
        "labelSelector": {"matchLabels": {"color": color}},
        "topologyKey": key,
        "namespaces": [MEASURED, INIT],
    }
    rule = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]}
    return {"affinity": {kind: rule}}


def spread(when: str) -> Object:
    constraint = {
        "maxSkew": 5,
        "topologyKey": ZONE,
        "whenUnsatisfiable": when,
        "labelSelector": {"matchLabels": {"color": "blue"}},
    }
    return {"topologySpreadConstraints": [constraint]}


def in_zones(*zones: str) -> Object:
    expression = {"key": ZONE, "operator": "In", "values": list(zones)}
    rule = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    }
    return {"affinity": {"nodeAffinity": rule}}


def on_node(name: str) -> Object:
    """As the DaemonSet controller writes it."""
    return _on_nodes({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]})


def _on_nodes(term: Object) -> Object:
    required_terms = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"affinity": {"nodeAffinity": required_terms}}


BLUE, GREEN, RED, YELLOW = ({"color": color} for color in ("blue", "green", "red", "yellow"))
MOONS = ("moon-1", "moon-2", "moon-3")


@dataclass(frozen=True, slots=True)
class Workload:
    """`initial` are (how many, pod): all on nodes before it begins, or, if `unschedulable`, waiting in vain.

    `churn`: objects that come while it is measured, one of each in so many seconds, and go again if `churn_goes`.
    """

    name: str
    measured: Object
    node: Callable[[int], Object] = node
    nodes: int = NODES
    pods: int = PODS
    initial: tuple[tuple[int, Object], ...] = ((1000, pod()),)
    unschedulable: tuple[tuple[int, Object], ...] = ()
    churn: tuple[Object, ...] = ()
    churn_seconds: float = 1.0
    churn_goes: bool = True
    gang_size: int = 0  # so many pods are a PodGroup each, and get their nodes together
    least_per_second: tuple[float, float] = field(default=(0.0, 0.0))  # that must hold: through the API, alone

    def pod(self, index: int) -> Object:
        """The one of that number among those that are measured."""
        if not self.gang_size:
            return self.measured
        group = {"podGroupName": gang_of(index, self.gang_size)}
        return {**self.measured, "spec": {**self.measured["spec"], "schedulingGroup": group}}


PRIORITIES = {"high": 10}
"""Priority classes by name; pods without one have priority 0."""


def gang_of(index: int, size: int) -> str:
    """The name of the PodGroup of the pod of that number."""
    return f"gang-{index // size}"


LOW = pod(cpu="900m", terminationGracePeriodSeconds=0)
ANTI_AFFINITY = pod(GREEN, **required("podAntiAffinity", HOSTNAME, "green"))
AFFINITY = pod(BLUE, **required("podAffinity", ZONE, "blue"))


def in_zone_1(index: int) -> Object:
    return node(index, ("zone1",))


def in_moons(index: int) -> Object:
    return node(index, MOONS)


def large_first(index: int) -> Object:
    """The node that a DaemonSet's pods all go to here has room for them; the others are there to be looked at."""
    return node(index, cpu="4000", memory="64000Gi", pods="90000") if index == 0 else node(index)


WORKLOADS = (
    Workload("SchedulingBasic", pod(), least_per_second=(500, 5000)),
    Workload("SchedulingNodeAffinity", pod(**in_zones("zone1", "zone2")), in_zone_1, least_per_second=(400, 5000)),
    Workload("TopologySpreading", pod(BLUE, **spread("DoNotSchedule")), in_moons, least_per_second=(300, 2000)),
    Workload("PreferredTopologySpreading", pod(BLUE, **spread("ScheduleAnyway")), in_moons, least_per_second=(0, 2000)),
    Workload("SchedulingPodAffinity", AFFINITY, in_zone_1, initial=((1000, AFFINITY),)),
    Workload(
        "SchedulingPodAntiAffinity", ANTI_AFFINITY, initial=((1000, ANTI_AFFINITY),), least_per_second=(250, 2000)
    ),
    Workload("PreemptionBasic", pod(cpu="3000m", priorityClassName="high"), initial=((4 * NODES, LOW),), pods=1000),
    Workload(
        "PreemptionAsync",
        pod(),
        initial=((4 * NODES, LOW),),
        churn=(pod(cpu="3000m", priorityClassName="high"),),
        churn_seconds=0.2,
        churn_goes=False,
    ),
    Workload("Unschedulable", pod(), initial=(), unschedulable=((200, pod(cpu="9")),)),
    Workload("SchedulingDaemonset", pod(**on_node("node-0")), large_first, initial=()),
    Workload(
        "SchedulingWithMixedChurn",
        pod(),
        initial=(),
        churn=(node(NODES), pod(cpu="9", priorityClassName="high")),
    ),
    Workload(
        "MixedSchedulingBasePod",
        pod(),
        in_zone_1,
        initial=(
            (1000, pod()),
            (1000, AFFINITY),
            (1000, ANTI_AFFINITY),
            (1000, pod(RED, **preferred("podAffinity", HOSTNAME, "red"))),
            (1000, pod(YELLOW, **preferred("podAntiAffinity", HOSTNAME, "yellow"))),
        ),
    ),
    Workload("GangScheduling", pod(), gang_size=100),
)
