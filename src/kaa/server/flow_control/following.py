"""Keeps flow control as its objects want it, and its levels lending, while the server runs."""

import asyncio
import logging

from kaa.api.errors import APIError
from kaa.api.resource import Catalog, Resource
from kaa.lib.clock import Clock
from kaa.server.bootstrap.flow_control import LEVEL, SCHEMA
from kaa.server.entries import Entry
from kaa.server.flow_control import ADJUSTMENT_SECONDS, FlowControl
from kaa.server.watch_cache import WatchCache
from kaa.server.watchers import Place, Watcher
from kaa.store.store import StoreFailed

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""How soon a status is written again that could not be, and a watch is opened again that was ended."""


class _Something:
    """A form that tells only that something has changed."""

    def event(self, type_: str, entry: Entry, revision: int) -> bytes:
        return b""


FORM = _Something()


async def follow(control: FlowControl, cache: WatchCache, catalog: Catalog, clock: Clock) -> None:
    """Until cancelled."""
    changed = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_lend(control, clock), name="lending of seats")
        for kind in (LEVEL, SCHEMA):
            tasks.create_task(_watch(catalog.named(kind), cache, clock, changed), name=f"watch of {kind}")
        while True:
            await changed.wait()
            changed.clear()
            control.configure()
            try:
                await control.tell_dangling()
            except (APIError, StoreFailed) as error:
                log.info("flow control: a status could not be written: %s", error)
                await clock.sleep(RETRY_SECONDS)
                changed.set()


async def _lend(control: FlowControl, clock: Clock) -> None:
    while True:
        await clock.sleep(ADJUSTMENT_SECONDS)
        control.adjust()


async def _watch(row: Resource, cache: WatchCache, clock: Clock, changed: asyncio.Event) -> None:
    while True:
        watchers = cache.kind(row).watchers
        watcher = Watcher(Place(), None, FORM, cache.revision)
        watchers.add(watcher)
        changed.set()
        try:
            while not watcher.ended:
                await watcher.wait()
                watcher.take()
                changed.set()
        finally:
            watchers.remove(watcher)
        await clock.sleep(RETRY_SECONDS)
