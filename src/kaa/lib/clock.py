"""Time and chance as parameters: the one module that reads either.

A `Clock` gives the time of day, a monotonic time, timers, random numbers and uuids. Components take one and
use nothing else, so that one seed gives one history. Two clocks exist:

- `WallClock`: the machine's time and the operating system's randomness.
- `VirtualClock`: the time of a `VirtualEventLoop`, which jumps to the next timer whenever nothing can run. Every
  `await` that waits for time (`clock.sleep`, `asyncio.timeout`, `loop.call_later`) is on that same time.
"""

import asyncio
import random
import selectors
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar, TypeVarTuple

import orjson

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

VIRTUAL_EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
"""When virtual time begins, unless told otherwise."""

BUSY_ROUNDS = 50
"""While callbacks are ready, or only another thread could have anything to say, virtual time asks the operating system
for events only every so many rounds."""

SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Characters of generated names: no vowels and no look-alikes, as in Kubernetes' own."""


class Clock(Protocol):
    """Time and chance.

    `now()` is timezone-aware UTC and may step; `monotonic()` is seconds from an arbitrary start and never goes
    back. `random` is this component's own generator: it isn't shared between components, so that the order in
    which they run does not change what each draws. `secrets` is what private keys are drawn from: on the wall clock
    the operating system's randomness, whatever seed decides the rest.
    """

    secrets: random.Random
    random: random.Random

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...
    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle: ...
    def uuid(self) -> str: ...


class WallClock:
    """The machine's clock."""

    def __init__(self) -> None:
        self.random: random.Random = random.SystemRandom()
        self.secrets: random.Random = self.random

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, callback, *args)

    def uuid(self) -> str:
        return str(uuid.uuid4())


class VirtualClock:
    """The time of the running `VirtualEventLoop`, and chance drawn from one seed."""

    def __init__(self, seed: int, epoch: datetime = VIRTUAL_EPOCH) -> None:
        self.random = random.Random(seed)
        self.secrets = self.random
        self._epoch = epoch
        self._latest = (0.0, epoch)  # monotonic, and the time of day then: time stands still while anything runs

    def now(self) -> datetime:
        monotonic = self.monotonic()
        if monotonic != self._latest[0]:
            self._latest = (monotonic, self._epoch + timedelta(seconds=monotonic))
        return self._latest[1]

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, callback, *args)

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))


class _JumpingSelector(selectors.DefaultSelector):
    """Turns the event loop's wish to wait for a timer into a jump of its time.

    With no timer at all it waits for real: only another thread or a file descriptor can then wake the loop.
    """

    elapsed_seconds = 0.0
    _busy_rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = []
        self._busy_rounds += 1
        # The one descriptor that is always there is the loop's own, by which other threads wake it.
        if self._busy_rounds > BUSY_ROUNDS or (timeout > 0 and len(self.get_map()) > 1):
            self._busy_rounds = 0
            ready = super().select(0)
        if not ready and timeout > 0:
            self.elapsed_seconds += timeout
        return ready


class VirtualEventLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still while anything can run, and otherwise jumps to the next timer.

    There are no threads: what would be handed to one (`asyncio.to_thread`, `run_in_executor`) runs at once, inside the
    call. A thread takes real time, of which virtual time knows nothing: how many hours had passed when it came back
    would be a matter of luck. Callbacks run in the order they became ready, as in every event loop, for asyncio's own
    locks, queues and task groups are built on that. Another history comes of another seed, by what is drawn from it:
    how long each message is under way (`kaa.cluster.simulation.link`), when a watch ends, how long one backs off.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.elapsed_seconds

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> "asyncio.Future[T]":
        """`func` has run, or raised, when this returns; no executor is used."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            # Not ours to judge: it is raised to whoever awaits, as from a thread.
            future.set_exception(error)
        return future


def is_unpredictable(rng: random.Random) -> bool:
    """Whether it is the operating system that draws: nobody knows what comes, and no seed makes it come again."""
    return isinstance(rng, random.SystemRandom)


def random_suffix(rng: random.Random, length: int = 5) -> str:
    """The random end of a generated name, e.g. `x7k2p`."""
    return "".join(rng.choice(SUFFIX_ALPHABET) for _ in range(length))


_RFC3339 = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS
"""The form that times have on the wire, written in a third of the time that `isoformat` takes."""


def rfc3339(moment: datetime) -> str:
    """metav1.Time on the wire: seconds, UTC, `2030-01-01T00:00:00Z`."""
    return orjson.dumps(_utc(moment), option=_RFC3339)[1:-1].decode()


def rfc3339_micro(moment: datetime) -> str:
    """metav1.MicroTime on the wire: microseconds, UTC."""
    return _utc(moment).isoformat(timespec="microseconds")[:26] + "Z"


def parse_rfc3339(text: str) -> datetime:
    """The moment that a metav1.Time or MicroTime names. Raises ValueError."""
    return _utc(datetime.fromisoformat(text))


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
