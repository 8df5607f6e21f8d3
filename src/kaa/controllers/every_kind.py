"""The metadata of every object of every kind that the server has, custom kinds too, as kinds come and go.

For programs that work on all kinds: the garbage collector, namespace deletion, quotas. Where the controllers have a
whole cache of a kind already, that is used; of the others only metadata is fetched and kept.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from kaa.api.errors import APIError
from kaa.api.resource import Resource
from kaa.client.discovery import discover, with_verbs
from kaa.client.informer import Change, Informer
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.client.view import Informers
from kaa.controllers.metadata import metadata_client
from kaa.lib.backoff import Backoff
from kaa.lib.clock import Clock

log = logging.getLogger(__name__)

DISCOVERY_RETRY = Backoff(initial_seconds=0.5, limit_seconds=30.0)

REDISCOVERY_SECONDS = 1.0
"""From a change of a CustomResourceDefinition to asking again which kinds there are: several come together."""

SYNC_SECONDS = 30.0
"""How long one kind's cache that does not fill may hold up everybody."""

CRD = "CustomResourceDefinition"
IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})
"""Events come in masses, own nothing, and expire by themselves."""

ChangeHandler: TypeAlias = Callable[[Resource, Change], None]
GoneHandler: TypeAlias = Callable[[Resource], None]


class EveryKind:
    def __init__(self, client: Client, clock: Clock, informers: Informers) -> None:
        self._client = client
        self._clock = clock
        self._metadata = metadata_client(client)
        self._shared = informers
        self._informers: dict[Resource, tuple[Informer, asyncio.Task[None] | None]] = {}  # no task: a shared one
        self._handlers: list[tuple[ChangeHandler, GoneHandler]] = []
        self._kinds_changed = asyncio.Event()
        self._synced = asyncio.Event()

    def subscribe(self, changed: ChangeHandler, gone: GoneHandler = lambda resource: None) -> None:
        """Before `run`. `gone` is told of a kind that the server no longer has; its objects get no changes then."""
        self._handlers.append((changed, gone))

    def resource(self, group: str, kind: str) -> Resource | None:
        return next((r for r in self._informers if (r.group, r.kind) == (group, kind)), None)

    def named(self, group: str, plural: str) -> Resource | None:
        return next((r for r in self._informers if (r.group, r.name) == (group, plural)), None)

    def count(self, resource: Resource, namespace: str) -> int:
        """Objects of a kind that is known, in a namespace."""
        return self._informers[resource][0].count(namespace)

    async def wait_synced(self) -> None:
        """Until every kind that there is now is known: what is missing would be taken for absent."""
        await self._synced.wait()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            failures = 0
            while True:
                self._kinds_changed.clear()
                try:
                    found = with_verbs(await discover(self._client), ("list", "watch", "delete"))
                except (APIError, TransportError) as error:
                    failures += 1
                    log.info("discovery failed, trying again: %s", error)
                    await self._clock.sleep(DISCOVERY_RETRY.delay(failures))
                    continue
                failures = 0
                self._synced.clear()
                self._follow({r for r in found if (r.group, r.name) not in IGNORED}, tasks)
                await self._wait_filled()
                self._synced.set()
                await self._kinds_changed.wait()
                await self._clock.sleep(REDISCOVERY_SECONDS)

    def _follow(self, wanted: set[Resource], tasks: asyncio.TaskGroup) -> None:
        for resource in [known for known in self._informers if known not in wanted]:
            _, task = self._informers.pop(resource)
            if task is not None:
                task.cancel()
            for _, gone in self._handlers:
                gone(resource)
        for resource in sorted(wanted - self._informers.keys(), key=lambda r: (r.group, r.name)):
            informer = self._shared.whole(resource)
            task = None
            if informer is None:
                informer = Informer(self._metadata, resource, self._clock)
                task = tasks.create_task(informer.run())
            self._informers[resource] = informer, task
            informer.subscribe(partial(self._changed, resource))

    async def _wait_filled(self) -> None:
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                for informer, _ in self._informers.values():
                    await informer.wait_synced()
        except TimeoutError:
            log.warning("going on although the objects of some kind cannot be listed")

    def _changed(self, resource: Resource, change: Change) -> None:
        if resource.kind == CRD:
            self._kinds_changed.set()
        for changed, _ in self._handlers:
            changed(resource, change)
