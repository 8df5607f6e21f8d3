"""One timer for many: everybody is woken at his time, in order, and nobody before."""

import asyncio
from collections.abc import Awaitable, Callable

from kaa.lib.clock import VirtualClock, VirtualEventLoop
from kaa.server.alarms import Alarms


def on_virtual_time(scene: Callable[[VirtualClock, Alarms, list[tuple[float, str]]], Awaitable[None]]) -> list[object]:
    clock = VirtualClock(seed=1)
    rung: list[tuple[float, str]] = []
    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        runner.run(scene(clock, Alarms(clock), rung))  # type: ignore[arg-type]
    return list(rung)


async def several(clock: VirtualClock, alarms: Alarms, rung: list[tuple[float, str]]) -> None:
    began = clock.monotonic()

    def at(seconds: float, name: str) -> None:
        alarms.set(began + seconds, lambda: rung.append((clock.monotonic() - began, name)))

    at(60, "late")
    at(5, "early")
    at(5, "early, too")
    at(-1, "at once")
    await clock.sleep(1)
    at(30, "between")
    await clock.sleep(100)
    at(110, "again")
    await clock.sleep(100)


def test_each_rings_at_its_time() -> None:
    """Also one that is set before those that were set earlier, and one when all others have rung."""
    assert on_virtual_time(several) == [
        (0, "at once"),
        (5, "early"),
        (5, "early, too"),
        (30, "between"),
        (60, "late"),
        (110, "again"),
    ]


async def closed(clock: VirtualClock, alarms: Alarms, rung: list[tuple[float, str]]) -> None:
    alarms.set(clock.monotonic() + 1, lambda: rung.append((0, "rung")))
    alarms.close()
    await clock.sleep(10)


def test_none_rings_when_it_is_over() -> None:
    """Nothing is left for the event loop to call."""
    assert on_virtual_time(closed) == []
