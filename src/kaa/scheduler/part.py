"""Some rows of a snapshot as a snapshot of its own: to ask plugins about a few nodes, or to try changes on.

It is a copy, but only the columns are copied at once; what else there is, is made when it is first asked for, from the
whole as it is then. It knows nothing of the other nodes: only answers that depend on a node and its pods hold there.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kaa.scheduler.pod_info import PodInfo, PodShape
from kaa.scheduler.snapshot import Snapshot
from kaa.scheduler.terms import TermTable


class Part(Snapshot):
    def __init__(self, whole: Snapshot, rows: Sequence[int]) -> None:
        # Not the whole's: every column is made of the whole's here, the rest by __getattr__.
        chosen = np.array(rows, np.intp)
        self._whole = whole
        self._rows = list(rows)
        self.view = whole.view
        self.resources = dict(whole.resources)
        self.namespace_labels = whole.namespace_labels
        self.names = [whole.names[row] for row in rows]
        self.present = whole.present.take(chosen)
        self.unschedulable = whole.unschedulable.take(chosen)
        self.allocatable = whole.allocatable.take(chosen, axis=1)
        self.requested = whole.requested.take(chosen, axis=1)
        self.nonzero = whole.nonzero.take(chosen, axis=1)
        self.pod_count = whole.pod_count.take(chosen)
        self.pod_limit = whole.pod_limit.take(chosen)
        self.node_changes = whole.node_changes
        self._domains = OrderedDict()
        self._counts = OrderedDict()
        self._derived = OrderedDict()
        self._node_names = None
        self._changed = []
        self._forgotten_changes = whole.changes
        self._free = []

    def move(self, pods: Iterable[tuple[PodInfo, int]], *, back: bool) -> None:
        """Takes these pods off their rows, or puts them there: at once what they have in common. In order of rows."""
        rows_of: dict[PodShape, list[list[int]]] = {}
        for pod, row in pods:
            # numpy adds once only to a row that is named twice.
            rounds = rows_of.setdefault(pod.shape, [])
            turn = next((rows for rows in rounds if row != rows[-1]), None)
            if turn is None:
                rounds.append([row])
            else:
                turn.append(row)
            if back:
                self.pods[pod.key] = (pod, row)
                self.on_row.setdefault(row, {})[pod.key] = pod
            else:
                del self.pods[pod.key]
                del self.on_row[row][pod.key]
            self._record(pod, row, 1 if back else -1)
        for shape, rounds in rows_of.items():
            for rows in rounds:
                self._count(shape, rows, 1 if back else -1)

    def __getattr__(self, name: str) -> Any:
        """What is not there yet."""
        if name not in MADE_LATER:
            raise AttributeError(name)
        value = MADE_LATER[name](self, self._whole, self._rows)
        setattr(self, name, value)
        return value


def copy_of(snapshot: Snapshot) -> Part:
    """Of all rows."""
    return Part(snapshot, range(snapshot.size))


Make = Callable[[Part, Snapshot, list[int]], Any]


def _row_of(part: Part, whole: Snapshot, rows: list[int]) -> Any:
    return {name: index for index, name in enumerate(part.names) if name}


def _labels(part: Part, whole: Snapshot, rows: list[int]) -> Any:
    return {index: whole.labels[row] for index, row in enumerate(rows) if row in whole.labels}


def _on_row(part: Part, whole: Snapshot, rows: list[int]) -> Any:
    return {index: dict(whole.on_row[row]) for index, row in enumerate(rows) if row in whole.on_row}


def _pods(part: Part, whole: Snapshot, rows: list[int]) -> Any:
    return {key: (pod, row) for row, pods in part.on_row.items() for key, pod in pods.items()}


def _nominated(part: Part, whole: Snapshot, rows: list[int]) -> Any:
    index_of = {row: index for index, row in enumerate(rows)}
    return {key: (pod, index_of[row]) for key, (pod, row) in whole.nominated.items() if row in index_of}


def _taints(part: Part, whole: Snapshot, rows: list[int]) -> Any:
    return {taint: tainted[rows] for taint, tainted in whole.taints.items() if tainted[rows].any()}


def _ports(part: Part, whole: Snapshot, rows: list[int]) -> Any:
    used = {port: _of_rows(users, rows) for port, users in whole.ports.items()}
    return {port: {index: list(names) for index, names in users.items()} for port, users in used.items() if users}


def _images(part: Part, whole: Snapshot, rows: list[int]) -> Any:
    return {name: _of_rows(sizes, rows) for name, sizes in whole.images.items()}


def _of_rows(by_row: Mapping[int, Any], rows: list[int]) -> dict[int, Any]:
    return {index: by_row[row] for index, row in enumerate(rows) if row in by_row}


def _rules(part: Part, whole: Snapshot, rows: list[int]) -> Any:
    table = TermTable()
    for pod, row in (*part.pods.values(), *part.nominated.values()):
        table.add(pod, row)
    return table


MADE_LATER: Mapping[str, Make] = {
    "row_of": _row_of,
    "labels": _labels,
    "on_row": _on_row,
    "pods": _pods,
    "nominated": _nominated,
    "taints": _taints,
    "ports": _ports,
    "images": _images,
    "rules": _rules,
}
