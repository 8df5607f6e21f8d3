"""NodeResourcesFit: room for what the pod requests, and nodes with much room left score higher (LeastAllocated)."""

from collections.abc import Iterator

import numpy as np

from kaa.scheduler.cluster_events import ClusterEvent, helped_by
from kaa.scheduler.derived import Rows, Scores
from kaa.scheduler.framework import MAX_SCORE, Plugin, Rejection
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    yield Rejection(snapshot.pod_count + 1 > snapshot.pod_limit, "Too many pods")
    for resource, amount in pod.requests.items():
        column = snapshot.resources.get(resource)
        if column is None:
            yield Rejection(snapshot.present, f"Insufficient {resource}", resolvable=False)
            continue
        allocatable = snapshot.allocatable[column]
        short = amount > allocatable - snapshot.requested[column]
        # What is more than the whole node has, no preemption can free.
        too_large = amount > allocatable
        yield Rejection(short & too_large, f"Insufficient {resource}", resolvable=False)
        yield Rejection(short & ~too_large, f"Insufficient {resource}")


def shares_used(pod: PodInfo, snapshot: Snapshot) -> Scores:
    """The share of each node's cpu and memory (a row of the result each) that would be used with this pod, 0..1."""
    wanted = snapshot.nonzero + np.array(pod.nonzero, np.float64)[:, None]
    return np.minimum(wanted / np.maximum(snapshot.allocatable[:2], 1), 1.0)


def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
    left = np.floor((1.0 - shares_used(pod, snapshot)) * MAX_SCORE)
    average: Scores = np.floor((left[0] + left[1]) / 2)
    return average


PLUGIN = Plugin(
    name="NodeResourcesFit",
    reject=reject,
    score=score,
    helped_by=helped_by(ClusterEvent.NODE_ADDED, ClusterEvent.NODE_ALLOCATABLE, ClusterEvent.POD_GONE),
)
