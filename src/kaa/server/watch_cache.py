"""The watch cache: everything the store holds, as bytes and the few fields that are selected on, and who watches it.

One watch of the store feeds it, so it has ONE revision for all kinds: `revision` says how far it has followed the
store, and everything up to it has been handed to the watchers, in order. Reads are served from here. A *consistent*
read first waits until the cache has reached what the store's revision was when the request came (`caught_up`); of a
store that several servers share, whoever wrote it. The watch follows all keys, also those that are no objects, for
each of them moves the revision.

    entry    one object: item bytes (see storage), namespace, name, labels, selectable fields, revision
    change   one step of one object: (previous entry or None) -> (current entry or None), at a revision
    history  a kind's last changes, so that a watch can begin in the past; bounded, and `oldest` says where it begins
    watcher  a scope, a predicate, a form to encode events in, and a bounded queue of encoded events

A change is encoded once for each form that somebody watches in; the bytes are shared. A watcher whose queue is full
is ended: its client watches again from where it was.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from sortedcontainers import SortedDict

from kaa.api.errors import APIError, Cause
from kaa.api.resource import Catalog, Resource
from kaa.server.storage import REGISTRY, item_of, prefix_of, stored_rows
from kaa.store.store import Compacted, Event, Store

HISTORY_CHANGES = 4096
HISTORY_BYTES = 8 * 1024 * 1024
"""How much of the past each kind keeps for watches that begin there: whichever bound is met first."""

WATCHER_QUEUE_EVENTS = 4096
WATCHER_QUEUE_BYTES = 8 * 1024 * 1024
"""How far a watcher may lag behind before it is ended."""

LOAD_PAGE = 1000
"""Objects a page when the cache is filled from the store."""

FRESHNESS_SECONDS = 3.0
"""How long a read waits for a revision that the cache has not seen yet."""

FIELD_SOURCES = {"source": ("source.component", "reportingComponent")}
"""Selectable fields whose name is not where their value is: at the first of these that is not empty."""

FIELD_DEFAULTS = {"spec.hostNetwork": "false", "spec.unschedulable": "false", "status.replicas": "0"}
"""What an absent field counts as, where that is not the empty string."""


@dataclass(slots=True)
class Entry:
    """One object as the cache keeps it. Never changed after it was made."""

    key: str  # `<namespace>/<name>` or the name
    namespace: str
    name: str
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    revision: int
    create_revision: int
    item: bytes


@dataclass(slots=True)
class Change:
    revision: int
    current: Entry | None
    previous: Entry | None

    @property
    def size(self) -> int:
        return len(self.current.item if self.current else b"") + len(self.previous.item if self.previous else b"")


class Form(Protocol):
    """How one event is written to a watcher. Compared by identity: one form a row and encoding, shared by watchers."""

    def event(self, type_: str, entry: Entry, revision: int) -> bytes: ...


Predicate = Callable[[Entry], bool]


def transition(was_selected: bool, is_selected: bool) -> str | None:
    """The event that a watcher sees for a change, given whether its selection held the object before and does now."""
    if is_selected:
        return "MODIFIED" if was_selected else "ADDED"
    return "DELETED" if was_selected else None


@dataclass(slots=True, eq=False)
class Watcher:
    """One watch. `take` waits for encoded events; an empty list from it means that the watch was ended."""

    namespace: str  # "": all
    name: str  # "": all
    selects: Predicate | None  # None: everything in its scope
    form: Form
    after: int  # only changes with a later revision are seen
    ended: bool = False
    queue: deque[bytes] = field(default_factory=deque)
    queued_bytes: int = 0
    _wakeup: asyncio.Future[None] | None = None

    def event_of(self, change: Change) -> tuple[str, Entry] | None:
        """What this watcher sees of a change: the event's type, and the entry to show."""
        current, previous = change.current, change.previous
        selects = self.selects
        was = previous is not None and (selects is None or selects(previous))
        now = current is not None and (selects is None or selects(current))
        type_ = transition(was, now)
        shown = current if now else previous
        return (type_, shown) if type_ is not None and shown is not None else None

    def offer(self, encoded: bytes) -> None:
        if len(self.queue) >= WATCHER_QUEUE_EVENTS or self.queued_bytes >= WATCHER_QUEUE_BYTES:
            self.end()
            return
        self.queue.append(encoded)
        self.queued_bytes += len(encoded)
        self.wake()

    def end(self) -> None:
        self.ended = True
        self.wake()

    def wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    async def wait(self) -> None:
        """Returns when there is something to take, the watch has ended, or somebody called `wake`."""
        if self.queue or self.ended:
            return
        self._wakeup = asyncio.get_running_loop().create_future()
        try:
            await self._wakeup
        finally:
            self._wakeup = None

    def take(self) -> list[bytes]:
        taken = list(self.queue)
        self.queue.clear()
        self.queued_bytes = 0
        return taken


class KindCache:
    """All objects of one kind, by key."""

    def __init__(self, fields: tuple[str, ...], revision: int) -> None:
        self.fields = fields
        self.entries: SortedDict[str, Entry] = SortedDict()
        self.history: deque[Change] = deque()
        self.oldest = revision  # a watch may begin at this revision or later
        self.changed = revision  # the last change's
        self.watchers: dict[tuple[str, str], list[Watcher]] = {}
        self._history_bytes = 0

    def select(self, namespace: str = "", name: str = "", start: str = "") -> Iterator[Entry]:
        """The entries of a scope with keys >= `start`, in order."""
        if name:
            entry = self.entries.get(f"{namespace}/{name}" if namespace else name)
            if entry is not None and entry.key >= start:
                yield entry
        elif namespace:
            # "0" follows "/": the keys between are those of this namespace.
            first = max(start, namespace + "/")
            for key in self.entries.irange(first, namespace + "0", inclusive=(True, False)):
                yield self.entries[key]
        elif start:
            for key in self.entries.irange(start):
                yield self.entries[key]
        else:
            yield from self.entries.values()

    def since(self, revision: int) -> list[Change]:
        """The changes after `revision`, oldest first. Raises Expired when they are no longer all known."""
        if revision < self.oldest:
            raise APIError("Expired", f"too old resource version: {revision} ({self.oldest})")
        changes = []
        for change in reversed(self.history):
            if change.revision <= revision:
                break
            changes.append(change)
        changes.reverse()
        return changes

    def put(self, entry: Entry) -> None:
        self._step(Change(entry.revision, entry, self.entries.get(entry.key)))
        self.entries[entry.key] = entry

    def delete(self, key: str, revision: int) -> None:
        previous = self.entries.pop(key, None)
        if previous is not None:
            self._step(Change(revision, None, previous))

    def _step(self, change: Change) -> None:
        self.changed = change.revision
        self.history.append(change)
        self._history_bytes += change.size
        while len(self.history) > HISTORY_CHANGES or self._history_bytes > HISTORY_BYTES:
            dropped = self.history.popleft()
            self._history_bytes -= dropped.size
            self.oldest = dropped.revision
        if self.watchers:
            self._tell(change)

    def _tell(self, change: Change) -> None:
        entry = change.current or change.previous
        assert entry is not None
        encoded: dict[tuple[int, str], bytes] = {}
        for scope in {("", ""), ("", entry.name), (entry.namespace, ""), (entry.namespace, entry.name)}:
            for watcher in self.watchers.get(scope, ()):
                event = watcher.event_of(change) if change.revision > watcher.after else None
                if event is None:
                    continue
                type_, shown = event
                sort = (id(watcher.form), type_)
                if sort not in encoded:
                    encoded[sort] = watcher.form.event(type_, shown, change.revision)
                watcher.offer(encoded[sort])

    def subscribe(self, watcher: Watcher) -> None:
        self.watchers.setdefault((watcher.namespace, watcher.name), []).append(watcher)

    def unsubscribe(self, watcher: Watcher) -> None:
        scope = (watcher.namespace, watcher.name)
        self.watchers[scope].remove(watcher)
        if not self.watchers[scope]:
            del self.watchers[scope]

    def end_watchers(self) -> None:
        for watchers in self.watchers.values():
            for watcher in watchers:
                watcher.end()


class WatchCache:
    """All kinds. `load` fills it, `run` follows the store until cancelled or the store is closed."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self.revision = 0
        self._began = 0  # the revision that the history begins at
        self._store = store
        self._catalog = catalog
        self._kinds: dict[str, KindCache] = {}
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def kind(self, resource: Resource) -> KindCache:
        return self._of_prefix(prefix_of(resource))

    def _of_prefix(self, prefix: str) -> KindCache:
        kind = self._kinds.get(prefix)
        if kind is None:
            row = stored_rows(self._catalog).get(prefix)
            kind = self._kinds[prefix] = KindCache(row.selectable_fields if row else (), self._began)
        return kind

    def forget(self, resource: Resource) -> None:
        """Ends the watches of a kind that is no longer served, or no longer as it was."""
        kind = self._kinds.get(prefix_of(resource))
        if kind is not None:
            kind.end_watchers()

    def reindex(self, resource: Resource, fields: tuple[str, ...]) -> None:
        """A custom kind was added or its selectable fields have changed: entries get these fields."""
        kind = self.kind(resource)
        if kind.fields == fields:
            return
        kind.fields = fields
        for key, entry in list(kind.entries.items()):
            kind.entries[key] = Entry(
                key,
                entry.namespace,
                entry.name,
                entry.labels,
                selected_fields(orjson.loads(entry.item), fields),
                entry.revision,
                entry.create_revision,
                entry.item,
            )

    async def load(self) -> None:
        """Reads the whole store as it was some changes ago, and follows it to the present. Open watches are ended.

        So there is a history from the start, and a watch that a restart has cut goes on where it was.
        """
        while True:
            now = await self._store.current_revision()
            try:
                await self._load(max(self._store.compacted_revision, now - HISTORY_CHANGES))
                await self._follow(until=now)
                return
            except Compacted:
                pass  # meanwhile, by another server of the same store

    async def _load(self, revision: int) -> None:
        self.close()
        self._kinds.clear()
        self.revision = self._began = revision
        start = REGISTRY
        while revision:
            page = await self._store.range(REGISTRY, start=start, limit=LOAD_PAGE, revision=revision)
            for kv in page.items:
                prefix, key = split_key(kv.key)
                kind = self._of_prefix(prefix)
                kind.entries[key] = entry_of(key, kv.value, kv.mod_revision, kv.create_revision, kind.fields)
            if not page.more:
                break
            start = page.items[-1].key + "\0"

    async def _follow(self, until: int) -> None:
        if self.revision < until:
            async with aclosing(self._store.watch("", self.revision + 1)) as watch:
                async for events in watch:
                    self._apply(events)
                    if self.revision >= until:
                        break

    async def run(self) -> None:
        while True:
            try:
                async for events in self._store.watch("", self.revision + 1):
                    self._apply(events)
                return
            except Compacted:
                await self.load()

    def _apply(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.key.startswith(REGISTRY):
                self._step(event)
            self.revision = event.revision
        self._progress()

    def _step(self, event: Event) -> None:
        prefix, key = split_key(event.key)
        kind = self._of_prefix(prefix)
        kv = event.current
        if kv is None:
            kind.delete(key, event.revision)
        else:
            kind.put(entry_of(key, kv.value, kv.mod_revision, kv.create_revision, kind.fields))

    def _progress(self) -> None:
        if not self._waiting:
            return
        for revision, future in self._waiting:
            if revision <= self.revision and not future.done():
                future.set_result(None)
        self._waiting = [waiter for waiter in self._waiting if not waiter[1].done()]

    async def caught_up(self) -> None:
        """Returns once everything that was committed before the call is here."""
        await self.reached(await self._store.current_revision())

    async def reached(self, revision: int) -> None:
        """Waits, not for long, for a revision. Raises Timeout with upstream's cause for one that does not come."""
        if self.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, future))
        try:
            async with asyncio.timeout(FRESHNESS_SECONDS):
                await future
        except TimeoutError:
            raise too_large(revision, self.revision) from None
        finally:
            future.cancel()

    def close(self) -> None:
        """Ends every watch."""
        for kind in self._kinds.values():
            kind.end_watchers()


def too_large(revision: int, current: int) -> APIError:
    return APIError(
        "Timeout",
        f"Too large resource version: {revision}, current: {current}",
        causes=[Cause("ResourceVersionTooLarge", "Too large resource version")],
        retry_after_seconds=1,
    )


def split_key(key: str) -> tuple[str, str]:
    """A store key as (the kind's prefix, the rest): `/registry/core/pods/` and `default/a`."""
    end = key.index("/", key.index("/", len(REGISTRY)) + 1) + 1
    return key[:end], key[end:]


def entry_of(key: str, stored: bytes, revision: int, create_revision: int, fields: tuple[str, ...]) -> Entry:
    namespace, _, name = key.rpartition("/")
    obj = orjson.loads(stored)
    labels = obj["metadata"].get("labels") or EMPTY
    selected = selected_fields(obj, fields) if fields else EMPTY
    return Entry(key, namespace, name, labels, selected, revision, create_revision, item_of(stored, revision))


EMPTY: Mapping[str, str] = {}


def selected_fields(obj: Mapping[str, Any], paths: tuple[str, ...]) -> dict[str, str]:
    """The values of an object's selectable fields, as text; empty ones are left out."""
    selected = {}
    for path in paths:
        for source in FIELD_SOURCES.get(path, (path,)):
            value: Any = obj
            for part in source.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            text = FIELD_DEFAULTS.get(path, "") if value is None else field_text(value)
            if text:
                selected[path] = text
                break
    return selected


def field_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""
