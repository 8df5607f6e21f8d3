"""The watch cache: everything the store holds, as bytes and the few fields that are selected on, and who watches it.

One watch of the store feeds it, so it has ONE revision for all kinds: `revision` says how far it has followed the
store, and everything up to it has been handed to the watchers, in order. Reads are served from here. A *consistent*
read first waits until the cache has reached what the store's revision was when the request came (`caught_up`); of a
store that several servers share, whoever wrote it. The watch follows all keys, also those that are no objects, for
each of them moves the revision.

    entry    one object: item bytes (see storage), namespace, name, labels, selectable fields, revision
    change   one step of one object: (previous entry or None) -> (current entry or None), at a revision
    history  a kind's last changes, so that a watch can begin in the past; bounded, and `oldest` says where it begins
    watcher  somebody who is told of a kind's changes (see watchers)
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing
from functools import lru_cache
from typing import Any, TypeAlias

import orjson
from sortedcontainers import SortedDict

from kaa.api.errors import APIError, Cause
from kaa.api.resource import Catalog, Resource
from kaa.server.entries import Change, Entry
from kaa.server.storage import REGISTRY, item_of, prefix_of, stored_rows
from kaa.server.watchers import Watchers
from kaa.store.store import Compacted, Event, Store

HISTORY_CHANGES = 4096
HISTORY_BYTES = 8 * 1024 * 1024
"""How much of the past each kind keeps for watches that begin there: whichever bound is met first."""

LOAD_PAGE = 1000
"""Objects a page when the cache is filled from the store."""

MAX_FORETOLD = 1024
"""Writes under way whose objects are known before the store tells of them; of others the bytes are decoded."""

FRESHNESS_SECONDS = 3.0
"""How long a read waits for a revision that the cache has not seen yet."""

FIELD_SETS_KEPT = 1024
"""Kinds whose selectable fields are known in parts at a time; custom kinds bring their own."""

FIELD_SOURCES = {"source": ("source.component", "reportingComponent")}
"""Selectable fields whose name is not where their value is: at the first of these that is not empty."""

FIELD_DEFAULTS = {"spec.hostNetwork": "false", "spec.unschedulable": "false", "status.replicas": "0"}
"""What an absent field counts as, where that is not the empty string."""


class KindCache:
    """All objects of one kind, by key."""

    def __init__(self, fields: tuple[str, ...], revision: int) -> None:
        self.fields = fields
        self.entries: SortedDict[str, Entry] = SortedDict()
        self.history: deque[Change] = deque()
        self.oldest = revision  # a watch may begin at this revision or later
        self.changed = revision  # the last change's
        self.watchers = Watchers()
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
        self.watchers.tell(change)


class WatchCache:
    """All kinds. `load` fills it, `run` follows the store until cancelled or the store is closed."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self.revision = 0
        self._began = 0  # the revision that the history begins at
        self._store = store
        self._catalog = catalog
        self._kinds: dict[str, KindCache] = {}
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._foretold: dict[str, tuple[bytes, Selection]] = {}  # by key

    def kind(self, resource: Resource) -> KindCache:
        return self.at(prefix_of(resource))

    def has(self, key: str) -> bool:
        """Whether there is something at a store key, also where no kind is served from."""
        prefix, rest = split_key(key)
        kind = self._kinds.get(prefix)
        return kind is not None and rest in kind.entries

    def at(self, prefix: str) -> KindCache:
        kind = self._kinds.get(prefix)
        if kind is None:
            row = stored_rows(self._catalog).get(prefix)
            kind = self._kinds[prefix] = KindCache(row.selectable_fields if row else (), self._began)
        return kind

    def foretell(self, key: str, stored: bytes, obj: Mapping[str, Any]) -> None:
        """An object, in its stored version, that is about to be written as these bytes; nobody changes it any more."""
        if len(self._foretold) >= MAX_FORETOLD:  # writes that failed
            self._foretold.clear()
        self._foretold[key] = stored, selection_of(obj, self.at(split_key(key)[0]).fields)

    def forget(self, resource: Resource) -> None:
        """Ends the watches of a kind that is no longer served, or no longer as it was."""
        kind = self._kinds.get(prefix_of(resource))
        if kind is not None:
            kind.watchers.end()

    def reindex(self, resource: Resource, fields: tuple[str, ...]) -> None:
        """A custom kind was added or its selectable fields have changed: entries get these fields."""
        kind = self.kind(resource)
        if kind.fields == fields:
            return
        kind.fields = fields
        self._foretold.clear()  # with other fields
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
                kind = self.at(prefix)
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
        kind = self.at(prefix)
        kv = event.current
        if kv is None:
            kind.delete(key, event.revision)
        else:
            foretold = self._foretold.pop(event.key, None)
            selection = foretold[1] if foretold is not None and foretold[0] is kv.value else None
            kind.put(entry_of(key, kv.value, kv.mod_revision, kv.create_revision, kind.fields, selection))

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
            kind.watchers.end()


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


EMPTY: Mapping[str, str] = {}

Selection: TypeAlias = tuple[Mapping[str, str], Mapping[str, str]]
"""An object's labels and selectable fields."""


def entry_of(
    key: str,
    stored: bytes,
    revision: int,
    create_revision: int,
    fields: tuple[str, ...],
    selection: Selection | None = None,
) -> Entry:
    """`selection` is read out of the bytes unless it is given."""
    namespace, _, name = key.rpartition("/")
    labels, selected = selection or selection_of(orjson.loads(stored), fields)
    return Entry(key, namespace, name, labels, selected, revision, create_revision, item_of(stored, revision))


def selection_of(obj: Mapping[str, Any], fields: tuple[str, ...]) -> Selection:
    return obj["metadata"].get("labels") or EMPTY, selected_fields(obj, fields) if fields else EMPTY


def selected_fields(obj: Mapping[str, Any], paths: tuple[str, ...]) -> dict[str, str]:
    """The values of an object's selectable fields, as text; empty ones are left out."""
    selected = {}
    for path, sources, default in _in_parts(paths):
        for parts in sources:
            value: Any = obj
            for part in parts:
                value = value.get(part) if isinstance(value, dict) else None
            text = default if value is None else field_text(value)
            if text:
                selected[path] = text
                break
    return selected


@lru_cache(maxsize=FIELD_SETS_KEPT)
def _in_parts(paths: tuple[str, ...]) -> tuple[tuple[str, tuple[list[str], ...], str], ...]:
    """Each path, the fields on the way to its value, and what it counts as where it is absent. One a kind."""
    return tuple(
        (path, tuple(source.split(".") for source in FIELD_SOURCES.get(path, (path,))), FIELD_DEFAULTS.get(path, ""))
        for path in paths
    )


def field_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""
