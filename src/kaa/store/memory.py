"""The store in memory: for tests and simulations. Durable for as long as the process lives."""

import asyncio
from collections.abc import Sequence

from sortedcontainers import SortedDict

from kaa.lib.clock import Clock
from kaa.store.log import Batch, Change, Contents
from kaa.store.log_store import LogStore


class MemoryLog:
    def __init__(self) -> None:
        self._changes = SortedDict()  # by id

    def append(self, batch: Batch) -> "asyncio.Future[None]":
        self._changes.update((change.id, change) for change in batch.changes)
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

    async def close(self) -> None:
        self._changes.clear()


class MemoryStore(LogStore):
    def __init__(self, clock: Clock) -> None:
        super().__init__(MemoryLog(), Contents(0, {}, ()), clock)
