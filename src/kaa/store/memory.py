"""The store in memory: for tests and simulations. Durable for as long as the process lives.

It can be copied: `contents` is all that it holds, and another store may begin with it. Values are shared, not copied.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from sortedcontainers import SortedDict

from kaa.lib.clock import Clock
from kaa.store.log import Batch, Change, Contents
from kaa.store.log_store import LogStore

EMPTY = Contents(0, {}, ())

Hear = Callable[[Sequence[Change]], None]
"""Is told of all changes, in order, at the moment that they are made durable."""


def _ignore(changes: Sequence[Change]) -> None:
    return None


class MemoryLog:
    def __init__(self, changes: Iterable[Change] = (), hear: Hear = _ignore) -> None:
        self._changes = SortedDict((change.id, change) for change in changes)
        self._hear = hear

    def append(self, batch: Batch) -> "asyncio.Future[None]":
        for change in batch.changes:
            self._changes[change.id] = change
        if batch.changes:
            self._hear(batch.changes)
        appended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        appended.set_result(None)
        return appended

    async def forget(self, compacted_revision: int, ids: Sequence[int]) -> None:
        for id in ids:
            del self._changes[id]

    def values(self, ids: Sequence[int]) -> list[bytes]:
        return [self._changes[id].value for id in ids]

    def changes(self, first_id: int, end_id: int, prefix: str) -> list[Change]:
        ids = self._changes.irange(first_id, end_id, inclusive=(True, False))
        return [self._changes[id] for id in ids if self._changes[id].key.startswith(prefix)]

    def all(self) -> tuple[Change, ...]:
        return tuple(self._changes.values())

    async def close(self) -> None:
        self._changes.clear()


class MemoryStore(LogStore):
    """Begins with what another store held, if anything. Its leases live anew from `start` on, as after a restart."""

    def __init__(self, clock: Clock, contents: Contents = EMPTY, hear: Hear = _ignore) -> None:
        self._memory = MemoryLog(contents.changes, hear)
        super().__init__(self._memory, contents, clock)

    async def start(self) -> None:
        """Starts the leases that it began with."""
        await self._start()

    def contents(self) -> Contents:
        """All that it holds now, values and history included."""
        return Contents(self._compacted, self._leases.times_to_live(), self._memory.all())
