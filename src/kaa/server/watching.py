"""WATCH: a stream of events from a revision on, each in the form that was asked for: as JSON, one document a line.

    resourceVersion   unset or "0"   the objects that there are, as ADDED; then what happens
                      n              what happened after n; then what happens
    sendInitialEvents true           the objects that there are, then a bookmark that says so; then what happens

Bookmarks tell a client how far it has come while nothing of its own happens, so that it may come back later. A watch
ends at its time limit, when it is too slow, and when the server stops; the client comes back where it was.
"""

from collections.abc import AsyncIterator, Iterator

from kaa.api.errors import APIError
from kaa.api.resource import Resource
from kaa.lib.clock import Clock
from kaa.server.alarms import Alarms
from kaa.server.forms import AnyForm
from kaa.server.listing import ListOptions, Scope, check_fields, check_watch, place_of, predicate_of, scope_of
from kaa.server.request import Outlet
from kaa.server.watch_cache import KindCache, WatchCache
from kaa.server.watchers import Watcher, event_of

BOOKMARK_SECONDS = 150.0
"""Seconds between bookmarks. History is kept for twice this, so whoever is cut off can come back for as long again."""

MIN_TIMEOUT_SECONDS = 1800
"""A watch without a limit of its own ends after this to twice this, so that clients spread over servers anew."""

CHUNK_BYTES = 64 * 1024
"""Initial events are written in pieces of about this size."""


class Watching:
    def __init__(self, cache: WatchCache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock
        self._alarms = Alarms(clock)

    def close(self) -> None:
        self._alarms.close()

    async def open(
        self, resource: Resource, namespace: str, options: ListOptions, form: AnyForm, outlet: Outlet
    ) -> AsyncIterator[bytes]:
        """The stream; while it is waited for, events may come out of `outlet` instead.

        Raises Invalid or BadRequest for wrong options, Timeout for a revision that does not come.
        """
        check_watch(options)
        check_fields(resource, options.fields)
        if not options.resource_version:
            await self._cache.caught_up()
        elif options.send_initial_events:
            await self._cache.reached(options.revision)
        return self._stream(resource, scope_of(resource, namespace, options), options, form, outlet)

    async def _stream(
        self, resource: Resource, scope: Scope, options: ListOptions, form: AnyForm, outlet: Outlet
    ) -> AsyncIterator[bytes]:
        kind = self._cache.kind(resource)
        # Nothing is awaited between reading the cache and subscribing: no change falls in between.
        wants_state = options.send_initial_events
        if wants_state is None:
            wants_state = options.revision == 0
        began = self._cache.revision
        after = began if wants_state or options.revision == 0 else options.revision
        watcher = Watcher(place_of(resource, scope, options), predicate_of(resource, options), form, after, outlet)
        try:
            first = list(_present(kind, scope, watcher, began) if wants_state else _missed(kind, scope, watcher))
        except APIError as error:
            yield form.error(error.to_status())
            return
        if options.send_initial_events and options.bookmarks:
            first.append(form.bookmark(began, initial_events_end=True))
        bookmarks, limit = options.bookmarks, options.timeout_seconds or self._some_time()
        kind.watchers.add(watcher)
        try:
            for chunk in _chunks(first):
                yield chunk
            # A watch is mostly idle, and there are many: it holds on to nothing that it does not need.
            del first, resource, scope, options
            now = self._clock.monotonic()
            deadline, alarm = now + limit, min(limit, BOOKMARK_SECONDS) + now
            self._alarms.set(alarm, watcher.wake)
            while not watcher.ended and now < deadline:
                if now < alarm:
                    await watcher.wait()
                if watcher.queue:
                    yield b"".join(watcher.take())
                now = self._clock.monotonic()
                if now >= alarm and not watcher.ended:
                    if bookmarks and not watcher.queue:
                        yield form.bookmark(max(self._cache.revision, watcher.after))
                    alarm = min(deadline, now + BOOKMARK_SECONDS)
                    if now < deadline:
                        self._alarms.set(alarm, watcher.wake)
        finally:
            kind.watchers.remove(watcher)

    def _some_time(self) -> float:
        return MIN_TIMEOUT_SECONDS * (1.0 + self._clock.random.random())


def _present(kind: KindCache, scope: Scope, watcher: Watcher, revision: int) -> Iterator[bytes]:
    for entry in kind.select(scope.namespace, scope.name if scope.namespace else ""):
        if scope.name and entry.name != scope.name:
            continue
        if watcher.selects is None or watcher.selects(entry):
            yield watcher.form.event("ADDED", entry, revision)


def _missed(kind: KindCache, scope: Scope, watcher: Watcher) -> Iterator[bytes]:
    """What happened since the watcher's revision. Raises Expired."""
    for change in kind.since(watcher.after):
        entry = change.current or change.previous
        assert entry is not None
        if scope.namespace not in ("", entry.namespace) or scope.name not in ("", entry.name):
            continue
        event = event_of(change, watcher.selects)
        if event is not None:
            yield watcher.form.event(*event, change.revision)


def _chunks(events: list[bytes]) -> Iterator[bytes]:
    chunk: list[bytes] = []
    size = 0
    for event in events:
        chunk.append(event)
        size += len(event)
        if size >= CHUNK_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
    if chunk:
        yield b"".join(chunk)
