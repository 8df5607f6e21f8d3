"""What a plugin is, and how a decision is made of plugins: pure functions over the snapshot's columns.

A `Plugin` is a row of functions. `reject(pod, snapshot)` yields `Rejection`s: the rows that it will not have, and why.
`score(pod, snapshot, rows)` gives every row a number, which `normalize` brings to 0..100. A node is *feasible* when
nobody rejects it; of the feasible ones that with the highest weighted sum of scores is chosen, by chance among equals.

Upstream asks plugins one node at a time and stops at the first that says no; so here a node counts for the reasons of
one plugin only, the first that rejects it.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kaa.scheduler.derived import Ints, Rows
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot

Scores: TypeAlias = NDArray[np.float64]
MAX_SCORE = 100.0


class ClusterEvent(Enum):
    """What can make a pod schedulable that was not."""

    NODE_ADDED = auto()
    NODE_ALLOCATABLE = auto()
    NODE_LABELS = auto()
    NODE_TAINTS = auto()
    POD_BOUND = auto()  # some pods want to be near others
    POD_GONE = auto()


@dataclass(frozen=True, slots=True)
class Rejection:
    """`resolvable`: taking other pods off the node could help."""

    rows: Rows
    reason: str
    resolvable: bool = True


Reject: TypeAlias = Callable[[PodInfo, Snapshot], Iterator[Rejection]]
Score: TypeAlias = Callable[[PodInfo, Snapshot, Rows], Scores | None]
"""None: nothing to say about this pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    name: str
    reject: Reject | None = None
    score: Score | None = None
    weight: int = 1
    helped_by: frozenset[ClusterEvent] = frozenset()


@dataclass(frozen=True, slots=True)
class Placed:
    node_name: str


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """`message` is for people; `plugins` are those that rejected a node, and so whose events can help."""

    message: str
    plugins: frozenset[str]


Decision: TypeAlias = Placed | Unschedulable

NO_NODES = "no nodes available to schedule pods"


def decide(pod: PodInfo, snapshot: Snapshot, plugins: Sequence[Plugin], rng: random.Random) -> Decision:
    feasible, refusals = feasible_rows(pod, snapshot, plugins)
    if feasible.any():
        return Placed(snapshot.names[best_row(pod, snapshot, plugins, feasible, rng)])
    return Unschedulable(explain(pod, snapshot, refusals), frozenset(refusal.plugin for refusal in refusals))


@dataclass(frozen=True, slots=True)
class Refusal:
    """How many nodes were out for one plugin's reason."""

    plugin: str
    reason: str
    count: int
    resolvable: Rows  # of these rows


def feasible_rows(pod: PodInfo, snapshot: Snapshot, plugins: Sequence[Plugin]) -> tuple[Rows, list[Refusal]]:
    feasible = snapshot.present.copy()
    refusals: list[Refusal] = []
    for plugin in plugins:
        if plugin.reject is None or not feasible.any():
            continue
        rejected = snapshot.none()
        for rejection in plugin.reject(pod, snapshot):
            rows = feasible & rejection.rows
            if count := int(rows.sum()):
                resolvable = rows if rejection.resolvable else snapshot.none()
                refusals.append(Refusal(plugin.name, rejection.reason, count, resolvable))
                rejected |= rows
        feasible &= ~rejected
    return feasible, refusals


def best_row(pod: PodInfo, snapshot: Snapshot, plugins: Sequence[Plugin], feasible: Rows, rng: random.Random) -> int:
    if feasible.sum() == 1:
        return int(feasible.argmax())
    total: Scores = np.zeros(snapshot.size)
    for plugin in plugins:
        scores = plugin.score(pod, snapshot, feasible) if plugin.score is not None else None
        if scores is not None:
            total += plugin.weight * scores
    total[~feasible] = -np.inf
    best = np.flatnonzero(total == total.max())
    return int(best[rng.randrange(len(best))])


def normalize(scores: Scores | Ints, rows: Rows, *, reverse: bool = False) -> Scores:
    """To 0..100, the highest among `rows` being 100; `reverse`: the lowest is best."""
    highest = float(scores[rows].max()) if rows.any() else 0.0
    if highest == 0:
        return np.full(len(scores), MAX_SCORE if reverse else 0.0)
    scaled: Scores = np.floor(scores * MAX_SCORE / highest)
    return MAX_SCORE - scaled if reverse else scaled


def explain(pod: PodInfo, snapshot: Snapshot, refusals: Sequence[Refusal]) -> str:
    """Upstream's sentence: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) ... . preemption: ...`."""
    nodes = int(snapshot.present.sum())
    if not nodes:
        return NO_NODES
    counts: dict[str, int] = {}
    for refusal in refusals:
        counts[refusal.reason] = counts.get(refusal.reason, 0) + refusal.count
    reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
    return f"0/{nodes} nodes are available: {reasons}. preemption: {explain_preemption(pod, snapshot, refusals)}"


def explain_preemption(pod: PodInfo, snapshot: Snapshot, refusals: Sequence[Refusal]) -> str:
    """Nobody is preempted by this scheduler: where that could help, the message says so."""
    if pod.obj["spec"].get("preemptionPolicy") == "Never":
        return "not eligible due to preemptionPolicy=Never."
    nodes = int(snapshot.present.sum())
    helpful = snapshot.none()
    for refusal in refusals:
        helpful |= refusal.resolvable
    lower = snapshot.none()
    for other, row in snapshot.pods.values():
        if other.priority < pod.priority:
            lower[row] = True
    counts = {
        "No preemption victims found for incoming pod": int((helpful & ~lower).sum()),
        "Preemption is not helpful for scheduling": nodes - int(helpful.sum()),
        "Preemption is not supported": int((helpful & lower).sum()),
    }
    texts = sorted(f"{count} {text}" for text, count in counts.items() if count)
    return f"0/{nodes} nodes are available: {', '.join(texts)}."
