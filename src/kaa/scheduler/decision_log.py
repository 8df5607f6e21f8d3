"""The last decisions, for those who ask why: the latest of each of the last MAX_DECISIONS pods.

Kept small: which rows were out is a bit each, a score a byte. Some 30 KB for a decision on 5,000 nodes.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from kaa.scheduler.decision import Decision, Failed, Placed
from kaa.scheduler.pod_info import Key, PodInfo
from kaa.scheduler.trace import Trace

MAX_DECISIONS = 256


@dataclass(frozen=True, slots=True)
class Kept:
    """One decision. `scores` are (plugin, weight, a byte a row); `refused` are (plugin, reason, bits of rows)."""

    pod: PodInfo
    at: datetime
    node_name: str  # "": none
    message: str  # why none
    names: Sequence[str] = ()  # node of each row, "" for a free one
    feasible: NDArray[np.uint8] | None = None
    refused: tuple[tuple[str, str, NDArray[np.uint8]], ...] = ()
    scores: tuple[tuple[str, int, NDArray[np.uint8]], ...] = ()

    def nodes(self) -> "Iterator[Node]":
        """What was said of each node, in the order of the snapshot's rows."""
        size = len(self.names)
        feasible = _unpacked(self.feasible, size)
        refused = [(plugin, reason, _unpacked(rows, size)) for plugin, reason, rows in self.refused]
        for row, name in enumerate(self.names):
            if name:
                yield Node(
                    name,
                    bool(feasible[row]),
                    tuple((plugin, reason) for plugin, reason, rows in refused if rows[row]),
                    tuple((plugin, weight, int(scores[row])) for plugin, weight, scores in self.scores),
                )


@dataclass(frozen=True, slots=True)
class Node:
    """`reasons` are (plugin, reason); `scores` (plugin, weight, 0..100), of feasible nodes."""

    name: str
    feasible: bool
    reasons: tuple[tuple[str, str], ...]
    scores: tuple[tuple[str, int, int], ...]

    @property
    def total(self) -> int:
        return sum(weight * score for _, weight, score in self.scores)


class DecisionLog:
    def __init__(self, limit: int = MAX_DECISIONS) -> None:
        self._limit = limit
        self._kept: OrderedDict[Key, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> Kept | None:
        """The pod's last decision."""
        return self._kept.get(key)

    def put(self, pod: PodInfo, decision: Decision, at: datetime) -> None:
        self._kept.pop(pod.key, None)
        self._kept[pod.key] = kept(pod, decision, at)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)


def kept(pod: PodInfo, decision: Decision, at: datetime) -> Kept:
    node_name = decision.node_name if isinstance(decision, Placed) else ""
    message = "" if isinstance(decision, Placed) else decision.message
    trace: Trace | None = None if isinstance(decision, Failed) else decision.trace
    if trace is None:
        return Kept(pod, at, node_name, message)
    return Kept(
        pod,
        at,
        node_name,
        message,
        trace.names,
        np.packbits(trace.feasible),
        tuple((refusal.plugin, refusal.reason, np.packbits(refusal.rows)) for refusal in trace.refusals),
        tuple((scored.plugin, scored.weight, scored.scores.astype(np.uint8)) for scored in trace.scores),
    )


def _unpacked(bits: NDArray[np.uint8] | None, size: int) -> NDArray[np.uint8]:
    return np.unpackbits(bits, count=size) if bits is not None else np.zeros(size, np.uint8)
