"""Everything that has happened in a cluster: each change of each object, with its time.

    for change in c.history("pod", name="web-0"):       # revision, time, verb, object
        print(change.time, change.verb, change.object["status"].get("phase"))
    c.at(datetime(2030, 1, 1, 10, 42, tzinfo=UTC)).get("pod", "web-0")

The store forgets old revisions; the history does not, up to `HISTORY_BYTES`. What is older has sunk into the *floor*:
the objects as they were at the revision `begins_at`, from which any later moment can be told. Values are shared with
the store. `digest` is of every change since the cluster began, forgotten ones included: two runs with equal digests
had the same history to the last byte.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson

from kaa.api.errors import APIError, not_found
from kaa.api.objects import Object, labels_of
from kaa.api.resource import Catalog, Resource
from kaa.api.selectors import parse_label_selector
from kaa.cluster.simulation.kind_names import resource_named
from kaa.lib.clock import Clock
from kaa.server.storage import REGISTRY, key_of, prefix_of
from kaa.store.log import Change, Contents, revision_of

HISTORY_BYTES = 64 * 1024 * 1024
"""How much of the past is kept, in values, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One change. `verb` is create, update or delete; `object` is what it left, or what was deleted."""

    revision: int
    time: datetime
    verb: str
    object: Object


class _Value(NamedTuple):
    revision: int
    stored: bytes


class Step(NamedTuple):
    """A change as it was stored. `stored` is what a deletion has deleted, `before` what an update has replaced."""

    revision: int
    time: datetime
    verb: str
    key: str
    stored: bytes
    before: bytes = b""


class History:
    """Begins with what a store holds, and hears of all that the store makes durable."""

    def __init__(self, clock: Clock, contents: Contents, limit_bytes: int = HISTORY_BYTES) -> None:
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._begins_time = clock.now()
        self._steps: deque[Step] = deque()
        self._listeners: list[Callable[[Step], None]] = []
        self._hash = hashlib.sha256()
        self.begins_at = self.revision = contents.compacted_revision
        self._newest: dict[str, _Value] = {}
        for change in contents.changes:
            self.begins_at = self.revision = max(self.revision, revision_of(change.id))
            if change.value is None:
                self._newest.pop(change.key, None)
            elif change.key.startswith(REGISTRY):
                self._newest[change.key] = _Value(revision_of(change.id), change.value)
        self._floor = dict(self._newest)

    def hear(self, changes: Sequence[Change]) -> None:
        now = self._clock.now()
        moment = now.isoformat()
        for change in changes:
            self.revision = revision_of(change.id)
            if change.key.startswith(REGISTRY):
                self._add(now, moment, change)
        while self._bytes > self._limit_bytes:
            step = self._steps.popleft()
            self._bytes -= len(step.stored)
            self.begins_at, self._begins_time = step.revision, step.time
            _take(self._floor, step)

    def _add(self, now: datetime, moment: str, change: Change) -> None:
        revision = self.revision
        verb = "delete" if change.value is None else "create" if change.create_revision == revision else "update"
        known = self._newest.get(change.key)
        before = known.stored if known is not None else b""
        stored = change.value if change.value is not None else before
        step = Step(revision, now, verb, change.key, stored, before)
        _take(self._newest, step)
        self._steps.append(step)
        self._bytes += len(stored)
        self._hash.update(f"{revision} {moment} {verb} {change.key}\n".encode())
        if change.value is not None:
            self._hash.update(change.value)
        for listener in self._listeners:
            listener(step)

    @contextmanager
    def listening(self, listener: Callable[[Step], None]) -> Iterator[None]:
        """`listener` is told of every step, at once, while this lasts."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def retell(self, listener: Callable[[Step], None]) -> None:
        """Tells of everything so far: of the floor as if it had been made at once, then of every step."""
        for key, (revision, stored) in self._floor.items():
            listener(Step(revision, self._begins_time, "create", key, stored))
        for step in self._steps:
            listener(step)

    def digest(self) -> str:
        return self._hash.hexdigest()

    def changes(self, resource: Resource | None = None, namespace: str = "", name: str = "") -> Iterator[Recorded]:
        """Oldest first, up to this moment; of one kind, and there of one namespace or name, if given."""
        # What is chosen is chosen now, in the cluster's thread; it is decoded when and where it is read.
        chosen = [step for step in self._steps if _is_about(step.key, resource, namespace, name)]
        return (
            Recorded(step.revision, step.time, step.verb, _object(_Value(step.revision, step.stored)))
            for step in chosen
        )

    def at(self, moment: int | datetime, catalog: Catalog) -> "Past":
        """The cluster as it was after a revision, or at a time. Raises Expired for one that is forgotten."""
        if isinstance(moment, datetime) and moment.tzinfo is None:
            raise ValueError(f"a time has a time zone, as `now` has: {moment!r}")
        begins = self.begins_at if isinstance(moment, int) else self._begins_time
        if moment < begins:  # type: ignore[operator]  # both are the same
            raise APIError("Expired", f"too old resource version: {moment} ({begins})")
        state = dict(self._floor)
        revision = self.begins_at
        for step in self._steps:
            if (step.revision > moment) if isinstance(moment, int) else (step.time > moment):
                break
            revision = step.revision
            _take(state, step)
        return Past(revision, state, catalog)


class Past:
    """A cluster as it once was. It can be read; objects are in the version that they were stored in."""

    def __init__(self, revision: int, state: dict[str, _Value], catalog: Catalog) -> None:
        self.revision = revision
        self._state = state
        self._catalog = catalog

    def get(self, kind: str, name: str, *, namespace: str = "default") -> Object:
        """Raises NotFound."""
        resource = resource_named(self._catalog, kind)
        value = self._state.get(prefix_of(resource) + key_of(resource, namespace, name))
        if value is None:
            raise not_found(resource.name, resource.group, name)
        return _object(value)

    def list(self, kind: str, *, namespace: str | None = None, label_selector: str = "") -> list[Object]:
        """In the order of a list: by namespace and name. Of all namespaces, unless one is given."""
        resource, selector = resource_named(self._catalog, kind), parse_label_selector(label_selector)
        keys = sorted(key for key in self._state if _is_about(key, resource, namespace or "", ""))
        objects = (_object(self._state[key]) for key in keys)
        return [obj for obj in objects if selector.matches(labels_of(obj))]


def _take(state: dict[str, _Value], step: Step) -> None:
    if step.verb == "delete":
        state.pop(step.key, None)
    else:
        state[step.key] = _Value(step.revision, step.stored)


def _is_about(key: str, resource: Resource | None, namespace: str, name: str) -> bool:
    if resource is None:
        return True
    prefix = prefix_of(resource)
    if not key.startswith(prefix):
        return False
    found_namespace, _, found_name = key[len(prefix) :].rpartition("/")
    return (not namespace or namespace == found_namespace) and (not name or name == found_name)


def _object(value: _Value) -> Object:
    """In the version that it was stored in."""
    obj: Object = orjson.loads(value.stored)
    obj["metadata"]["resourceVersion"] = str(value.revision)
    return obj
