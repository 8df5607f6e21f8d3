"""Keeps the catalog's custom rows as the CustomResourceDefinitions want them, while the server runs.

A definition whose names are accepted is served at once. One that is being deleted takes its objects with it: they are
deleted first, and a finalizer keeps the definition until none is left.
"""

import logging

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.api.resource import Catalog, Resource
from kaa.lib.clock import Clock, rfc3339
from kaa.server.custom.rows import rows_of
from kaa.server.custom.status import conflict_with, is_established, terminating_status, wanted_status
from kaa.server.deletion import CUSTOM_CLEANUP, DeleteOptions
from kaa.server.entries import Entry
from kaa.server.registry import Change, Registry, server_write
from kaa.server.storage import decode
from kaa.server.watch_cache import WatchCache
from kaa.server.watchers import Place, Watcher
from kaa.store.store import StoreFailed

log = logging.getLogger(__name__)

KIND = "CustomResourceDefinition"

RETRY_SECONDS = 1.0
"""How soon a definition is looked at again whose objects have finalizers of their own, and a watch begun again."""


class _Names:
    """A form that tells only which definition has changed."""

    def event(self, type_: str, entry: Entry, revision: int) -> bytes:
        return entry.name.encode()


class Definitions:
    def __init__(self, catalog: Catalog, cache: WatchCache, registry: Registry, clock: Clock) -> None:
        self._catalog = catalog
        self._cache = cache
        self._registry = registry
        self._clock = clock
        self._row = catalog.named(KIND)
        self._served: dict[str, list[Resource]] = {}
        self._generations: dict[str, int] = {}  # of the definitions that are served
        self._waiting: set[str] = set()

    def load(self) -> None:
        """Serves what was established before this start."""
        for entry in self._cache.kind(self._row).select():
            definition = decode(self._row, entry.item)
            if is_established(definition):
                self._serve_as(definition)

    async def run(self) -> None:
        """Until cancelled. A watch that ends, as when the cache is filled anew, is followed by another."""
        while True:
            await self._follow()
            await self._clock.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        kind = self._cache.kind(self._row)
        watcher = Watcher(Place(), None, _Names(), self._cache.revision)
        kind.watchers.add(watcher)
        # Those that are gone meanwhile, too.
        self._waiting.update([*self._served, *(entry.name for entry in kind.select())])
        try:
            while not watcher.ended:
                self._waiting.update(name.decode() for name in watcher.take())
                names, self._waiting = self._waiting, set()
                for name in sorted(names):
                    try:
                        await self._reconcile(name, watcher)
                    except StoreFailed as error:
                        log.warning("definition %s cannot be dealt with now: %s", name, error)
                        self._waiting_later(name, watcher)
                if not self._waiting:
                    await watcher.wait()
        finally:
            kind.watchers.remove(watcher)

    async def _reconcile(self, name: str, watcher: Watcher) -> None:
        entry: Entry | None = self._cache.kind(self._row).entries.get(name)
        if entry is None:
            self._serve(name, [])
            return
        definition = decode(self._row, entry.item)
        if definition["metadata"].get("deletionTimestamp"):
            await self._take_down(name, definition, watcher)
            return
        own = {id(row) for row in self._served.get(name, ())}
        conflict = conflict_with(definition, (row for row in self._catalog if id(row) not in own))
        if not conflict:
            self._serve_as(definition)  # before the status says so: whoever waits for that finds it served
        now = rfc3339(self._clock.now())
        status = wanted_status(definition, conflict, now)
        if status != definition.get("status"):
            await self._update(name, lambda old: {**old, "status": status}, "status")

    def _serve_as(self, definition: Object) -> None:
        """Serves what the definition says, unless that has not changed: rows are shared by all who hold one."""
        name, generation = definition["metadata"]["name"], definition["metadata"]["generation"]
        if self._generations.get(name) != generation:
            self._serve(name, rows_of(definition))
            self._generations[name] = generation

    def _serve(self, name: str, rows: list[Resource]) -> None:
        """Replaces the rows of a definition. Watches end: they show objects as the old rows have them."""
        before = self._served.pop(name, [])
        versions = {row.version for row in rows}
        for row in before:
            self._cache.forget(row)
            if row.version not in versions:
                self._catalog.remove(row)
        for row in rows:
            self._catalog.add(row)
        if rows:
            # Versions may select by different fields of the one stored object.
            self._cache.reindex(rows[0], tuple({path: None for row in rows for path in row.selectable_fields}))
            self._served[name] = rows
        else:
            self._generations.pop(name, None)

    async def _take_down(self, name: str, definition: Object, watcher: Watcher) -> None:
        """Deletes the definition's objects, then lets it go."""
        status = terminating_status(definition, rfc3339(self._clock.now()))
        if status != definition.get("status"):
            await self._update(name, lambda old: {**old, "status": status}, "status")
        rows = self._served.get(name) or rows_of(definition)
        left = 0
        if rows:
            row = rows[0]
            for entry in list(self._cache.kind(row).select()):
                left += await self._delete(row, entry)
        if left:
            self._waiting_later(name, watcher)
            return
        await self._update(name, _without_cleanup, "")

    async def _delete(self, row: Resource, entry: Entry) -> int:
        """How many objects are left of this one."""
        write = server_write(row, "delete", entry.namespace, entry.name)
        try:
            written = await self._registry.delete(row, entry.namespace, entry.name, DeleteOptions(), write)
        except APIError as error:
            if error.reason != "NotFound":
                raise
            return 0
        return 0 if written.removed else 1

    def _waiting_later(self, name: str, watcher: Watcher) -> None:
        def again() -> None:
            self._waiting.add(name)
            watcher.wake()

        self._clock.call_later(RETRY_SECONDS, again)

    async def _update(self, name: str, change: Change, subresource: str) -> None:
        write = server_write(self._row, "update", "", name)
        try:
            await self._registry.update(self._row, "", name, change, write, subresource=subresource)
        except APIError as error:
            # It has changed or gone meanwhile, which is told in its turn; anything else is worth a line.
            if error.reason not in ("NotFound", "Conflict"):
                log.error("definition %s: %s", name, error.message)


def _without_cleanup(definition: Object) -> Object:
    finalizers = definition["metadata"].get("finalizers") or []
    definition["metadata"]["finalizers"] = [finalizer for finalizer in finalizers if finalizer != CUSTOM_CLEANUP]
    return definition
