"""How a decision is made of plugins: a pure function over the snapshot's columns.

A node is *feasible* when nobody rejects it; of the feasible ones that with the highest weighted sum of scores is
chosen, by chance among equals. Upstream asks plugins one node at a time and stops at the first that says no; so here a
node counts for the reasons of one plugin only, the first that rejects it.

A decision carries its `Trace`: all that the plugins said. What people are told later about it is read from there.
A plugin that raises or answers nonsense spoils the decision for this one pod: it is `Failed`.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from kaa.scheduler.answers import Answers, Fresh
from kaa.scheduler.derived import Rows, Scores
from kaa.scheduler.framework import MAX_SCORE, Depends, Nomination, Plugin, Reject, Rejection
from kaa.scheduler.part import copy_of
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot
from kaa.scheduler.trace import Refusal, Scored, Trace


@dataclass(frozen=True, slots=True)
class Placed:
    node_name: str
    trace: Trace | None = field(default=None, compare=False, repr=False)


NOBODY = Nomination()


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """`message` is for people; `plugins` are those that rejected a node, and so whose events can help. `nomination`:
    what a plugin proposes to do about it.
    """

    message: str
    plugins: frozenset[str]
    nomination: Nomination = NOBODY
    trace: Trace | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """Not the pod's fault, nor the nodes': `plugin` did not do its work."""

    message: str
    plugin: str


Decision: TypeAlias = Placed | Unschedulable | Failed


class PluginFailed(Exception):
    """Whose fault it is, and what to tell."""

    def __init__(self, plugin: str, message: str) -> None:
        super().__init__(message)
        self.plugin = plugin


NO_NODES = "no nodes available to schedule pods"


FRESH = Fresh()


def decide(
    pod: PodInfo,
    snapshot: Snapshot,
    plugins: Sequence[Plugin],
    rng: random.Random,
    answers: Answers = FRESH,
    *,
    read_only: bool = False,
) -> Decision:
    """The snapshot is afterwards what it was. `read_only`: meanwhile, too; what must be tried is tried on a copy."""
    try:
        if read_only and snapshot.nominated:
            snapshot = copy_of(snapshot)
        look = filtered_beside_nominated if snapshot.nominated else filtered
        trace = look(pod, snapshot, plugins, answers)
        if np.count_nonzero(trace.feasible):
            return Placed(snapshot.names[best_row(pod, snapshot, plugins, trace, rng, answers)], trace)
        if read_only:
            snapshot = copy_of(snapshot)
        nomination = nominated(pod, snapshot, plugins, trace) if trace.refusals else NOBODY
    except PluginFailed as failure:
        return Failed(str(failure), failure.plugin)
    return Unschedulable(explain(trace, nomination.message), trace.plugins, nomination, trace)


def filtered(pod: PodInfo, snapshot: Snapshot, plugins: Sequence[Plugin], answers: Answers = FRESH) -> Trace:
    """Which rows are feasible, and why the others are not."""
    trace = Trace(snapshot.node_names(), snapshot.present, snapshot.present.copy())
    for plugin in plugins:
        if plugin.pre_reject is not None:
            _refuse(plugin, _rejections(plugin, "PreFilter", plugin.pre_reject, pod, snapshot, answers), trace)
    for plugin in plugins:
        if plugin.reject is not None and np.count_nonzero(trace.feasible):
            _refuse(plugin, _rejections(plugin, "Filter", plugin.reject, pod, snapshot, answers), trace)
    return trace


def yields_to(nominated: PodInfo, pod: PodInfo) -> bool:
    return nominated.priority < pod.priority or nominated.key == pod.key


def wide_plugins(pod: PodInfo, snapshot: Snapshot, plugins: Sequence[Plugin]) -> list[Plugin]:
    """Those that look at all nodes and have anything at all to say to this pod."""

    def has_a_say(plugin: Plugin) -> bool:
        asked = (ask for ask in (plugin.pre_reject, plugin.reject) if ask is not None)
        return any(True for ask in asked for _ in ask(pod, snapshot))

    return [plugin for plugin in plugins if plugin.depends is Depends.EVERYTHING and has_a_say(plugin)]


def filtered_beside_nominated(pod: PodInfo, snapshot: Snapshot, plugins: Sequence[Plugin], answers: Answers) -> Trace:
    """A node must do both with the pods that are nominated to it and without them: they may never come, and then nobody
    must have relied on their company. Those of less important pods do not count, nor does the pod's own.
    """
    with snapshot.set_aside(lambda other: yields_to(other, pod)):
        trace = filtered(pod, snapshot, plugins, answers)
        if not snapshot.nominated or not np.count_nonzero(trace.feasible):
            return trace
        # To the others, fewer pods on a node are never worse.
        wide = wide_plugins(pod, snapshot, plugins)
        if not wide:
            return trace
        with snapshot.set_aside(lambda other: True):
            alone = filtered(pod, snapshot, wide, answers)
    for refusal in alone.refusals:
        rows = refusal.rows & trace.feasible
        if np.count_nonzero(rows):
            trace.refusals.append(replace(refusal, rows=rows))
    trace.feasible = trace.feasible & alone.feasible
    return trace


def _refuse(plugin: Plugin, rejections: Iterator[Rejection], trace: Trace) -> None:
    """A row that this plugin rejects for several reasons counts for each."""
    left = trace.feasible
    for rejection in rejections:
        rows = left & rejection.rows
        if np.count_nonzero(rows):
            trace.refusals.append(
                Refusal(plugin.name, rejection.reason, rows, rejection.resolvable, rejection.whole_pod)
            )
            trace.feasible = trace.feasible & ~rows


def _rejections(
    plugin: Plugin,
    point: str,
    ask: Reject,
    pod: PodInfo,
    snapshot: Snapshot,
    answers: Answers,
) -> Iterator[Rejection]:
    try:
        for rejection in answers.rejections(plugin, ask, pod, snapshot):
            if plugin.foreign:
                check_rows(rejection.rows, snapshot.size)
            yield rejection
    except Exception as error:  # whatever somebody's plugin raises is this pod's affair alone
        raise PluginFailed(plugin.name, f'running {point} plugin "{plugin.name}": {describe(error)}') from error


def best_row(
    pod: PodInfo,
    snapshot: Snapshot,
    plugins: Sequence[Plugin],
    trace: Trace,
    rng: random.Random,
    answers: Answers = FRESH,
) -> int:
    feasible = trace.feasible
    nominated = snapshot.row_of.get(pod.nominated_node_name)
    if nominated is not None and feasible[nominated]:
        return nominated
    if np.count_nonzero(feasible) == 1:
        return int(feasible.argmax())
    total: Scores = np.zeros(snapshot.size)
    for plugin in plugins:
        if plugin.score is None or not plugin.weight:
            continue
        try:
            scores = answers.scores(plugin, pod, snapshot, feasible)
            if scores is None:
                continue
            if plugin.foreign:
                check_scores(scores, feasible)
        except Exception as error:  # as above
            message = f'running Score plugins: plugin "{plugin.name}" failed with: {describe(error)}'
            raise PluginFailed(plugin.name, message) from error
        trace.scores.append(Scored(plugin.name, plugin.weight, scores))
        total += plugin.weight * scores
    total[~feasible] = -np.inf
    best = np.flatnonzero(total == total.max())
    return int(best[rng.randrange(len(best))])


def nominated(pod: PodInfo, snapshot: Snapshot, plugins: Sequence[Plugin], trace: Trace) -> Nomination:
    """What can be done for a pod that no node takes: by the first plugin that knows a node, else what the last says."""
    nomination = NOBODY
    for plugin in plugins:
        if plugin.post_filter is None:
            continue
        try:
            nomination = plugin.post_filter(pod, snapshot, plugins, trace)
        except Exception as error:  # as above
            message = f'running PostFilter plugin "{plugin.name}": {describe(error)}'
            raise PluginFailed(plugin.name, message) from error
        if nomination.node_name:
            break
    return nomination


class Nonsense(Exception):
    """What a plugin answered is not what it was asked for."""


def check_rows(rows: object, size: int) -> None:
    if not isinstance(rows, np.ndarray) or rows.dtype != np.bool_ or rows.shape != (size,):
        raise Nonsense(f"rows must be a numpy array of {size} booleans")


def check_scores(scores: object, rows: Rows) -> None:
    if not isinstance(scores, np.ndarray) or scores.dtype.kind not in "iuf" or scores.shape != rows.shape:
        raise Nonsense(f"scores must be a numpy array of {len(rows)} numbers")
    least, most = scores[rows].min(), scores[rows].max()
    if not (least >= 0 and most <= MAX_SCORE):  # NaN is neither
        raise Nonsense(f"scores must be from 0 to {MAX_SCORE:.0f}, not {least} to {most}")


def describe(error: Exception) -> str:
    text = str(error)
    return text if isinstance(error, Nonsense) else f"{type(error).__name__}: {text}" if text else type(error).__name__


def explain(trace: Trace, preemption: str = "") -> str:
    """Upstream's sentence: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) ... . preemption: ...`."""
    nodes = int(np.count_nonzero(trace.present))
    if not nodes:
        return NO_NODES
    of_pod = [refusal.reason for refusal in trace.refusals if refusal.whole_pod]
    if of_pod:
        reasons = of_pod[0]
    else:
        counts: dict[str, int] = {}
        for refusal in trace.refusals:
            counts[refusal.reason] = counts.get(refusal.reason, 0) + int(np.count_nonzero(refusal.rows))
        reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
    return f"0/{nodes} nodes are available: {reasons}." + (f" {preemption}" if preemption else "")
