"""NodeResourcesFit: room for what the pod requests, and nodes with much room left score higher (LeastAllocated)."""

from collections.abc import Iterator

import numpy as np

from kaa.scheduler.derived import Ints, Rows
from kaa.scheduler.framework import MAX_SCORE, ClusterEvent, Plugin, Rejection, Scores
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    yield Rejection(snapshot.pod_count + 1 > snapshot.pod_limit, "Too many pods")
    for resource, amount in pod.requests.items():
        column = snapshot.resources.get(resource)
        if column is None:
            yield Rejection(snapshot.present, f"Insufficient {resource}", resolvable=False)
            continue
        allocatable = snapshot.allocatable[:, column]
        short = amount > allocatable - snapshot.requested[:, column]
        # What is more than the whole node has, no preemption can free.
        too_large = amount > allocatable
        yield Rejection(short & too_large, f"Insufficient {resource}", resolvable=False)
        yield Rejection(short & ~too_large, f"Insufficient {resource}")


def load(pod: PodInfo, snapshot: Snapshot) -> tuple[Ints, Ints]:
    """(allocatable, requested with this pod) of cpu and memory, a column each."""
    wanted = snapshot.nonzero + np.array(pod.nonzero, np.int64)
    return snapshot.allocatable[:, :2], wanted


def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
    allocatable, wanted = load(pod, snapshot)
    room = np.clip(allocatable - wanted, 0, None)
    shares = room * int(MAX_SCORE) // np.maximum(allocatable, 1)
    average: Scores = np.floor(shares.mean(axis=1))
    return average


PLUGIN = Plugin(
    name="NodeResourcesFit",
    reject=reject,
    score=score,
    helped_by=frozenset({ClusterEvent.NODE_ADDED, ClusterEvent.NODE_ALLOCATABLE, ClusterEvent.POD_GONE}),
)
