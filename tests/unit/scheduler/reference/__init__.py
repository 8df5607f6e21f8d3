"""A second scheduler, to compare the first with: slow, plain, and written from the documented rules.

It asks one node at a time, counts with dicts and loops, and keeps nothing from one pod to the next. It shares no code
with `kaa.scheduler`: a mistake would have to be made twice, in two ways, to go unnoticed.

A *filter* says why a node will not have a pod (no reasons: it will). A *score* says how good each feasible node is,
0..100. `ALL_FILTERS` and `SCORES` have them by plugin name. Before any filter is asked, a pod may be *hopeless* for a
reason of its own, or name its nodes, and then the others are not asked.
"""

from tests.unit.scheduler.reference.cluster import Cluster, Node, Pod
from tests.unit.scheduler.reference.filters import FILTERS, affinity_conflicts, is_named
from tests.unit.scheduler.reference.scores import SCORES, WEIGHTS
from tests.unit.scheduler.reference.volumes import VOLUME_FILTERS, claim_names, volume_binding, whole_pod

ORDER = (
    *("NodeName", "NodeUnschedulable", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit"),
    *("VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone", "PodTopologySpread", "InterPodAffinity"),
)
ALL_FILTERS = {name: {**FILTERS, **VOLUME_FILTERS}[name] for name in ORDER}


def reasons(plugin: str, pod: Pod, cluster: Cluster) -> dict[str, list[str]]:
    """By node name: why this plugin rejects it."""
    rejects = ALL_FILTERS[plugin]
    found = {node["metadata"]["name"]: rejects(pod, node, cluster) for node in cluster.nodes}
    return {name: texts for name, texts in found.items() if texts}


def is_hopeless(pod: Pod, cluster: Cluster) -> bool:
    return affinity_conflicts(pod) or whole_pod(pod, cluster) is not None


def feasible(pod: Pod, cluster: Cluster) -> list[Node]:
    return [node for node in cluster.nodes if not first_reasons(pod, node, cluster)]


def first_reasons(pod: Pod, node: Node, cluster: Cluster) -> list[str]:
    """Of the first that rejects the node."""
    if affinity_conflicts(pod):
        return ["pod affinity terms conflict"]
    if (reason := whole_pod(pod, cluster)) is not None:
        return [reason]
    if not is_named(pod, node):
        return ["node(s) didn't satisfy plugin(s) [NodeAffinity]"]
    return next((texts for rejects in ALL_FILTERS.values() if (texts := rejects(pod, node, cluster))), [])


def sentence(pod: Pod, cluster: Cluster) -> str:
    """What people are told of a pod that no node will have."""
    start = f"0/{len(cluster.nodes)} nodes are available: "
    if is_hopeless(pod, cluster):
        return f"{start}{first_reasons(pod, cluster.nodes[0], cluster)[0]}."
    counts: dict[str, int] = {}
    for node in cluster.nodes:
        for reason in first_reasons(pod, node, cluster):
            counts[reason] = counts.get(reason, 0) + 1
    return start + ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items())) + "."


def scores(plugin: str, pod: Pod, nodes: list[Node], cluster: Cluster) -> dict[str, int]:
    return SCORES[plugin](pod, nodes, cluster)


def ignores_volumes(pod: Pod, nodes: list[Node], cluster: Cluster) -> bool:
    """Whether some of the nodes are not where the pod's claims let it go."""
    return bool(list(claim_names(pod))) and any(volume_binding(pod, node, cluster) for node in nodes)


__all__ = [
    "ALL_FILTERS",
    "SCORES",
    "WEIGHTS",
    "feasible",
    "ignores_volumes",
    "is_hopeless",
    "reasons",
    "scores",
    "sentence",
]
