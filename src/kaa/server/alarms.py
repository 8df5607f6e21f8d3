"""One timer for many who wait: thousands of watches, each of which only wants to be woken now and then."""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from kaa.lib.clock import Clock


class Alarms:
    """Each alarm rings once. One that nobody waits for any more rings all the same, to no effect."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._set: list[tuple[float, int, Callable[[], None]]] = []  # a heap, the next one first
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float, ring: Callable[[], None]) -> None:
        """`at` is in monotonic seconds; at the same moment, who was first is first."""
        heappush(self._set, (at, next(self._numbers), ring))
        if self._set[0][0] == at:
            self._wait_for_next()

    def _wait_for_next(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        left = self._set[0][0] - self._clock.monotonic()
        self._timer = self._clock.call_later(max(left, 0.0), self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        while self._set and self._set[0][0] <= now:
            heappop(self._set)[2]()
        if self._set:
            self._wait_for_next()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._set.clear()
