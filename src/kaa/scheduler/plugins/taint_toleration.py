"""TaintToleration: no node with a taint that the pod does not tolerate; few such PreferNoSchedule taints are better."""

from collections.abc import Iterator

import numpy as np

from kaa.scheduler.cluster_events import ClusterEvent, Event
from kaa.scheduler.derived import Ints, Rows, Scores
from kaa.scheduler.framework import Depends, Plugin, Rejection, normalize
from kaa.scheduler.plugins.tolerations import is_tolerated
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot, Taint

HARD_EFFECTS = ("NoSchedule", "NoExecute")
SOFT_EFFECT = "PreferNoSchedule"


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    if (rows := untolerated(pod, snapshot)).any():
        yield Rejection(rows, "node(s) had untolerated taint(s)", resolvable=False)


def untolerated(pod: PodInfo, snapshot: Snapshot) -> Rows:
    rows = snapshot.none()
    for taint, tainted in snapshot.taints.items():
        if taint.effect in HARD_EFFECTS and not is_tolerated(taint, pod.tolerations):
            rows |= tainted
    return rows


def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
    disliked: Ints = np.zeros(snapshot.size, np.int64)
    for taint, tainted in snapshot.taints.items():
        if taint.effect == SOFT_EFFECT and not is_tolerated(taint, pod.tolerations):
            disliked += tainted
    return normalize(disliked, rows, reverse=True)


def tolerates_now(pod: PodInfo, event: Event) -> bool:
    taints = (event.new or {"spec": {}})["spec"].get("taints") or ()
    hard = (Taint(t["key"], t.get("value", ""), t["effect"]) for t in taints if t["effect"] in HARD_EFFECTS)
    return all(is_tolerated(taint, pod.tolerations) for taint in hard)


PLUGIN = Plugin(
    name="TaintToleration",
    reject=reject,
    score=score,
    weight=3,
    depends=Depends.NODES,
    helped_by=dict.fromkeys((ClusterEvent.NODE_ADDED, ClusterEvent.NODE_TAINTS), tolerates_now),
)
