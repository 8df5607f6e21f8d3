"""Which nodes a pod may go to by its own wish, and which taints it tolerates, as the scheduler decides it too.

Terms of a required node affinity are alternatives; the expressions and fields of one term must all hold, and a term
without any matches no node.
"""

from collections.abc import Iterable

from kaa.api.objects import Object, labels_of, name_of
from kaa.api.selectors import Requirement, Selector

OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}
NAME = "metadata.name"


def required_terms(spec: Object) -> list[Object] | None:
    """None: every node will do."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return None if required is None else required.get("nodeSelectorTerms") or []


def is_wanted(spec: Object, node: Object) -> bool:
    """Whether the pod's nodeSelector and required node affinity name the node."""
    wanted = spec.get("nodeSelector") or {}
    if not wanted.items() <= labels_of(node).items():
        return False
    terms = required_terms(spec)
    return terms is None or any(_matches(term, node) for term in terms)


def _matches(term: Object, node: Object) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not (expressions or fields):
        return False
    return _selector(expressions).matches(labels_of(node)) and _selector(fields).matches({NAME: name_of(node)})


def _selector(expressions: Iterable[Object]) -> Selector:
    return Selector(
        tuple(Requirement(e["key"], OPERATORS[e["operator"]], tuple(e.get("values") or ())) for e in expressions)
    )


def tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def untolerated(tolerations: Iterable[Object], node: Object, effects: Iterable[str]) -> bool:
    """Whether the node has a taint of these effects that none of the tolerations matches."""
    known = list(tolerations)
    return any(
        taint["effect"] in effects and not any(tolerates(toleration, taint) for toleration in known)
        for taint in node["spec"].get("taints") or ()
    )
