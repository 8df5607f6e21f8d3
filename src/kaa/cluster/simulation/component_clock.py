"""A component's own clock: the world's time, and chance of its own.

What a component draws depends on the seed, on its name and on what it has drawn before, and not on who else runs: a
component more or less leaves the others' history alone.

Two faults act here. A *skewed* clock tells another time of day than the world's; its monotonic time is right, for no
machine's second is that wrong. A *paused* component's timers don't fire before it goes on, and then all at once that
have become due, as after SIGSTOP and SIGCONT.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from kaa.lib.clock import Clock, is_unpredictable


class ComponentClock:
    def __init__(self, world: Clock, seed: int, name: str) -> None:
        self.random = Random(f"{seed}/{name}")
        self.secrets = world.secrets if is_unpredictable(world.secrets) else self.random
        self.skew = timedelta()
        self._world = world
        self._awake = asyncio.Event()
        self._awake.set()
        self._due: list[_Timer] = []  # while paused

    def now(self) -> datetime:
        return self._world.now() + self.skew

    def monotonic(self) -> float:
        return self._world.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._world.sleep(seconds)
        if not self._awake.is_set():
            await self._awake.wait()

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        timer = _Timer(self, callback, args)
        timer.handle = self._world.call_later(seconds, timer.fire)
        return timer.handle

    def uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def pause(self) -> None:
        self._awake.clear()

    def resume(self) -> None:
        self._awake.set()
        due, self._due = self._due, []
        for timer in due:
            timer.fire()

    def restart(self) -> None:
        """A new process has none of the old one's timers."""
        self._due.clear()
        self._awake.set()

    def holds(self, timer: "_Timer") -> bool:
        """Takes a due timer in, if its time does not go on."""
        if self._awake.is_set():
            return False
        self._due.append(timer)
        return True


class _Timer:
    __slots__ = ("_args", "_callback", "_clock", "handle")

    def __init__(self, clock: ComponentClock, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.handle: asyncio.TimerHandle | None = None
        self._clock = clock
        self._callback = callback
        self._args = args

    def fire(self) -> None:
        if self._clock.holds(self):
            return
        handle, self.handle = self.handle, None  # no cycle is left behind
        if handle is None or not handle.cancelled():  # as its owner may, between its time and now
            self._callback(*self._args)
