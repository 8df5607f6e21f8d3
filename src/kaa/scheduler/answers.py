"""What plugins answer, asked anew or remembered.

Pods of one shape come in crowds, and between two of them little changes: the last one took room on one node. So what
plugins said of a shape is remembered, and brought up to date by what their answers depend on (`Depends`): those about
NODES hold until a node changes; those about NODE_AND_ITS_PODS are asked again for the rows that changed, and only for
them; the others are asked anew. The answers are the same as if all were asked anew.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np

from kaa.scheduler.derived import Rows, Scores
from kaa.scheduler.framework import Depends, Plugin, Rejection
from kaa.scheduler.part import Part
from kaa.scheduler.pod_info import PodInfo, PodShape
from kaa.scheduler.snapshot import Snapshot

MAX_SHAPES = 16
"""Shapes whose answers are remembered; for 5,000 nodes some 300 KB each."""

FEW = 64
"""Up to so many changed rows are asked about on their own. More cost as much as all."""

Ask: TypeAlias = Callable[[PodInfo, Snapshot], Iterator[Rejection]]


class Answers(Protocol):
    def rejections(self, plugin: Plugin, ask: Ask, pod: PodInfo, snapshot: Snapshot) -> Iterable[Rejection]:
        """`ask` is the plugin's `pre_reject` or `reject`."""
        ...

    def scores(self, plugin: Plugin, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None: ...


class Fresh:
    """Asks every time."""

    def rejections(self, plugin: Plugin, ask: Ask, pod: PodInfo, snapshot: Snapshot) -> Iterable[Rejection]:
        return ask(pod, snapshot)

    def scores(self, plugin: Plugin, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
        return plugin.score(pod, snapshot, rows) if plugin.score is not None else None


@dataclass(slots=True)
class _Answer:
    """Of one function of one plugin for one shape. The first two are the snapshot's at the time."""

    node_changes: int
    changes: int
    rejected: dict[tuple[str, bool, bool], Rows] = field(default_factory=dict)  # by all else that a Rejection says
    scores: Scores | None = None
    feasible: Rows | None = None  # when it was asked for scores


class Remembered:
    """For one snapshot."""

    def __init__(self) -> None:
        self._shapes: OrderedDict[PodShape, dict[object, _Answer]] = OrderedDict()  # by the function that was asked
        self._part: tuple[int, list[int], Part] | None = None  # the last one, with the changes and rows it is of

    def rejections(self, plugin: Plugin, ask: Ask, pod: PodInfo, snapshot: Snapshot) -> Iterable[Rejection]:
        if plugin.depends is Depends.EVERYTHING:
            return ask(pod, snapshot)
        answers = self._answers(pod)
        known = answers.get(ask)
        outdated = _outdated(known, plugin, snapshot)
        if known is None or outdated is None:
            known = answers[ask] = _Answer(snapshot.node_changes, snapshot.changes)
            known.rejected = _by_reason(ask(pod, snapshot))
        elif outdated:
            known.changes = snapshot.changes
            _amend(known.rejected, outdated, _by_reason(ask(pod, self._part_of(snapshot, outdated))), snapshot)
        return [Rejection(rows, *what) for what, rows in known.rejected.items()]

    def scores(self, plugin: Plugin, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
        assert plugin.score is not None
        if plugin.depends is Depends.EVERYTHING:
            return plugin.score(pod, snapshot, rows)
        answers = self._answers(pod)
        known = answers.get(plugin.score)
        outdated = _outdated(known, plugin, snapshot)
        if plugin.depends is Depends.NODES and not _is_same(known, rows):
            outdated = None  # which of the feasible ones is best may have changed
        if known is None or outdated is None or (outdated and known.scores is None):
            known = answers[plugin.score] = _Answer(snapshot.node_changes, snapshot.changes)
            known.scores, known.feasible = plugin.score(pod, snapshot, rows), rows
        elif outdated and known.scores is not None:
            known.changes = snapshot.changes
            known.scores[outdated] = plugin.score(pod, self._part_of(snapshot, outdated), rows[outdated])
        return known.scores

    def _part_of(self, snapshot: Snapshot, rows: list[int]) -> Part:
        """Most plugins are asked about the same rows."""
        known = self._part
        if known is None or known[0] != snapshot.changes or known[1] != rows:
            known = self._part = snapshot.changes, rows, Part(snapshot, rows)
        return known[2]

    def _answers(self, pod: PodInfo) -> dict[object, _Answer]:
        answers = self._shapes.setdefault(pod.shape, {})
        self._shapes.move_to_end(pod.shape)
        if len(self._shapes) > MAX_SHAPES:
            self._shapes.popitem(last=False)
        return answers


def _outdated(known: _Answer | None, plugin: Plugin, snapshot: Snapshot) -> list[int] | None:
    """The rows to ask about again; None for all."""
    if known is None or known.node_changes != snapshot.node_changes:
        return None
    if plugin.depends is Depends.NODES or known.changes == snapshot.changes:
        return []
    changed = snapshot.changed_since(known.changes)
    return sorted(changed) if changed is not None and len(changed) <= FEW else None


def _is_same(known: _Answer | None, feasible: Rows) -> bool:
    return known is not None and known.feasible is not None and np.array_equal(known.feasible, feasible)


def _by_reason(rejections: Iterable[Rejection]) -> dict[tuple[str, bool, bool], Rows]:
    """Copied: a plugin may hand out a column of the snapshot."""
    found: dict[tuple[str, bool, bool], Rows] = {}
    for rejection in rejections:
        what = rejection.reason, rejection.resolvable, rejection.whole_pod
        found[what] = found[what] | rejection.rows if what in found else rejection.rows.copy()
    return found


def _amend(
    known: dict[tuple[str, bool, bool], Rows],
    outdated: list[int],
    fresh: dict[tuple[str, bool, bool], Rows],
    snapshot: Snapshot,
) -> None:
    for what in fresh:
        if what not in known:
            known[what] = snapshot.none()
    for what, rows in known.items():
        rows[outdated] = fresh.get(what, False)
