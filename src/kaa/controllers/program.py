"""A program is a controller that does not fit a row: its facts are not in caches of known kinds.

The garbage collector and namespace deletion work on every kind that the server has, found by discovery. They keep
the same split (pure decisions, one loop that carries them out), but bring their own loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from kaa.api.errors import APIError
from kaa.client.events import EventRecorder
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.client.view import Informers
from kaa.controllers.every_kind import EveryKind
from kaa.lib.backoff import BackoffTable
from kaa.lib.clock import Clock
from kaa.lib.workqueue import WorkQueue

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Context:
    """What a program gets from the manager."""

    client: Client
    clock: Clock
    informers: Informers
    recorder: EventRecorder
    every_kind: EveryKind


async def work_through(
    queue: WorkQueue[K], work: Callable[[K], Awaitable[None]], retries: BackoffTable[K], workers: int
) -> None:
    """Until cancelled: so many keys at a time. One whose work the API refused comes again, later each time.

    When a key has come right is for its work to say (`retries.succeeded`).
    """

    async def worker() -> None:
        while True:
            key = await queue.get()
            try:
                await work(key)
            except (APIError, TransportError) as error:
                log.debug("%s: %s", key, error)
                queue.add_after(key, retries.failed(key))
            finally:
                queue.done(key)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(workers):
                tasks.create_task(worker())
    finally:
        queue.close()


class Program(Protocol):
    async def run(self) -> None:
        """Until cancelled."""
        ...
