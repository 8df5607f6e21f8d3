"""A queue of keys to work on, as client-go's: each key once, never by two workers at a time.

A key added while it waits is not added twice; a key added while a worker has it waits until that worker is
done. So a worker always sees the newest state, and two never see the same key. Bounded by the number of keys.
"""

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from kaa.lib.clock import Clock

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._order: deque[K] = deque()
        self._waiting: set[K] = set()  # in _order, or dirty while being worked on
        self._working: set[K] = set()
        self._timers: dict[K, tuple[float, asyncio.TimerHandle]] = {}
        self._idle: deque[asyncio.Future[None]] = deque()  # one for each worker that waits for a key

    def __len__(self) -> int:
        return len(self._order)

    @property
    def idle(self) -> bool:
        """Nothing waits and nobody works; keys with a timer do not count."""
        return not self._waiting and not self._working

    def add(self, key: K) -> None:
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working:
            self._order.append(key)
            self._wake_one()

    def add_after(self, key: K, seconds: float) -> None:
        """Adds the key once that time has passed. Of several timers of one key only the earliest is kept."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if key in self._timers:
            earlier, handle = self._timers[key]
            if earlier <= due:
                return
            handle.cancel()
        self._timers[key] = (due, self._clock.call_later(seconds, self._fire, key))

    def _fire(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def get(self) -> K:
        """The next key; the caller owns it until `done`."""
        while not self._order:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn in self._idle:
                    self._idle.remove(turn)
                elif not turn.cancelled():
                    self._wake_one()  # it was our turn: somebody else's now
                raise
        key = self._order.popleft()
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def _wake_one(self) -> None:
        """One worker a key: to wake them all for each would cost more than most reconciles."""
        while self._idle:
            turn = self._idle.popleft()
            if not turn.done():  # its worker is being cancelled otherwise
                turn.set_result(None)
                return

    def done(self, key: K) -> None:
        self._working.discard(key)
        if key in self._waiting:
            self._order.append(key)
            self._wake_one()

    def close(self) -> None:
        """Cancels every timer; keys that wait are dropped."""
        for _, handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        self._order.clear()
        self._waiting.clear()
