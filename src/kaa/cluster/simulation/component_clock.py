"""A component's own clock: the world's time, and chance of its own.

What a component draws depends on the seed, on its name and on what it has drawn before, and not on who else runs: a
component more or less leaves the others' history alone.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

from kaa.lib.clock import Clock


class ComponentClock:
    def __init__(self, world: Clock, seed: int, name: str) -> None:
        self._world = world
        self.random = Random(f"{seed}/{name}")

    def now(self) -> datetime:
        return self._world.now()

    def monotonic(self) -> float:
        return self._world.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._world.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        return self._world.call_later(seconds, callback, *args)

    def uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))
