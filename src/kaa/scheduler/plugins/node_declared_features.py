"""NodeDeclaredFeatures: a pod that needs what not every kubelet can do goes where the node says that its kubelet can.

Nodes say so in `status.declaredFeatures`; what a pod needs follows from its spec (`pod_info.features_needed`).
"""

from collections.abc import Iterator

import numpy as np

from kaa.api.objects import Object, name_of
from kaa.scheduler.cluster_events import ClusterEvent, Event
from kaa.scheduler.derived import Derived, Rows
from kaa.scheduler.framework import Depends, Plugin, Rejection
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot

NAME = "NodeDeclaredFeatures"
REASON = "node(s) didn't match Pod's required features"


def declared(node: Object) -> frozenset[str]:
    return frozenset((node.get("status") or {}).get("declaredFeatures") or ())


class Declared(Derived):
    """The nodes that have each feature."""

    def __init__(self, snapshot: Snapshot, size: int) -> None:
        self._size = size
        self._rows: dict[str, Rows] = {}
        for node in snapshot.view.list("Node"):
            if (row := snapshot.row_of.get(name_of(node))) is not None:
                self.set_node(row, node)

    def rows(self, feature: str) -> Rows:
        if feature not in self._rows:
            self._rows[feature] = np.zeros(self._size, np.bool_)
        return self._rows[feature]

    def grow(self, size: int) -> None:
        self._size = size
        for feature, rows in self._rows.items():
            self._rows[feature] = np.concatenate([rows, np.zeros(size - len(rows), np.bool_)])

    def set_node(self, row: int, node: Object) -> None:
        self.remove_node(row)
        for feature in declared(node):
            self.rows(feature)[row] = True

    def remove_node(self, row: int) -> None:
        for rows in self._rows.values():
            rows[row] = False


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    if not pod.features:
        return
    having = snapshot.derived(NAME, lambda size: Declared(snapshot, size))
    able = snapshot.present.copy()
    for feature in pod.features:
        able &= having.rows(feature)
    yield Rejection(~able, REASON, resolvable=False)


def is_able_now(pod: PodInfo, event: Event) -> bool:
    return event.new is None or pod.features <= declared(event.new)


PLUGIN = Plugin(
    name=NAME,
    reject=reject,
    depends=Depends.EVERYTHING,
    reads=("Node",),
    helped_by=dict.fromkeys((ClusterEvent.NODE_ADDED, ClusterEvent.NODE_ALLOCATABLE), is_able_now),
)
