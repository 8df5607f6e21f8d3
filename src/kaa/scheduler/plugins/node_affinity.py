"""NodeAffinity: the nodes that the pod's nodeSelector and required node affinity name; preferred ones score.

Terms of a node affinity are alternatives, the expressions of one term must all hold, and a term without any matches no
node. Each expression is decided once for every value that its label has, not once a node.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from kaa.api.objects import Object
from kaa.scheduler.cluster_events import ClusterEvent, helped_by
from kaa.scheduler.derived import Ints, Rows, Scores
from kaa.scheduler.framework import Plugin, Rejection, normalize
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    if pod.node_selector or required_terms(pod) is not None:
        rows = ~matching(pod, snapshot)
        yield Rejection(rows, "node(s) didn't match Pod's node affinity/selector", resolvable=False)


def required_terms(pod: PodInfo) -> list[Object] | None:
    required = pod.node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required["nodeSelectorTerms"] if required else None


def matching(pod: PodInfo, snapshot: Snapshot) -> Rows:
    """The nodes that the pod may go to by its own wish."""
    rows = snapshot.present.copy()
    for key, value in pod.node_selector.items():
        rows &= rows_where(Expression(key, "In", (value,)), snapshot)
    terms = required_terms(pod)
    if terms is not None:
        alternatives = snapshot.none()
        for term in terms:
            alternatives |= rows_of_term(term, snapshot)
        rows &= alternatives
    return rows


@dataclass(frozen=True, slots=True)
class Expression:
    key: str
    operator: str
    values: tuple[str, ...]

    def holds(self, value: str) -> bool:
        """For a node that has the label. Gt and Lt compare integers; what is none matches nothing."""
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return True
            case "Gt":
                return _is_integer(value, *self.values) and int(value) > int(self.values[0])
            case "Lt":
                return _is_integer(value, *self.values) and int(value) < int(self.values[0])
            case _:  # DoesNotExist; other operators are refused by validation
                return False

    @property
    def holds_without_label(self) -> bool:
        return self.operator in ("NotIn", "DoesNotExist")


def _is_integer(*texts: str) -> bool:
    return all(text.removeprefix("-").isdecimal() for text in texts)


def rows_of_term(term: Object, snapshot: Snapshot) -> Rows:
    expressions = list(_expressions(term.get("matchExpressions") or ()))
    fields = list(_expressions(term.get("matchFields") or ()))
    if not expressions and not fields:
        return snapshot.none()
    rows = snapshot.present.copy()
    for expression in expressions:
        rows &= rows_where(expression, snapshot)
    for expression in fields:  # metadata.name is the only field there is
        named = [row for name, row in snapshot.row_of.items() if expression.holds(name)]
        chosen = snapshot.none()
        chosen[named] = True
        rows &= chosen
    return rows


def _expressions(entries: Iterable[Object]) -> Iterator[Expression]:
    for entry in entries:
        yield Expression(entry["key"], entry["operator"], tuple(entry.get("values") or ()))


def rows_where(expression: Expression, snapshot: Snapshot) -> Rows:
    domains = snapshot.domains(expression.key)
    by_value: Ints = np.array([expression.holds(value) for value in domains.numbers], np.int64)
    return domains.spread(by_value, missing=int(expression.holds_without_label)) > 0


def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
    preferred = pod.node_affinity.get("preferredDuringSchedulingIgnoredDuringExecution")
    if not preferred:
        return None
    total: Ints = np.zeros(snapshot.size, np.int64)
    for entry in preferred:
        total += entry["weight"] * rows_of_term(entry["preference"], snapshot)
    return normalize(total, rows)


PLUGIN = Plugin(
    name="NodeAffinity",
    reject=reject,
    score=score,
    weight=2,
    helped_by=helped_by(ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS),
)
