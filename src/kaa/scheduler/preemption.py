"""Preemption: a pod that no node takes makes room by taking less important pods off one.

A *candidate* is a node that would take the pod with its *victims* gone: as few and as unimportant pods as possible,
which are found by taking all less important pods off and putting back, most important first, whatever still fits
beside the pod; pods whose eviction would violate a disruption budget are put back before the others. The best
candidate is that with, in this order: fewest violations of budgets, least important most important victim, least sum
of priorities, fewest victims, most important victims that started latest.

Not every node is looked at: after enough candidates the search ends.
"""

from collections import OrderedDict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import ReferenceType, ref

import numpy as np

from kaa.scheduler.decision import wide_plugins
from kaa.scheduler.derived import Rows
from kaa.scheduler.disruption import KIND, Budgets
from kaa.scheduler.dry_run import Trial, trials
from kaa.scheduler.framework import Nomination, Plugin, PostFilter
from kaa.scheduler.pod_info import Key, PodInfo, PodShape
from kaa.scheduler.snapshot import Snapshot
from kaa.scheduler.trace import Trace

SHAPES_REMEMBERED = 16

PRIORITY_OFFSET = 2**31
"""Makes every priority positive: more victims are never a smaller sum."""

NOT_HELPFUL = "Preemption is not helpful for scheduling"


@dataclass(frozen=True, slots=True)
class Search:
    """How many candidates are enough: this share of the nodes, but at least so many."""

    least_percent: int = 10
    least: int = 100

    def enough(self, nodes: int) -> int:
        return min(nodes, max(nodes * self.least_percent // 100, self.least))


@dataclass(frozen=True, slots=True)
class Candidate:
    """`victims` are most important first; the candidate with the least `rank` is best."""

    row: int
    victims: tuple[PodInfo, ...]
    rank: tuple[Any, ...]


def candidate(trial: Trial, violating: Container[Key]) -> Candidate:
    victims = tuple(sorted(trial.victims, key=importance))
    violations = sum(victim.key in violating for victim in victims)
    highest = victims[0].priority
    first_started = min(start_of(victim) for victim in victims if victim.priority == highest)
    total = sum(victim.priority + PRIORITY_OFFSET for victim in victims)
    return Candidate(trial.row, victims, (violations, highest, total, len(victims), Latest(first_started)))


@dataclass(frozen=True, slots=True)
class Latest:
    """Sorts moments backwards."""

    moment: str

    def __lt__(self, other: "Latest") -> bool:
        return self.moment > other.moment


def start_of(pod: PodInfo) -> str:
    """RFC 3339 in UTC sorts as text. What has not started yet is as if it started now, after all others."""
    return pod.started_at or "~"


def importance(pod: PodInfo) -> tuple[int, str]:
    """Sorts the most important first: by priority, then the one that has run longer."""
    return -pod.priority, start_of(pod)


def post_filter(search: Search) -> PostFilter:
    memory = Memory()

    def preempt(pod: PodInfo, snapshot: Snapshot, plugins: Sequence[Plugin], trace: Trace) -> Nomination:
        if (reason := why_not(pod, snapshot, trace)) is not None:
            return Nomination(f"preemption: not eligible due to {reason}.")
        helpful = helpful_rows(snapshot, trace)
        candidates, reasons = find(pod, snapshot, plugins, helpful, search, memory)
        if not candidates:
            return Nomination(f"preemption: {explain(snapshot, helpful, reasons)}", node_name="")
        best = min(candidates, key=lambda candidate: candidate.rank)
        return Nomination("", snapshot.names[best.row], best.victims)

    return preempt


def why_not(pod: PodInfo, snapshot: Snapshot, trace: Trace) -> str | None:
    """Why the pod may not preempt anybody now."""
    if pod.preemption_policy == "Never":
        return "preemptionPolicy=Never"
    row = snapshot.row_of.get(pod.nominated_node_name)
    if row is None or not snapshot.present[row] or not helpful_rows(snapshot, trace)[row]:
        return None
    leaving = (other for other in snapshot.on_row.get(row, {}).values() if other.terminating)
    if any(other.priority < pod.priority for other in leaving):
        return "a terminating pod on the nominated node"
    return None


def helpful_rows(snapshot: Snapshot, trace: Trace) -> Rows:
    """Nodes that pods could make way on: those that no plugin rejected for good."""
    rows = snapshot.present & ~trace.feasible
    for refusal in trace.refusals:
        if not refusal.resolvable:
            rows &= ~refusal.rows
    return rows


class Known:
    """What was found out about rows for one shape of pods. Each shape begins to look somewhere else."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.start = snapshot.changes
        self.node_changes = snapshot.node_changes
        self.changes = snapshot.changes
        self.found: dict[int, Candidate | str] = {}  # a str says why the row is no candidate


class Memory:
    """For pods in need that are alike, and come in crowds: a row that has not changed is as it was for the last one."""

    def __init__(self) -> None:
        self._shapes: OrderedDict[PodShape, Known] = OrderedDict()
        self._of: tuple[ReferenceType[Snapshot], Budgets] | None = None

    def recall(self, pod: PodInfo, snapshot: Snapshot, budgets: Budgets) -> Known:
        if self._of is None or self._of[0]() is not snapshot or self._of[1] != budgets:
            self._shapes.clear()
            self._of = ref(snapshot), budgets
        known = self._shapes.pop(pod.shape, None)
        changed = snapshot.changed_since(known.changes) if known is not None else None
        if known is None or changed is None or known.node_changes != snapshot.node_changes:
            known, changed = Known(snapshot), set()
        known.changes = snapshot.changes
        for row in (*changed, own_row(pod, snapshot)):
            known.found.pop(row, None)
        self._shapes[pod.shape] = known
        if len(self._shapes) > SHAPES_REMEMBERED:
            self._shapes.popitem(last=False)
        return known


def own_row(pod: PodInfo, snapshot: Snapshot) -> int:
    """Where it is nominated, -1 if nowhere: that row looks different to all others."""
    return snapshot.nominated.get(pod.key, (pod, -1))[1]


def find(
    pod: PodInfo, snapshot: Snapshot, plugins: Sequence[Plugin], helpful: Rows, search: Search, memory: Memory
) -> tuple[list[Candidate], dict[int, str]]:
    """Enough candidates, and why other rows that were looked at are none."""
    budgets = Budgets(snapshot.view.list(KIND))
    violating: set[Key] = set()

    def order(pods: list[PodInfo]) -> list[PodInfo]:
        """Those that violate a budget come first; so they are the most likely to stay."""
        pods = sorted(pods, key=importance)
        violating.update(pod.key for pod, violates in zip(pods, budgets.violating(pods), strict=True) if violates)
        return sorted(pods, key=lambda pod: pod.key not in violating) if violating else pods

    wide = wide_plugins(pod, snapshot, plugins)
    known = memory.recall(pod, snapshot, budgets) if not wide else Known(snapshot)
    candidates: list[Candidate] = []
    reasons: dict[int, str] = {}
    for rows in chunks(helpful, search, known.start):
        new = [row for row in rows if row not in known.found]
        for trial in trials(pod, snapshot, plugins, wide, new, order):
            known.found[trial.row] = candidate(trial, violating) if trial.victims else trial.reason
        for row in rows:
            match known.found.get(row):
                case Candidate() as found:
                    candidates.append(found)
                case str(reason):
                    reasons[row] = reason
        if len(candidates) >= len(rows):
            break
    known.found.pop(own_row(pod, snapshot), None)
    return candidates, reasons


def chunks(helpful: Rows, search: Search, start: int) -> Iterator[list[int]]:
    """All of these rows, as many at a time as are enough if all are candidates."""
    rows: list[int] = np.flatnonzero(helpful).tolist()
    if rows:
        first = start % len(rows)
        enough = search.enough(len(rows))
        turned = rows[first:] + rows[:first]
        yield from (turned[index : index + enough] for index in range(0, len(rows), enough))


def explain(snapshot: Snapshot, helpful: Rows, reasons: Mapping[int, str]) -> str:
    nodes = int(np.count_nonzero(snapshot.present))
    counts: dict[str, int] = {}
    for reason in reasons.values():
        counts[reason] = counts.get(reason, 0) + 1
    if hopeless := nodes - int(np.count_nonzero(helpful)):
        counts[NOT_HELPFUL] = hopeless
    texts = sorted(f"{count} {reason}" for reason, count in counts.items())
    return f"0/{nodes} nodes are available: {', '.join(texts)}."
