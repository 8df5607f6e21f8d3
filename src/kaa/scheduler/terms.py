"""The affinity rules of pods that have a node: they have a say in where others go.

A rule is found by the pods that it may mean: most select by a label's value, and are filed under that label and value.
Its *column* counts the pods that have it on every row; those that are asked for are kept up to date.
"""

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

from kaa.api.selectors import Selector
from kaa.scheduler.derived import Ints
from kaa.scheduler.pod_info import PodInfo, Rule

COLUMNS_KEPT = 256

Label = tuple[str, str]


class TermTable:
    """Bounded by the distinct rules of bound pods: a rule whose last pod is gone is gone."""

    def __init__(self) -> None:
        self._pods: dict[Rule, dict[int, int]] = {}  # rule: row: pods
        self._filed: dict[Label | None, dict[Rule, None]] = {}  # None: under no label
        self._columns: OrderedDict[Rule, Ints] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pods)

    def add(self, pod: PodInfo, row: int) -> None:
        for rule in pod.shape.rules:
            rows = self._pods.get(rule)
            if rows is None:
                rows = self._pods[rule] = {}
                self._filed.setdefault(label_of(rule.term.selector), {})[rule] = None
            rows[row] = rows.get(row, 0) + 1
            if rule in self._columns:
                self._columns[rule][row] += 1

    def remove(self, pod: PodInfo, row: int) -> None:
        for rule in pod.shape.rules:
            rows = self._pods[rule]
            rows[row] -= 1
            if rule in self._columns:
                self._columns[rule][row] -= 1
            if not rows[row]:
                del rows[row]
            if not rows:
                self._forget(rule)

    def _forget(self, rule: Rule) -> None:
        del self._pods[rule]
        self._columns.pop(rule, None)
        label = label_of(rule.term.selector)
        filed = self._filed[label]
        del filed[rule]
        if not filed:
            del self._filed[label]

    def grow(self) -> None:
        """There are more rows now."""
        self._columns.clear()

    def about(self, pod: PodInfo) -> Iterator[Rule]:
        """All that may mean the pod, and few others."""
        yield from self._filed.get(None, ())
        for label in pod.labels.items():
            yield from self._filed.get(label, ())

    def column(self, rule: Rule, size: int) -> Ints:
        """To be read, not changed."""
        column = self._columns.get(rule)
        if column is None:
            column = self._columns[rule] = np.zeros(size, np.int64)
            rows = self._pods[rule]
            column[list(rows)] = list(rows.values())
            if len(self._columns) > COLUMNS_KEPT:
                self._columns.popitem(last=False)
        self._columns.move_to_end(rule)
        return column


def label_of(selector: Selector) -> Label | None:
    """A label with its value that all must have whom the selector selects."""
    for requirement in selector.requirements or ():
        if requirement.operator in ("=", "==", "in") and len(requirement.values) == 1:
            return requirement.key, requirement.values[0]
    return None
