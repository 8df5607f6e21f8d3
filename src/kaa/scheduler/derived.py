"""Derived columns: computed from nodes and pods when first asked for, then kept up to date change by change.

- `Domains`: the value of one node label as a small number a node; equal numbers are one topology domain.
- `PodsThat`: names the column that counts the pods of some namespaces which a selector matches; `PodsThatAll` those
  that several such descriptions mean.
- `Derived`: what a plugin keeps beside the columns for itself, e.g. the volumes attached to every node.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kaa.api.objects import Object
from kaa.api.selectors import Selector
from kaa.scheduler.pod_info import PodInfo

Rows: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.int64]
Scores: TypeAlias = NDArray[np.float64]

NO_DOMAIN = -1
"""The domain of a node that lacks the topology key."""


@dataclass(slots=True)
class Domains:
    """`column[row]` is the domain of the node on that row; domains are 0 .. count-1, in the order they were met."""

    key: str
    column: Ints
    numbers: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.numbers)

    def set(self, row: int, labels: Mapping[str, str]) -> None:
        value = labels.get(self.key)
        self.column[row] = NO_DOMAIN if value is None else self.numbers.setdefault(value, len(self.numbers))

    def totals(self, per_node: Ints, rows: Rows) -> Ints:
        """A node column summed up by domain, over `rows` that have one."""
        counted = rows & (self.column >= 0)
        sums = np.bincount(self.column[counted], weights=per_node[counted], minlength=self.count)
        return sums.astype(np.int64)

    def spread(self, per_domain: Ints, missing: int = 0) -> Ints:
        """Each domain's number on every node of it; `missing` where a node has no domain."""
        if not self.count:
            return np.full(len(self.column), missing, np.int64)
        return np.where(self.column >= 0, per_domain[self.column], missing)


@dataclass(frozen=True, slots=True)
class PodsThat:
    """`namespaces` None: of all. `staying`: only those that are not being deleted."""

    selector: Selector
    namespaces: frozenset[str] | None
    staying: bool = False

    def holds(self, pod: PodInfo) -> bool:
        if self.staying and pod.terminating:
            return False
        return (self.namespaces is None or pod.namespace in self.namespaces) and self.selector.matches(pod.labels)


@dataclass(frozen=True, slots=True)
class PodsThatAll:
    """The pods that each of these mean."""

    wanted: tuple[PodsThat, ...]

    def holds(self, pod: PodInfo) -> bool:
        return all(pods_that.holds(pod) for pods_that in self.wanted)


Countable: TypeAlias = PodsThat | PodsThatAll
"""What there can be a column of."""


class Derived:
    """State of a plugin's own, told of every change: override what it wants to hear of. Rows are the snapshot's."""

    def grow(self, size: int) -> None:
        """There are so many rows now; the new ones are free."""

    def set_node(self, row: int, node: Object) -> None:
        """A node came or changed. Of nodes that were there before the state was made, ask the snapshot or its view."""

    def remove_node(self, row: int) -> None: ...

    def add_pod(self, pod: PodInfo, row: int) -> None: ...

    def remove_pod(self, pod: PodInfo, row: int) -> None: ...

    def object_changed(self, kind: str, old: Object | None, new: Object | None) -> None:
        """`kind` as plugins name it in `reads` or `helped_by`."""
