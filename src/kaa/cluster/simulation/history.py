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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson

from kaa.api.errors import APIError, not_found
from kaa.api.objects import Object, labels_of
from kaa.api.resource import Resource
from kaa.api.selectors import parse_label_selector
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


class _Step(NamedTuple):
    """`stored` is what a deletion has deleted."""

    revision: int
    time: datetime
    verb: str
    key: str
    stored: bytes


class History:
    """Begins with what a store holds, and hears of all that the store makes durable."""

    def __init__(self, clock: Clock, contents: Contents, limit_bytes: int = HISTORY_BYTES) -> None:
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._begins_time = clock.now()
        self._steps: deque[_Step] = deque()
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
        for change in changes:
            self.revision = revision_of(change.id)
            if change.key.startswith(REGISTRY):
                self._add(now, change)
        while self._bytes > self._limit_bytes:
            step = self._steps.popleft()
            self._bytes -= len(step.stored)
            self.begins_at, self._begins_time = step.revision, step.time
            _take(self._floor, step)

    def _add(self, now: datetime, change: Change) -> None:
        revision = revision_of(change.id)
        verb = "delete" if change.value is None else "create" if change.create_revision == revision else "update"
        stored = change.value if change.value is not None else self._newest[change.key].stored
        step = _Step(revision, now, verb, change.key, stored)
        _take(self._newest, step)
        self._steps.append(step)
        self._bytes += len(stored)
        self._hash.update(f"{revision} {now.isoformat()} {verb} {change.key}\n".encode())
        self._hash.update(stored)

    def digest(self) -> str:
        return self._hash.hexdigest()

    def changes(self, resource: Resource | None = None, namespace: str = "", name: str = "") -> Iterator[Recorded]:
        """Oldest first, up to this moment; of one kind, and there of one namespace or name, if given."""
        for step in list(self._steps):
            if _is_about(step.key, resource, namespace, name):
                yield Recorded(step.revision, step.time, step.verb, _object(_Value(step.revision, step.stored)))

    def at(self, moment: int | datetime) -> "Past":
        """The cluster as it was after a revision, or at a time. Raises Expired for one that is forgotten."""
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
        return Past(revision, state)


class Past:
    """A cluster as it once was. It can be read."""

    def __init__(self, revision: int, state: dict[str, _Value]) -> None:
        self.revision = revision
        self._state = state

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """Raises NotFound."""
        value = self._state.get(prefix_of(resource) + key_of(resource, namespace, name))
        if value is None:
            raise not_found(resource.name, resource.group, name)
        return _object(value)

    def list(self, resource: Resource, namespace: str = "", label_selector: str = "") -> list[Object]:
        """In the order of a list: by namespace and name."""
        selector = parse_label_selector(label_selector)
        keys = sorted(key for key in self._state if _is_about(key, resource, namespace, ""))
        objects = (_object(self._state[key]) for key in keys)
        return [obj for obj in objects if selector.matches(labels_of(obj))]


def _take(state: dict[str, _Value], step: _Step) -> None:
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
