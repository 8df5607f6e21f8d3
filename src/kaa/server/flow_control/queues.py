"""One priority level: its seats, and the fair queues of those who wait for them.

*Shuffle sharding*: each flow has a hand of a few queues, dealt by a hash with a secret seed; a request goes to the
shortest of its hand. A flow that floods fills its hand, and another flow hardly ever has all the same queues.

*Fair queuing* (start-time): each queue has a virtual time, in seconds of use. The seat that is free goes to the queue
whose time is least, and its time moves on by what the request is guessed to take, then is put right by what it took.
A queue that was empty begins at the level's present virtual time: nobody saves up by asking for nothing.

A request may take several seats. It runs when so many are free, or when nothing else runs, should the level have fewer.
While the one whose turn it is waits for more seats, nobody overtakes it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from hashlib import blake2b

from kaa.api.errors import APIError
from kaa.lib.clock import Clock
from kaa.server.flow_control.demand import Demand

WAIT_SECONDS = 15.0
"""How long a request may wait for its seat: a quarter of what a request may take at all, as upstream."""

GUESSED_SECONDS = 0.003
"""What a request is thought to take while it runs."""


@dataclass(frozen=True, slots=True)
class Queuing:
    queues: int
    hand_size: int
    length_limit: int  # requests that may wait in one queue


@dataclass(slots=True)
class Seat:
    """One request's, from when it is given: `width` of them. `queue` is where it has waited, if it had to."""

    width: int = 1
    taken: float = 0.0
    queue: "_Queue | None" = None


@dataclass(slots=True, eq=False)
class _Waiter:
    width: int
    given: asyncio.Future[Seat]


@dataclass(slots=True, eq=False)
class _Queue:
    waiting: deque[_Waiter] = field(default_factory=deque)
    executing: int = 0
    virtual_time: float = 0.0

    @property
    def length(self) -> int:
        return len(self.waiting) + self.executing


def too_many_requests() -> APIError:
    return APIError("TooManyRequests", "Too many requests, please try again later.", retry_after_seconds=1)


def hand(value: int, deck_size: int, hand_size: int) -> list[int]:
    """`hand_size` different numbers below `deck_size`, as good as random and always the same for one `value`."""
    dealt: list[int] = []
    for size in range(deck_size, deck_size - min(hand_size, deck_size), -1):
        value, card = divmod(value, size)
        # It counts the cards that are left: those dealt before are stepped over.
        for earlier in sorted(dealt):
            if card >= earlier:
                card += 1
        dealt.append(card)
    return dealt


class Level:
    """`limit` None is exempt: nothing waits. Without queuing, what finds no seat is refused."""

    def __init__(self, clock: Clock, seed: bytes) -> None:
        self.uid = ""
        self.limit: int | None = None
        self.executing = 0
        self.executing_seats = 0
        self.waiting = 0
        self.demand = Demand()
        self._clock = clock
        self._seed = seed
        self._queuing: Queuing | None = None
        self._queues: dict[int, _Queue] = {}  # by their numbers; made when somebody waits in them
        self._virtual_time = 0.0

    def configure(self, limit: int | None, queuing: Queuing | None) -> None:
        """Those who wait stay where they are, also in queues that nobody new comes to."""
        self._queuing = queuing
        self.set_limit(limit)

    def set_limit(self, limit: int | None) -> None:
        """Requests keep the seats they have; those beyond a lower limit are free only when they end."""
        self.limit = limit
        self._give()

    def try_take(self, width: int = 1) -> Seat | None:
        """A seat, if there is one and nobody waits for it."""
        if self.waiting or not self._has(width):
            return None
        self.executing += 1
        self.executing_seats += width
        self.demand.add(width, self._clock.monotonic())
        return Seat(width)

    async def take(self, flow: str, width: int = 1) -> Seat:
        """A seat in the flow's turn. Raises TooManyRequests."""
        seat = self.try_take(width)
        if seat is not None:
            return seat
        queue = self._queue_of(flow)
        if queue is None:
            raise too_many_requests()
        if not queue.waiting and not queue.executing:
            queue.virtual_time = max(queue.virtual_time, self._virtual_time)
        waiter = _Waiter(width, asyncio.get_running_loop().create_future())
        queue.waiting.append(waiter)
        self.waiting += 1
        self.demand.add(width, self._clock.monotonic())
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await asyncio.shield(waiter.given)
        except (TimeoutError, asyncio.CancelledError) as error:
            if waiter.given.done():
                self.release(waiter.given.result())  # it was given at the same moment
            else:
                waiter.given.cancel()
                queue.waiting.remove(waiter)
                self.waiting -= 1
                self.demand.add(-width, self._clock.monotonic())
                self._give()  # what is free may be enough for the next one
            if isinstance(error, TimeoutError):
                raise too_many_requests() from None
            raise

    def release(self, seat: Seat) -> None:
        now = self._clock.monotonic()
        self.executing -= 1
        self.executing_seats -= seat.width
        self.demand.add(-seat.width, now)
        if seat.queue is not None:
            seat.queue.executing -= 1
            seat.queue.virtual_time += (now - seat.taken - GUESSED_SECONDS) * seat.width
        if self.waiting:
            self._give()

    def _has(self, width: int) -> bool:
        limit, taken = self.limit, self.executing_seats
        return limit is None or taken + width <= limit or not taken

    def _queue_of(self, flow: str) -> _Queue | None:
        """The shortest queue of the flow's hand; None if it is full or there are none."""
        if self._queuing is None:
            return None
        digest = blake2b(flow.encode(), digest_size=16, key=self._seed).digest()
        dealt = hand(int.from_bytes(digest, "big"), self._queuing.queues, self._queuing.hand_size)
        queue = min((self._queues.setdefault(index, _Queue()) for index in dealt), key=lambda queue: queue.length)
        return queue if len(queue.waiting) < self._queuing.length_limit else None

    def _give(self) -> None:
        """Free seats, to those whose turn it is."""
        while self.waiting:
            queue = min(
                (queue for queue in self._queues.values() if queue.waiting), key=lambda queue: queue.virtual_time
            )
            waiter = queue.waiting[0]
            if not self._has(waiter.width):
                return
            queue.waiting.popleft()
            self.waiting -= 1
            self.executing += 1
            self.executing_seats += waiter.width
            self._virtual_time = max(self._virtual_time, queue.virtual_time)
            queue.executing += 1
            queue.virtual_time += GUESSED_SECONDS * waiter.width
            waiter.given.set_result(Seat(waiter.width, self._clock.monotonic(), queue))
