"""The nodes as columns: one row a node, one numpy array a fact, kept up to date change by change.

A decision reads columns only. What few pods ask for is not a column until the first of them comes: see `derived.py`;
of those, DERIVED_LIMIT are kept, the longest unused go. Which rows have changed is written down (`changed_since`), so
that what was computed from the columns can be brought up to date row by row.

A pod that waits until others have left a node is *nominated* there: it takes room like a pod on that node, but is none.

Invariants: `row_of[names[row]] == row` for every row in use; `requested`, `nonzero`, `pod_count`, `ports`, `rules` and
all that is derived are the sums over `pods` and `nominated` on that row. A row is `present` while its node exists; a
pod may be bound to a node that does not (yet), and then holds a row that is not.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from sys import intern
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from kaa.api.objects import Object, labels_of, name_of
from kaa.api.selectors import Selector
from kaa.scheduler.derived import Countable, Derived, Domains, Ints, Rows
from kaa.scheduler.pod_info import CPU, MEMORY, HostPort, Key, PodInfo, PodShape, PodTerm, amounts
from kaa.scheduler.terms import TermTable

log = logging.getLogger(__name__)

FIRST_ROWS = 16
FIRST_RESOURCES = 4
DERIVED_LIMIT = 256
"""Of each sort of derived column; those of 5,000 nodes are 10 MB."""

CHANGES_KEPT = 4096
"""Rows that changed, the last ones."""

PODS = "pods"


@dataclass(frozen=True, slots=True)
class Taint:
    key: str
    value: str
    effect: str


class View(Protocol):
    """Objects of other kinds, as the informers know them. They are never modified."""

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None: ...
    def list(self, kind: str, namespace: str | None = None) -> list[Object]: ...
    def count_by_index(self, kind: str, index: str, key: str) -> int: ...


class NoObjects:
    """The view of a snapshot that stands alone."""

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        return None

    def list(self, kind: str, namespace: str | None = None) -> list[Object]:
        return []

    def count_by_index(self, kind: str, index: str, key: str) -> int:
        return 0


D = TypeVar("D", bound=Derived)


class Snapshot:
    def __init__(self, view: View | None = None) -> None:
        self.view: View = view if view is not None else NoObjects()
        self.names: list[str] = [""] * FIRST_ROWS
        self.row_of: dict[str, int] = {}
        self.labels: dict[int, Mapping[str, str]] = {}  # of present nodes
        self.pods: dict[Key, tuple[PodInfo, int]] = {}
        self.nominated: dict[Key, tuple[PodInfo, int]] = {}
        self.resources: dict[str, int] = {CPU: 0, MEMORY: 1}  # a resource's place in allocatable and requested
        self.present: Rows = np.zeros(FIRST_ROWS, np.bool_)
        self.unschedulable: Rows = np.zeros(FIRST_ROWS, np.bool_)
        self.allocatable: Ints = np.zeros((FIRST_RESOURCES, FIRST_ROWS), np.int64)
        self.requested: Ints = np.zeros((FIRST_RESOURCES, FIRST_ROWS), np.int64)
        self.nonzero: Ints = np.zeros((2, FIRST_ROWS), np.int64)  # cpu, memory
        self.pod_count: Ints = np.zeros(FIRST_ROWS, np.int64)
        self.pod_limit: Ints = np.zeros(FIRST_ROWS, np.int64)
        self.taints: dict[Taint, Rows] = {}
        self.ports: dict[tuple[str, int], dict[int, list[str]]] = {}  # (protocol, port): row: addresses
        self.images: dict[str, dict[int, int]] = {}  # name: row: bytes
        self.rules = TermTable()
        self.namespace_labels: dict[str, Mapping[str, str]] = {}
        self.on_row: dict[int, dict[Key, PodInfo]] = {}  # the pods of every row that has any, present or not
        self.node_changes = 0  # how often a node came, changed or went
        self._changed: list[int] = []  # rows whose pods changed, the last ones
        self._forgotten_changes = 0  # how many there were before
        self._domains: OrderedDict[str, Domains] = OrderedDict()
        self._counts: OrderedDict[Countable, Ints] = OrderedDict()
        self._derived: OrderedDict[Hashable, Derived] = OrderedDict()
        self._node_names: tuple[str, ...] | None = None  # of present rows; made when asked for
        self._free = list(range(FIRST_ROWS - 1, -1, -1))

    @property
    def size(self) -> int:
        """The length of every column: rows in use and free ones."""
        return len(self.names)

    def none(self) -> Rows:
        """A column of no rows."""
        return np.zeros(self.size, np.bool_)

    # Nodes

    def node_names(self) -> tuple[str, ...]:
        """By row, "" where there is no node. It stays true of its moment: a new one is made when nodes come or go."""
        if self._node_names is None:
            self._node_names = tuple(
                name if here else "" for name, here in zip(self.names, self.present.tolist(), strict=True)
            )
        return self._node_names

    def set_node(self, node: Object) -> None:
        row = self._row(name_of(node))
        self.node_changes += 1
        if not self.present[row]:
            self.present[row] = True
            self._node_names = None
        self.labels[row] = labels_of(node)
        self.unschedulable[row] = bool(node["spec"].get("unschedulable"))
        status = node.get("status", {})
        allocatable = amounts(status.get("allocatable") or status.get("capacity"))
        self.pod_limit[row] = allocatable.pop(PODS, 0)
        columns = [self._resource(resource) for resource in allocatable]
        self.allocatable[:, row] = 0
        self.allocatable[columns, row] = list(allocatable.values())
        self._set_taints(row, node["spec"].get("taints") or ())
        self._set_images(row, status.get("images") or ())
        for domains in self._domains.values():
            domains.set(row, self.labels[row])
        self._tell(lambda derived: derived.set_node(row, node))

    def remove_node(self, name: str) -> None:
        row = self.row_of.get(name)
        if row is None:
            return
        for key in [key for key, (_, there) in self.nominated.items() if there == row]:
            self.withdraw(key)
        self.present[row] = False
        self.node_changes += 1
        self._node_names = None
        self.unschedulable[row] = False
        self.allocatable[:, row] = 0
        self.pod_limit[row] = 0
        self.labels.pop(row, None)
        self._set_taints(row, ())
        self._set_images(row, ())
        for domains in self._domains.values():
            domains.set(row, {})
        self._tell(lambda derived: derived.remove_node(row))
        self._release(row)

    def _set_taints(self, row: int, taints: Iterable[Object]) -> None:
        wanted = dict.fromkeys(Taint(t["key"], t.get("value", ""), t["effect"]) for t in taints)
        for taint in wanted:
            if taint not in self.taints:
                self.taints[taint] = self.none()
        for taint, rows in list(self.taints.items()):
            rows[row] = taint in wanted
            if not rows.any():
                del self.taints[taint]

    def _set_images(self, row: int, images: Iterable[Object]) -> None:
        for name, rows in list(self.images.items()):
            if rows.pop(row, None) is not None and not rows:
                del self.images[name]
        for image in images:
            for name in image.get("names") or ():
                self.images.setdefault(name, {})[row] = image.get("sizeBytes", 0)

    # Pods

    def add_pod(self, pod: PodInfo, node_name: str) -> None:
        """Puts the pod on the node; one that is on some node already is taken from there first."""
        self.remove_pod(pod.key)
        self.withdraw(pod.key)
        row = self._row(node_name)
        self.pods[pod.key] = (pod, row)
        self.on_row.setdefault(row, {})[pod.key] = pod
        self._put(pod, row)

    def pod_started(self, key: Key, started_at: str) -> None:
        """When the node's kubelet has begun with the pod. It takes the same room as before."""
        pod, row = self.pods[key]
        started = replace(pod, started_at=intern(started_at))
        self.pods[key] = (started, row)
        self.on_row[row][key] = started

    def remove_pod(self, key: Key) -> bool:
        """Whether it was there."""
        pod, row = self.pods.pop(key, (None, 0))
        if pod is None:
            return False
        self._take(pod, row)
        on_row = self.on_row[row]
        del on_row[key]
        if not on_row:
            del self.on_row[row]
        self._release(row)
        return True

    def nominate(self, pod: PodInfo, node_name: str) -> None:
        """Keeps room for the pod on that node, and on no other. Nothing if there is no such node."""
        self.withdraw(pod.key)
        row = self.row_of.get(node_name)
        if row is not None and self.present[row]:
            self.nominated[pod.key] = (pod, row)
            self._put(pod, row)

    def withdraw(self, key: Key) -> None:
        """Keeps no room for the pod any more. Twice is once."""
        pod, row = self.nominated.pop(key, (None, 0))
        if pod is not None:
            self._take(pod, row)
            self._release(row)

    @contextmanager
    def set_aside(self, these: Callable[[PodInfo], bool]) -> Iterator[None]:
        """Without these nominations for a while."""
        aside = [(pod, row) for pod, row in self.nominated.values() if these(pod)]
        for pod, _ in aside:
            self.withdraw(pod.key)
        try:
            yield
        finally:
            for pod, row in aside:
                self.nominate(pod, self.names[row])

    def _put(self, pod: PodInfo, row: int) -> None:
        self._count(pod.shape, row, 1)
        self._record(pod, row, 1)

    def _take(self, pod: PodInfo, row: int) -> None:
        self._count(pod.shape, row, -1)
        self._record(pod, row, -1)

    def _count(self, shape: PodShape, rows: int | list[int], sign: int) -> None:
        """One pod of that shape more (or less, by `sign`) on each of the rows; no row twice."""
        for resource, amount in shape.requests.items():
            column = self._resource(resource)  # it may replace the array
            self.requested[column, rows] += sign * amount
        self.nonzero[0, rows] += sign * shape.nonzero[0]
        self.nonzero[1, rows] += sign * shape.nonzero[1]
        self.pod_count[rows] += sign

    def _record(self, pod: PodInfo, row: int, sign: int) -> None:
        """The same in all that few pods have."""
        for pods_that, counts in self._counts.items():
            if pods_that.holds(pod):
                counts[row] += sign
        for port in pod.shape.ports:
            if sign > 0:
                self.ports.setdefault((port.protocol, port.port), {}).setdefault(row, []).append(port.address)
            else:
                self._free_port(port, row)
        change = self.rules.add if sign > 0 else self.rules.remove
        change(pod, row)
        if sign > 0:
            self._tell(lambda derived: derived.add_pod(pod, row))
        else:
            self._tell(lambda derived: derived.remove_pod(pod, row))
        self._changed.append(row)
        if len(self._changed) > CHANGES_KEPT:
            forgotten = CHANGES_KEPT // 2
            del self._changed[:forgotten]
            self._forgotten_changes += forgotten

    def _free_port(self, port: HostPort, row: int) -> None:
        rows = self.ports[port.protocol, port.port]
        rows[row].remove(port.address)
        if not rows[row]:
            del rows[row]
            if not rows:
                del self.ports[port.protocol, port.port]

    # Derived columns

    def domains(self, topology_key: str) -> Domains:
        known = self._domains.get(topology_key)
        if known is None:
            known = Domains(topology_key, np.full(self.size, -1, np.int64))
            for row, labels in self.labels.items():
                known.set(row, labels)
            _keep(self._domains, topology_key, known)
        self._domains.move_to_end(topology_key)
        return known

    def count_of(self, pods_that: Countable) -> Ints:
        """How many such pods each node has. To be read, not changed."""
        known = self._counts.get(pods_that)
        if known is None:
            known = np.zeros(self.size, np.int64)
            for pod, row in self._all_pods():
                if pods_that.holds(pod):
                    known[row] += 1
            _keep(self._counts, pods_that, known)
        self._counts.move_to_end(pods_that)
        return known

    def derived(self, key: Hashable, make: Callable[[int], D]) -> D:
        """A plugin's own state beside the columns, by a key of its own: made (for so many rows) when first asked for,
        told of all pods there are, and from then on of every change.
        """
        known = self._derived.get(key)
        if known is None:
            known = make(self.size)
            for pod, row in self._all_pods():
                known.add_pod(pod, row)
            _keep(self._derived, key, known)
        self._derived.move_to_end(key)
        return cast(D, known)

    def _tell(self, change: Callable[[Derived], None]) -> None:
        """What fails to follow is dropped, and made anew when it is asked for: it may be somebody's plugin's."""
        for key, derived in list(self._derived.items()):
            try:
                change(derived)
            except Exception:
                log.exception("state %s does not follow, and is dropped", key)
                del self._derived[key]

    def object_changed(self, kind: str, old: Object | None, new: Object | None) -> None:
        """An object of a kind that plugins read came, changed or went: derived state may follow."""
        self._tell(lambda derived: derived.object_changed(kind, old, new))

    def _all_pods(self) -> Iterator[tuple[PodInfo, int]]:
        yield from self.pods.values()
        yield from self.nominated.values()

    def namespaces_of(self, term: PodTerm) -> frozenset[str] | None:
        """The namespaces that the term means; None for all."""
        selector: Selector | None = term.namespace_selector
        if selector is None:
            return term.namespaces
        if selector.matches_everything:
            return None
        found = (name for name, labels in self.namespace_labels.items() if selector.matches(labels))
        return term.namespaces.union(found)

    def concerns(self, term: PodTerm, pod: PodInfo) -> bool:
        """Whether `pod` is one of those that the term means."""
        namespaces = self.namespaces_of(term)
        return (namespaces is None or pod.namespace in namespaces) and term.selector.matches(pod.labels)

    # Changes

    @property
    def changes(self) -> int:
        """How often the pods of any row changed: a mark for `changed_since`."""
        return self._forgotten_changes + len(self._changed)

    def changed_since(self, mark: int) -> set[int] | None:
        """The rows whose pods changed since then; None if that is forgotten."""
        first = mark - self._forgotten_changes
        return set(self._changed[first:]) if first >= 0 else None

    # Rows and resources

    def _row(self, name: str) -> int:
        row = self.row_of.get(name)
        if row is None:
            if not self._free:
                self._grow()
            row = self._free.pop()
            self.row_of[name] = row
            self.names[row] = name
        return row

    def _release(self, row: int) -> None:
        """Frees the row if neither a node nor a pod holds it."""
        if self.present[row] or row in self.on_row:
            return
        del self.row_of[self.names[row]]
        self.names[row] = ""
        self._free.append(row)

    def _grow(self) -> None:
        old = self.size
        self.names += [""] * old
        self._node_names = None
        self.node_changes += 1
        self._free = list(range(2 * old - 1, old - 1, -1))
        for name in ("present", "unschedulable", "allocatable", "requested", "nonzero", "pod_count", "pod_limit"):
            setattr(self, name, _doubled(getattr(self, name)))
        self.taints = {taint: _doubled(rows) for taint, rows in self.taints.items()}
        for domains in self._domains.values():
            domains.column = _doubled(domains.column, -1)
        for pods_that, counts in self._counts.items():
            self._counts[pods_that] = _doubled(counts)
        self.rules.grow()
        self._tell(lambda derived: derived.grow(2 * old))

    def _resource(self, name: str) -> int:
        column = self.resources.get(name)
        if column is None:
            column = self.resources[name] = len(self.resources)
            if column == len(self.allocatable):
                self.allocatable = np.concatenate([self.allocatable, np.zeros_like(self.allocatable)])
                self.requested = np.concatenate([self.requested, np.zeros_like(self.requested)])
        return column


def _doubled(column: Any, fill: int = 0) -> Any:
    return np.concatenate([column, np.full_like(column, fill)], axis=-1)


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    kept[key] = value
    if len(kept) > DERIVED_LIMIT:
        kept.popitem(last=False)
