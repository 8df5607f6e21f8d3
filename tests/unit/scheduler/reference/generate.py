"""Clusters by chance, each from a seed: small, and with few names, so that what is there meets what is asked for."""

import random
from collections.abc import Callable
from typing import Any

from tests.unit.scheduler.reference.cluster import Cluster, Node, Pod
from tests.unit.scheduler.reference.storage import Storage, volumes

NAMESPACES = {"default": {"team": "a"}, "other": {"team": "b"}, "bare": {}}
ZONES = ("z1", "z2", "z3")
APPS = ("web", "db", "job")
TAINTS = [
    {"key": key, "value": value, "effect": effect}
    for key in ("dedicated", "slow")
    for value in ("", "yes")
    for effect in ("NoSchedule", "NoExecute", "PreferNoSchedule")
]
IMAGES = {"example/app:1": 30 * 2**20, "example/big:latest": 900 * 2**20, "example/huge:2": 3000 * 2**20}
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


class Chance:
    """A source of choices."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def often(self, chance: float) -> bool:
        return self.random.random() < chance

    def one(self, choices: Any) -> Any:
        return self.random.choice(list(choices))

    def some(self, choices: Any, most: int) -> list[Any]:
        choices = list(choices)
        return self.random.sample(choices, self.random.randint(0, min(most, len(choices))))


def make_cluster(seed: int) -> tuple[Cluster, list[Pod]]:
    """The cluster, and pods to be scheduled to it."""
    chance = Chance(seed)
    nodes = [make_node(chance, number) for number in range(chance.random.randint(2, 10))]
    cluster = Cluster(nodes=nodes, namespaces=NAMESPACES)
    storage = Storage(chance, cluster)
    cluster.others += make_owners()
    wants = chance.one([0.08, 0.15, 0.3])  # how demanding pods are here
    for number in range(chance.random.randint(0, 16)):
        pod = make_pod(chance, f"bound-{number}", wants, storage)
        pod["spec"]["nodeName"] = chance.one(nodes)["metadata"]["name"] if chance.often(0.95) else "gone"
        if chance.often(0.1):
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        cluster.pods.append(pod)
    return cluster, [make_pod(chance, f"new-{number}", wants, storage) for number in range(4)]


def make_node(chance: Chance, number: int) -> Node:
    name = f"node-{number}"
    labels = {HOSTNAME: name} if chance.often(0.95) else {}
    if chance.often(0.85):
        labels[ZONE] = chance.one(ZONES)
    if chance.often(0.1):
        labels["failure-domain.beta.kubernetes.io/zone"] = chance.one(ZONES)
    if chance.often(0.5):
        labels["disk"] = chance.one(["ssd", "hdd"])
    if chance.often(0.5):
        labels["cores"] = chance.one(["4", "8", "16", "many"])
    spec: dict[str, Any] = {}
    if taints := chance.some(TAINTS, 3 if chance.often(0.3) else 0):
        spec["taints"] = list({(taint["key"], taint["effect"]): taint for taint in taints}.values())
    if chance.often(0.1):
        spec["unschedulable"] = True
    room = {"cpu": chance.one(["1", "2", "4500m", "0"]), "memory": chance.one(["1Gi", "3Gi", "8000M"]), "pods": "8"}
    if chance.often(0.1):
        room["pods"] = "1"
    if chance.often(0.3):
        room |= {"example.com/gpu": chance.one(["1", "4"]), "ephemeral-storage": "10Gi"}
    images = [{"names": [name], "sizeBytes": IMAGES[name]} for name in chance.some(IMAGES, 3)]
    metadata = {"name": name, "labels": labels}
    return {"kind": "Node", "metadata": metadata, "spec": spec, "status": {"allocatable": room, "images": images}}


def make_pod(chance: Chance, name: str, wants: float, storage: Storage) -> Pod:
    namespace = "default" if chance.often(0.7) else chance.one(NAMESPACES)
    labels = {"app": chance.one(APPS)}
    if chance.often(0.4):
        labels["version"] = chance.one(["1", "2"])
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels}
    if chance.often(0.3):
        kind = chance.one(["ReplicaSet", "StatefulSet", "ReplicationController", "Job"])
        version = {"ReplicationController": "v1", "Job": "batch/v1"}.get(kind, "apps/v1")
        owner = {"apiVersion": version, "kind": kind, "name": labels["app"], "uid": "owner", "controller": True}
        metadata["ownerReferences"] = [owner]
    spec: dict[str, Any] = {"containers": [make_container(chance, n) for n in range(chance.one([1, 1, 2]))]}
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {}}
    for demand in DEMANDS:
        if chance.often(wants):
            demand(chance, pod)
    if chance.often(wants):
        spec["volumes"] = volumes(chance, pod, storage)
    return pod


def make_container(chance: Chance, number: int) -> dict[str, Any]:
    requests = {}
    if chance.often(0.6):
        requests["cpu"] = chance.one(["100m", "250m", "1", "1500m"])
    if chance.often(0.5):
        requests["memory"] = chance.one(["64Mi", "300M", "1Gi"])
    if chance.often(0.05):
        requests[chance.one(["example.com/gpu", "ephemeral-storage", "example.com/none"])] = "1"
    image = chance.one([*IMAGES, "example/big", "registry.example:5000/app"])
    return {"name": f"c{number}", "image": image, "resources": {"requests": requests}}


def tolerate(chance: Chance, pod: Pod) -> None:
    tolerations = []
    for _ in range(chance.random.randint(1, 2)):
        key = chance.one(["dedicated", "slow", "node.kubernetes.io/unschedulable", ""])
        toleration = {"operator": "Exists"} if not key or chance.often(0.5) else {"value": chance.one(["", "yes"])}
        if key:
            toleration["key"] = key
        if chance.often(0.5):
            toleration["effect"] = chance.one(["NoSchedule", "NoExecute", "PreferNoSchedule"])
        tolerations.append(toleration)
    pod["spec"]["tolerations"] = tolerations


def term_of_node(chance: Chance) -> dict[str, Any]:
    expressions = [
        {"key": "disk", "operator": "In", "values": ["ssd"]},
        {"key": "disk", "operator": "NotIn", "values": ["ssd", "tape"]},
        {"key": ZONE, "operator": "In", "values": chance.some(ZONES, 2) or ["z1"]},
        {"key": ZONE, "operator": "Exists"},
        {"key": "disk", "operator": "DoesNotExist"},
        {"key": "cores", "operator": "Gt", "values": ["4"]},
        {"key": "cores", "operator": "Lt", "values": ["16"]},
    ]
    term: dict[str, Any] = {}
    if found := chance.some(expressions, 2):
        term["matchExpressions"] = found
    if chance.often(0.2):
        name, operator = f"node-{chance.random.randint(0, 9)}", chance.one(["In", "NotIn"])
        term["matchFields"] = [{"key": "metadata.name", "operator": operator, "values": [name]}]
    return term


def select_node(chance: Chance, pod: Pod) -> None:
    pod["spec"]["nodeSelector"] = chance.one([{"disk": "ssd"}, {ZONE: "z1"}, {"disk": "hdd", "cores": "8"}])


def require_node(chance: Chance, pod: Pod) -> None:
    terms = [term_of_node(chance) for _ in range(chance.random.randint(1, 2))]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    pod["spec"].setdefault("affinity", {}).setdefault("nodeAffinity", {}).update(required)


def prefer_node(chance: Chance, pod: Pod) -> None:
    preferred = [
        {"weight": chance.random.randint(1, 100), "preference": term_of_node(chance)}
        for _ in range(chance.random.randint(1, 3))
    ]
    rule = {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
    pod["spec"].setdefault("affinity", {}).setdefault("nodeAffinity", {}).update(rule)


def take_port(chance: Chance, pod: Pod) -> None:
    port: dict[str, Any] = {"hostPort": chance.one([80, 443]), "protocol": chance.one(["TCP", "UDP"])}
    if chance.often(0.5):
        port["hostIP"] = chance.one(["10.0.0.1", "10.0.0.2", "0.0.0.0"])
    pod["spec"]["containers"][0]["ports"] = [port]


def start_first(chance: Chance, pod: Pod) -> None:
    containers = [make_container(chance, 10 + number) for number in range(chance.random.randint(1, 3))]
    for container in containers:
        if chance.often(0.5):
            container["restartPolicy"] = "Always"
    pod["spec"]["initContainers"] = containers


def need_as_a_whole(chance: Chance, pod: Pod) -> None:
    if chance.often(0.5):
        pod["spec"]["resources"] = {"requests": {"cpu": "2", "memory": "1Gi"}}
    else:
        pod["spec"]["overhead"] = {"cpu": "50m", "memory": "10Mi"}


def selector_of_pods(chance: Chance) -> dict[str, Any] | None:
    if chance.often(0.05):
        return None
    if chance.often(0.05):
        return {}
    selector: dict[str, Any] = {"matchLabels": {"app": chance.one(APPS)}}
    if chance.often(0.2):
        operator = chance.one(["Exists", "DoesNotExist"])
        selector["matchExpressions"] = [{"key": "version", "operator": operator}]
    return selector


def term_of_pods(chance: Chance) -> dict[str, Any]:
    term: dict[str, Any] = {"topologyKey": chance.one([HOSTNAME, ZONE, ZONE])}
    if (selector := selector_of_pods(chance)) is not None:
        term["labelSelector"] = selector
        if chance.often(0.15):
            term[chance.one(["matchLabelKeys", "mismatchLabelKeys"])] = ["version"]
    if chance.often(0.2):
        term["namespaces"] = chance.some(NAMESPACES, 2)
    if chance.often(0.2):
        term["namespaceSelector"] = chance.one([{}, {"matchLabels": {"team": "b"}}])
    return term


def relate(which: str, how: str) -> Callable[[Chance, Pod], None]:
    def demand(chance: Chance, pod: Pod) -> None:
        terms: list[dict[str, Any]] = [term_of_pods(chance) for _ in range(chance.one([1, 1, 2]))]
        if how == "preferred":
            terms = [{"weight": chance.random.randint(1, 100), "podAffinityTerm": term} for term in terms]
        rules = pod["spec"].setdefault("affinity", {}).setdefault(which, {})
        rules[f"{how}DuringSchedulingIgnoredDuringExecution"] = terms

    return demand


def spread(chance: Chance, pod: Pod) -> None:
    constraints = []
    for key in chance.some([HOSTNAME, ZONE, "disk"], 2) or [ZONE]:
        when = chance.one(["DoNotSchedule", "ScheduleAnyway"])
        constraint = {"topologyKey": key, "maxSkew": chance.random.randint(1, 3), "whenUnsatisfiable": when}
        if (selector := selector_of_pods(chance)) is not None:
            constraint["labelSelector"] = selector
            if chance.often(0.2):
                constraint["matchLabelKeys"] = ["version"]
        if when == "DoNotSchedule" and chance.often(0.3):
            constraint["minDomains"] = chance.random.randint(1, 4)
        if chance.often(0.3):
            constraint["nodeAffinityPolicy"] = chance.one(["Honor", "Ignore"])
        if chance.often(0.3):
            constraint["nodeTaintsPolicy"] = chance.one(["Honor", "Ignore"])
        constraints.append(constraint)
    pod["spec"]["topologySpreadConstraints"] = constraints


DEMANDS: tuple[Callable[[Chance, Pod], None], ...] = (
    tolerate,
    select_node,
    require_node,
    prefer_node,
    take_port,
    start_first,
    need_as_a_whole,
    relate("podAffinity", "required"),
    relate("podAffinity", "preferred"),
    relate("podAntiAffinity", "required"),
    relate("podAntiAffinity", "preferred"),
    spread,
)


def make_owners() -> list[dict[str, Any]]:
    """A Service for `web`, and a workload of every kind for every app."""
    metadata = {"name": "web", "namespace": "default"}
    owners: list[dict[str, Any]] = [{"kind": "Service", "metadata": metadata, "spec": {"selector": {"app": "web"}}}]
    for app in APPS:
        for kind in ("ReplicaSet", "StatefulSet", "ReplicationController"):
            labels = {"app": app}
            selector = labels if kind == "ReplicationController" else {"matchLabels": labels}
            metadata = {"name": app, "namespace": "default"}
            owners.append({"kind": kind, "metadata": metadata, "spec": {"selector": selector}})
    return owners
