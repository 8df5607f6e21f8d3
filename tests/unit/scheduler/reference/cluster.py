"""What the reference decides on, and the few things that several of its rules need: labels, quantities, requests."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeAlias

Node: TypeAlias = dict[str, Any]
Pod: TypeAlias = dict[str, Any]


@dataclass
class Cluster:
    nodes: list[Node] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)  # all with spec.nodeName
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)  # name: labels
    others: list[dict[str, Any]] = field(default_factory=list)  # services, workloads, storage

    def pods_on(self, node: Node) -> list[Pod]:
        return [pod for pod in self.pods if pod["spec"]["nodeName"] == node["metadata"]["name"]]

    def node_of(self, pod: Pod) -> Node | None:
        return next((n for n in self.nodes if n["metadata"]["name"] == pod["spec"]["nodeName"]), None)

    def all_of(self, kind: str) -> Iterator[dict[str, Any]]:
        return (obj for obj in self.others if obj["kind"] == kind)

    def find(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        for obj in self.all_of(kind):
            if obj["metadata"]["name"] == name and obj["metadata"].get("namespace", "") == namespace:
                return obj
        return None


def labels(obj: dict[str, Any]) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


SUFFIXES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9}


def number(text: str) -> Fraction:
    if text.endswith("m"):
        return Fraction(text[:-1]) / 1000
    for suffix, factor in SUFFIXES.items():
        if text.endswith(suffix):
            return Fraction(text.removesuffix(suffix)) * factor
    return Fraction(text)


def amount(resource: str, text: str) -> int:
    """Millicores of cpu, units of all else; rounded up."""
    exact = number(text) * (1000 if resource == "cpu" else 1)
    return -(-exact.numerator // exact.denominator)


def selects(selector: dict[str, Any] | None, of: dict[str, str]) -> bool:
    """A LabelSelector: absent selects nothing, empty everything."""
    if selector is None:
        return False
    if any(of.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(holds(expression, of) for expression in selector.get("matchExpressions") or ())


def holds(expression: dict[str, Any], of: dict[str, str]) -> bool:
    value, values = of.get(expression["key"]), expression.get("values") or []
    operator = expression["operator"]
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if value is None or not value.lstrip("-").isdigit():
        return False
    return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])


def node_matches(terms: list[dict[str, Any]], node: Node) -> bool:
    """NodeSelectorTerms: alternatives; a term of nothing matches nothing."""
    for term in terms:
        expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
        if not expressions and not fields:
            continue
        name = {"metadata.name": node["metadata"]["name"]}
        if all(holds(e, labels(node)) for e in expressions) and all(holds(f, name) for f in fields):
            return True
    return False


def wants_node(pod: Pod, node: Node) -> bool:
    """The pod's own nodeSelector and required node affinity."""
    if any(labels(node).get(key) != value for key, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or node_matches(required["nodeSelectorTerms"], node)


def tolerated(taint: dict[str, Any], pod: Pod) -> bool:
    for toleration in pod["spec"].get("tolerations") or ():
        if toleration.get("effect") not in (None, "", taint["effect"]):
            continue
        if toleration.get("key") not in (None, "", taint["key"]):
            continue
        if toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""):
            return True
    return False


def untolerated(pod: Pod, node: Node, *effects: str) -> int:
    """How many taints of those effects the pod does not tolerate."""
    taints = node["spec"].get("taints") or ()
    return sum(taint["effect"] in effects and not tolerated(taint, pod) for taint in taints)


def requests(pod: Pod, defaults: dict[str, int] | None = None) -> dict[str, int]:
    """What the pod needs at its peak. `defaults`: for containers that do not say."""
    spec = pod["spec"]

    def of(container: dict[str, Any]) -> dict[str, int]:
        own = (container.get("resources") or {}).get("requests") or {}
        return {**(defaults or {}), **{resource: amount(resource, text) for resource, text in own.items()}}

    running: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        together = dict(sidecars)
        for resource, value in of(container).items():
            together[resource] = together.get(resource, 0) + value
        peak = {resource: max(peak.get(resource, 0), together.get(resource, 0)) for resource in {*peak, *together}}
        if container.get("restartPolicy") == "Always":
            sidecars = together
    for need in [*map(of, spec["containers"]), sidecars]:
        for resource, value in need.items():
            running[resource] = running.get(resource, 0) + value
    total = {resource: max(running.get(resource, 0), peak.get(resource, 0)) for resource in {*running, *peak}}
    for resource, text in ((spec.get("resources") or {}).get("requests") or {}).items():
        total[resource] = amount(resource, text)
    for resource, text in (spec.get("overhead") or {}).items():
        total[resource] = total.get(resource, 0) + amount(resource, text)
    return total


UNSAID = {"cpu": 100, "memory": 200 * 2**20}


def requested(node: Node, cluster: Cluster, resource: str, *, say_more: bool = False) -> int:
    """What the node's pods request together; `say_more`: with what those use that do not say."""
    return sum(requests(pod, UNSAID if say_more else None).get(resource, 0) for pod in cluster.pods_on(node))


def room(node: Node, resource: str) -> int:
    text = node["status"]["allocatable"].get(resource)
    return 0 if text is None else amount(resource, text)


def means(term: dict[str, Any], owner: Pod, other: Pod, cluster: Cluster) -> bool:
    """Whether `other` is one of the pods that an affinity term of `owner` is about."""
    namespace = other["metadata"]["namespace"]
    named, by_labels = term.get("namespaces") or [], term.get("namespaceSelector")
    if not named and by_labels is None:
        named = [owner["metadata"]["namespace"]]
    if namespace not in named and not selects(by_labels, cluster.namespaces.get(namespace, {})):
        return False
    return selects(with_keys(term, owner), labels(other))


def with_keys(rule: dict[str, Any], owner: Pod) -> dict[str, Any] | None:
    """The rule's selector with what (mis)matchLabelKeys add to it."""
    selector = rule.get("labelSelector")
    if selector is None:
        return None
    more = [
        {"key": key, "operator": operator, "values": [labels(owner)[key]]}
        for field_name, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
        for key in rule.get(field_name) or ()
        if key in labels(owner)
    ]
    return {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *more]}


def pod_terms(pod: Pod, which: str, how: str) -> list[dict[str, Any]]:
    """`which` podAffinity or podAntiAffinity; `how` required or preferred."""
    rules = (pod["spec"].get("affinity") or {}).get(which) or {}
    return rules.get(f"{how}DuringSchedulingIgnoredDuringExecution") or []
