"""Which nodes will not have a pod, and why: one function a plugin, for one node at a time."""

from collections.abc import Callable
from typing import Any

from tests.unit.scheduler.reference.cluster import (
    Cluster,
    Node,
    Pod,
    labels,
    means,
    pod_terms,
    requested,
    requests,
    room,
    selects,
    tolerated,
    untolerated,
    wants_node,
    with_keys,
)


def node_name(pod: Pod, node: Node, cluster: Cluster) -> list[str]:
    wanted = pod["spec"].get("nodeName")
    return ["node(s) didn't match the requested node name"] if wanted not in (None, node["metadata"]["name"]) else []


def node_unschedulable(pod: Pod, node: Node, cluster: Cluster) -> list[str]:
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    closed = node["spec"].get("unschedulable") and not tolerated(taint, pod)
    return ["node(s) were unschedulable"] if closed else []


def taint_toleration(pod: Pod, node: Node, cluster: Cluster) -> list[str]:
    return ["node(s) had untolerated taint(s)"] if untolerated(pod, node, "NoSchedule", "NoExecute") else []


def node_affinity(pod: Pod, node: Node, cluster: Cluster) -> list[str]:
    return [] if wants_node(pod, node) else ["node(s) didn't match Pod's node affinity/selector"]


def names_of(term: dict[str, Any]) -> set[str] | None:
    """The nodes that a term names; None: it names none."""
    found = [
        set(field["values"])
        for field in term.get("matchFields") or ()
        if (field["key"], field["operator"]) == ("metadata.name", "In")
    ]
    return set.intersection(*found) if found else None


def named_nodes(pod: Pod) -> set[str] | None:
    """The only nodes that the pod can go to, if all alternatives of its affinity name some."""
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    named = [names_of(term) for term in required.get("nodeSelectorTerms") or ()]
    if not named or None in named:
        return None
    return {name for names in named if names is not None for name in names}


def affinity_conflicts(pod: Pod) -> bool:
    return named_nodes(pod) == set()


def is_named(pod: Pod, node: Node) -> bool:
    named = named_nodes(pod)
    return named is None or node["metadata"]["name"] in named


def host_ports(pod: Pod) -> list[tuple[str, str, int]]:
    return [
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]
        if container in pod["spec"]["containers"] or container.get("restartPolicy") == "Always"
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]


def node_ports(pod: Pod, node: Node, cluster: Cluster) -> list[str]:
    for address, protocol, port in host_ports(pod):
        for other in cluster.pods_on(node):
            for taken in host_ports(other):
                same = taken[1:] == (protocol, port)
                if same and (address == taken[0] or "0.0.0.0" in (address, taken[0])):
                    return ["node(s) didn't have free ports for the requested pod ports"]
    return []


def node_resources_fit(pod: Pod, node: Node, cluster: Cluster) -> list[str]:
    short = []
    if len(cluster.pods_on(node)) + 1 > room(node, "pods"):
        short.append("Too many pods")
    for resource, wanted in requests(pod).items():
        if wanted and wanted > room(node, resource) - requested(node, cluster, resource):
            short.append(f"Insufficient {resource}")
    return short


def hard_constraints(pod: Pod) -> list[dict[str, Any]]:
    constraints = pod["spec"].get("topologySpreadConstraints") or ()
    return [constraint for constraint in constraints if constraint["whenUnsatisfiable"] == "DoNotSchedule"]


def counts_for(constraint: dict[str, Any], pod: Pod, node: Node) -> bool:
    """Whether the constraint's policies let the node's pods and domain count."""
    if constraint.get("nodeAffinityPolicy", "Honor") == "Honor" and not wants_node(pod, node):
        return False
    honour_taints = constraint.get("nodeTaintsPolicy") == "Honor"
    return not (honour_taints and untolerated(pod, node, "NoSchedule", "NoExecute"))


def spread_count(constraint: dict[str, Any], pod: Pod, node: Node, cluster: Cluster) -> int:
    """Pods on the node that the constraint means: of the pod's namespace and not terminating."""
    selector = with_keys(constraint, pod)
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        return 0  # an empty selector counts nothing here
    return sum(
        other["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and "deletionTimestamp" not in other["metadata"]
        and selects(selector, labels(other))
        for other in cluster.pods_on(node)
    )


def pod_topology_spread(pod: Pod, node: Node, cluster: Cluster) -> list[str]:
    constraints = hard_constraints(pod)
    keys = [constraint["topologyKey"] for constraint in constraints]
    for constraint in constraints:
        key = constraint["topologyKey"]
        if key not in labels(node):
            return ["node(s) didn't match pod topology spread constraints (missing required label)"]
        domains: dict[str, int] = {}
        for other in cluster.nodes:
            if all(k in labels(other) for k in keys) and counts_for(constraint, pod, other):
                value = labels(other)[key]
                domains[value] = domains.get(value, 0) + spread_count(constraint, pod, other, cluster)
        least = min(domains.values(), default=0)
        if len(domains) < (constraint.get("minDomains") or 1):
            least = 0
        own = selects(with_keys(constraint, pod), labels(pod))
        if domains.get(labels(node)[key], 0) + own - least > constraint["maxSkew"]:
            return ["node(s) didn't match pod topology spread constraints"]
    return []


def near(key: str, node: Node, other: Pod, cluster: Cluster) -> bool:
    """Whether the other pod's node is in the same domain as this node."""
    where = cluster.node_of(other)
    return where is not None and key in labels(node) and labels(where).get(key) == labels(node)[key]


def inter_pod_affinity(pod: Pod, node: Node, cluster: Cluster) -> list[str]:
    if not affinity_holds(pod, node, cluster):
        return ["node(s) didn't match pod affinity rules"]
    for term in pod_terms(pod, "podAntiAffinity", "required"):
        for other in cluster.pods:
            if means(term, pod, other, cluster) and near(term["topologyKey"], node, other, cluster):
                return ["node(s) didn't match pod anti-affinity rules"]
    for other in cluster.pods:
        for term in pod_terms(other, "podAntiAffinity", "required"):
            if means(term, other, pod, cluster) and near(term["topologyKey"], node, other, cluster):
                return ["node(s) didn't satisfy existing pods anti-affinity rules"]
    return []


def affinity_holds(pod: Pod, node: Node, cluster: Cluster) -> bool:
    """Every term has a pod in the node's domain that all terms mean; or this is the first pod of its kind."""
    terms = pod_terms(pod, "podAffinity", "required")
    if not all(term["topologyKey"] in labels(node) for term in terms):
        return False
    meant = [other for other in cluster.pods if all(means(term, pod, other, cluster) for term in terms)]
    if all(any(near(term["topologyKey"], node, other, cluster) for other in meant) for term in terms):
        return True
    alone = not any(
        (where := cluster.node_of(other)) is not None and any(term["topologyKey"] in labels(where) for term in terms)
        for other in meant
    )
    return alone and all(means(term, pod, pod, cluster) for term in terms)


FILTERS: dict[str, Callable[[Pod, Node, Cluster], list[str]]] = {
    "NodeName": node_name,
    "NodeUnschedulable": node_unschedulable,
    "TaintToleration": taint_toleration,
    "NodeAffinity": node_affinity,
    "NodePorts": node_ports,
    "NodeResourcesFit": node_resources_fit,
    "PodTopologySpread": pod_topology_spread,
    "InterPodAffinity": inter_pod_affinity,
}
