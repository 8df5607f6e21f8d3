"""Trying what a node would be like without some of its pods.

When only answers about a node and its pods matter to the pod, many nodes are tried at once, on a part of the snapshot:
each step puts one pod back on every node. When a plugin that looks at all nodes has a say (spread, affinity between
pods), each node is tried alone, on the snapshot itself, which is as before afterwards; only so many are, then.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeAlias

from kaa.scheduler.decision import filtered, yields_to
from kaa.scheduler.framework import Depends, Plugin
from kaa.scheduler.part import Part
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot
from kaa.scheduler.trace import Trace

NO_VICTIMS = "No preemption victims found for incoming pod"

TRIED_ALONE = 100
"""Nodes; each costs some milliseconds."""

Order: TypeAlias = Callable[[list[PodInfo]], list[PodInfo]]
"""In which the less important pods of a node are put back."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The pods that must leave the row, in the order that was asked for; if none, why it would not help."""

    row: int
    victims: tuple[PodInfo, ...] = ()
    reason: str = NO_VICTIMS


def trials(
    pod: PodInfo,
    snapshot: Snapshot,
    plugins: Sequence[Plugin],
    wide: Sequence[Plugin],
    rows: Sequence[int],
    order: Order,
) -> Iterator[Trial]:
    """`wide` are those of the plugins that `wide_plugins` finds."""
    lesser = {row: order(less_important(pod, snapshot, row)) for row in rows}
    yield from (Trial(row) for row, pods in lesser.items() if not pods)
    promising = {row: pods for row, pods in lesser.items() if pods}
    local = [plugin for plugin in plugins if plugin.depends is not Depends.EVERYTHING]
    if promising and not wide:
        yield from _at_once(pod, snapshot, local, list(promising), list(promising.values()))
        return
    for row, pods in list(promising.items())[:TRIED_ALONE]:
        yield _alone(pod, snapshot, [*local, *wide], row, pods)


def less_important(pod: PodInfo, snapshot: Snapshot, row: int) -> list[PodInfo]:
    return [other for other in snapshot.on_row.get(row, {}).values() if other.priority < pod.priority]


def _at_once(
    pod: PodInfo, snapshot: Snapshot, plugins: Sequence[Plugin], rows: Sequence[int], lesser: list[list[PodInfo]]
) -> Iterator[Trial]:
    part = Part(snapshot, rows)
    part.move(((other, index) for index, pods in enumerate(lesser) for other in pods), back=False)
    for other, _ in list(part.nominated.values()):
        if yields_to(other, pod):
            part.withdraw(other.key)
    trace = filtered(pod, part, plugins)
    hopeful = trace.feasible.tolist()
    victims: list[list[PodInfo]] = [[] for _ in rows]
    changing = [plugin for plugin in plugins if plugin.depends is Depends.NODE_AND_ITS_PODS]
    for turn in zip_longest(*(pods if hope else () for pods, hope in zip(lesser, hopeful, strict=True))):
        back = [(other, index) for index, other in enumerate(turn) if other is not None]
        part.move(back, back=True)
        fits = filtered(pod, part, changing).feasible.tolist()
        too_many = [(other, index) for other, index in back if not fits[index]]
        part.move(too_many, back=False)
        for other, index in too_many:
            victims[index].append(other)
    for index, row in enumerate(rows):
        yield Trial(row, tuple(victims[index])) if hopeful[index] else Trial(row, reason=_reason(trace, index))


def _alone(pod: PodInfo, snapshot: Snapshot, plugins: Sequence[Plugin], row: int, lesser: list[PodInfo]) -> Trial:
    name = snapshot.names[row]
    victims: list[PodInfo] = []
    with snapshot.set_aside(lambda other: yields_to(other, pod)):
        try:
            for other in lesser:
                snapshot.remove_pod(other.key)
            trace = filtered(pod, snapshot, plugins)
            if not trace.feasible[row]:
                return Trial(row, reason=_reason(trace, row))
            for other in lesser:
                snapshot.add_pod(other, name)
                if not filtered(pod, snapshot, plugins).feasible[row]:
                    snapshot.remove_pod(other.key)
                    victims.append(other)
            return Trial(row, tuple(victims))
        finally:
            for other in lesser:
                snapshot.add_pod(other, name)


def _reason(trace: Trace, row: int) -> str:
    return ", ".join(refusal.reason for refusal in trace.refusals if refusal.rows[row])
