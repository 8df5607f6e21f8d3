"""How good each feasible node is for a pod, 0..100: one function a plugin.

Scores are whole numbers: where a formula divides, the fraction is dropped, as documented.
"""

import math
from collections.abc import Callable
from typing import Any

from tests.unit.scheduler.reference.cluster import (
    UNSAID,
    Cluster,
    Node,
    Pod,
    labels,
    means,
    node_matches,
    pod_terms,
    requested,
    requests,
    room,
    untolerated,
)
from tests.unit.scheduler.reference.filters import counts_for, near, spread_count
from tests.unit.scheduler.reference.volumes import volume_binding_scores

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


def name_of(node: Node) -> str:
    name: str = node["metadata"]["name"]
    return name


def normalized(raw: dict[str, int], *, reverse: bool = False) -> dict[str, int]:
    """The highest becomes 100, or with `reverse` 0."""
    highest = max(raw.values(), default=0)
    if highest == 0:
        return dict.fromkeys(raw, 100 if reverse else 0)
    scaled = {name: 100 * score // highest for name, score in raw.items()}
    return {name: 100 - score for name, score in scaled.items()} if reverse else scaled


def taint_toleration(pod: Pod, nodes: list[Node], cluster: Cluster) -> dict[str, int]:
    return normalized({name_of(node): untolerated(pod, node, "PreferNoSchedule") for node in nodes}, reverse=True)


def node_affinity(pod: Pod, nodes: list[Node], cluster: Cluster) -> dict[str, int]:
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    return normalized(
        {name_of(n): sum(p["weight"] for p in preferred if node_matches([p["preference"]], n)) for n in nodes}
    )


def least_allocated(pod: Pod, nodes: list[Node], cluster: Cluster) -> dict[str, int]:
    """The mean over cpu and memory of the share that would be left.

    What the pod requests as a whole does not count, found by asking upstream's own: only what its containers do.
    """
    wanted = requests({**pod, "spec": {**pod["spec"], "resources": None}}, UNSAID)

    def score(node: Node) -> int:
        shares = []
        for resource in ("cpu", "memory"):
            if not (all_of_it := room(node, resource)):
                continue
            used = requested(node, cluster, resource, say_more=True) + wanted.get(resource, 0)
            shares.append((all_of_it - used) * 100 // all_of_it if used <= all_of_it else 0)
        return sum(shares) // len(shares) if shares else 0

    return {name_of(node): score(node) for node in nodes}


def balanced_allocation(pod: Pod, nodes: list[Node], cluster: Cluster) -> dict[str, int]:
    """How much this pod evens out the shares of cpu and memory in use: 75 for not at all, 50..100."""
    own = {resource: requests(pod).get(resource, 0) for resource in ("cpu", "memory")}
    if not any(own.values()):
        return {name_of(node): 0 for node in nodes}

    def balance(node: Node, more: dict[str, int]) -> int:
        shares = [
            min(1.0, (requested(node, cluster, resource) + more[resource]) / all_of_it)
            for resource in ("cpu", "memory")
            if (all_of_it := room(node, resource))
        ]
        deviation = abs((shares[0] - shares[1]) / 2) if len(shares) == 2 else 0.0
        return int((1 - deviation) * 100)

    def score(node: Node) -> int:
        with_pod, without = balance(node, own), balance(node, {"cpu": 0, "memory": 0})
        return 50 + (50 + with_pod - without) // 2

    return {name_of(node): score(node) for node in nodes}


def image_locality(pod: Pod, nodes: list[Node], cluster: Cluster) -> dict[str, int]:
    """The bytes of the pod's images that are there, each less the fewer nodes have it; from 23 MiB to 1000 MiB each."""
    spec = pod["spec"]
    images = [container["image"] for container in [*(spec.get("initContainers") or ()), *spec["containers"]]]
    images += [volume["image"]["reference"] for volume in spec.get("volumes") or () if "image" in volume]

    def sizes(node: Node) -> dict[str, int]:
        return {name: image["sizeBytes"] for image in node["status"].get("images") or () for name in image["names"]}

    def held(node: Node) -> int:
        total = 0
        for image in images:
            full = image if image.rfind(":") > image.rfind("/") else f"{image}:latest"
            if full in sizes(node):
                nodes_with_it = sum(full in sizes(other) for other in cluster.nodes)
                total += int(sizes(node)[full] * (nodes_with_it / len(cluster.nodes)))
        return total

    least, most = 23 * 2**20, 1000 * 2**20 * len(images)
    return {name_of(n): 100 * (min(max(held(n), least), most) - least) // (most - least) for n in nodes}


def soft_constraints(pod: Pod) -> list[dict[str, Any]]:
    constraints = pod["spec"].get("topologySpreadConstraints") or ()
    return [constraint for constraint in constraints if constraint["whenUnsatisfiable"] == "ScheduleAnyway"]


def default_constraints(pod: Pod, cluster: Cluster) -> list[dict[str, Any]]:
    """For a pod without constraints that a Service or workload selects: spread over hosts and zones."""
    if pod["spec"].get("topologySpreadConstraints"):
        return []
    selector = selector_of_owners(pod, cluster)
    if not selector["matchLabels"] and not selector["matchExpressions"]:
        return []
    return [
        {"topologyKey": HOSTNAME, "maxSkew": 3, "labelSelector": selector},
        {"topologyKey": ZONE, "maxSkew": 5, "labelSelector": selector},
    ]


def selector_of_owners(pod: Pod, cluster: Cluster) -> dict[str, Any]:
    """What all Services of the pod and its ReplicaSet, StatefulSet or ReplicationController select by."""
    namespace = pod["metadata"]["namespace"]
    wanted: dict[str, str] = {}
    expressions: list[dict[str, Any]] = []
    for service in cluster.all_of("Service"):
        selector = service["spec"].get("selector")
        same = service["metadata"]["namespace"] == namespace
        if same and selector and all(labels(pod).get(key) == value for key, value in selector.items()):
            wanted |= selector
    for owner in pod["metadata"].get("ownerReferences") or ():
        workload = cluster.find(owner["kind"], owner["name"], namespace) if owner.get("controller") else None
        if workload is None:
            continue
        if owner["kind"] == "ReplicationController":
            wanted |= workload["spec"]["selector"]
        elif owner["kind"] in ("ReplicaSet", "StatefulSet"):
            selector = workload["spec"]["selector"]
            expressions += selector.get("matchExpressions") or ()
            expressions += [
                {"key": key, "operator": "In", "values": [value]}
                for key, value in (selector.get("matchLabels") or {}).items()
            ]
    return {"matchLabels": wanted, "matchExpressions": expressions}


def pod_topology_spread(pod: Pod, nodes: list[Node], cluster: Cluster) -> dict[str, int]:
    constraints, defaults = soft_constraints(pod), default_constraints(pod, cluster)
    zero = {name_of(node): 0 for node in nodes}
    if not constraints and not defaults:
        return zero
    keys = [constraint["topologyKey"] for constraint in constraints]  # defaults ask for no label
    constraints = constraints or defaults
    considered = [node for node in nodes if all(key in labels(node) for key in keys)]
    raw = dict.fromkeys(map(name_of, considered), 0.0)
    for constraint in constraints:
        key = constraint["topologyKey"]
        values = {labels(node).get(key, "") for node in considered}
        size = len(considered) if key == HOSTNAME else len(values)
        for node in considered:
            if key not in labels(node):
                continue
            count = 0
            if key == HOSTNAME:
                count = spread_count(constraint, pod, node, cluster)
            else:
                for other in cluster.nodes:
                    if not all(k in labels(other) for k in keys) or not counts_for(constraint, pod, other):
                        continue
                    if labels(other).get(key, "") == labels(node)[key]:
                        count += spread_count(constraint, pod, other, cluster)
            raw[name_of(node)] += count * math.log(size + 2) + (constraint["maxSkew"] - 1)
    whole = {name: math.floor(score) + (score - math.floor(score) >= 0.5) for name, score in raw.items()}
    least, most = min(whole.values(), default=0), max(whole.values(), default=0)
    best = {name: 100 * (most + least - score) // most if most else 100 for name, score in whole.items()}
    return {**zero, **best}


def inter_pod_affinity(pod: Pod, nodes: list[Node], cluster: Cluster) -> dict[str, int]:
    """Weights of all preferred terms that hold, of both sides; a bound pod's required term attracts with weight 1."""
    raw = {name_of(node): 0 for node in nodes}
    for node in nodes:
        for other in cluster.pods:
            for which, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
                for entry in pod_terms(pod, which, "preferred"):
                    term = entry["podAffinityTerm"]
                    if means(term, pod, other, cluster) and near(term["topologyKey"], node, other, cluster):
                        raw[name_of(node)] += sign * entry["weight"]
                for entry in pod_terms(other, which, "preferred"):
                    term = entry["podAffinityTerm"]
                    if means(term, other, pod, cluster) and near(term["topologyKey"], node, other, cluster):
                        raw[name_of(node)] += sign * entry["weight"]
            for term in pod_terms(other, "podAffinity", "required"):
                if means(term, other, pod, cluster) and near(term["topologyKey"], node, other, cluster):
                    raw[name_of(node)] += 1
    least, most = min(raw.values(), default=0), max(raw.values(), default=0)
    if least == most:
        return dict.fromkeys(raw, 0)
    return {name: int(100.0 * ((score - least) / (most - least))) for name, score in raw.items()}


SCORES: dict[str, Callable[[Pod, list[Node], Cluster], dict[str, int]]] = {
    "TaintToleration": taint_toleration,
    "NodeAffinity": node_affinity,
    "NodeResourcesFit": least_allocated,
    "VolumeBinding": volume_binding_scores,
    "PodTopologySpread": pod_topology_spread,
    "InterPodAffinity": inter_pod_affinity,
    "NodeResourcesBalancedAllocation": balanced_allocation,
    "ImageLocality": image_locality,
}
WEIGHTS = {
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "NodeResourcesFit": 1,
    "VolumeBinding": 1,
    "PodTopologySpread": 2,
    "InterPodAffinity": 2,
    "NodeResourcesBalancedAllocation": 1,
    "ImageLocality": 1,
}
