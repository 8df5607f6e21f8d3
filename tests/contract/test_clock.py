"""What every Clock promises: the wall's and the virtual one, each on the event loop it is used with."""

import asyncio
import threading
import uuid
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from datetime import UTC, timedelta
from typing import Any

import pytest

from kaa.lib.clock import Clock, VirtualClock, VirtualEventLoop, WallClock

Scenario = Callable[[Clock], Coroutine[Any, Any, None]]


def on_wall_clock(scenario: Scenario) -> None:
    asyncio.run(scenario(WallClock()))


def on_virtual_clock(scenario: Scenario) -> None:
    loop = VirtualEventLoop()
    try:
        loop.run_until_complete(scenario(VirtualClock(seed=7)))
    finally:
        loop.close()


each_clock = pytest.mark.parametrize("run", [on_wall_clock, on_virtual_clock], ids=["wall", "virtual"])


@each_clock
def test_both_times_go_on_together(run: Callable[[Scenario], None]) -> None:
    """The time of day is in UTC and says so; the monotonic one never goes back; a sleep moves both by its length."""

    async def scenario(clock: Clock) -> None:
        now, monotonic = clock.now(), clock.monotonic()
        assert now.tzinfo is UTC
        await clock.sleep(0.02)
        assert clock.monotonic() - monotonic >= 0.0199
        assert clock.now() - now >= timedelta(seconds=0.015)

    run(scenario)


@each_clock
def test_timers_fire_in_order_and_can_be_cancelled(run: Callable[[Scenario], None]) -> None:
    """In the order of their times, with their arguments; a cancelled one not at all."""

    async def scenario(clock: Clock) -> None:
        fired: list[str] = []
        clock.call_later(0.02, fired.append, "second")
        clock.call_later(0.01, fired.append, "first")
        clock.call_later(0.015, fired.append, "never").cancel()
        await clock.sleep(0.05)
        assert fired == ["first", "second"]

    run(scenario)


@each_clock
def test_a_sleep_can_be_cut_short(run: Callable[[Scenario], None]) -> None:
    """`asyncio.timeout` is on the same time as the clock's own waits."""

    async def scenario(clock: Clock) -> None:
        began = clock.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await clock.sleep(30)
        assert clock.monotonic() - began < 10

    run(scenario)


@each_clock
def test_identifiers_are_uuids_and_differ(run: Callable[[Scenario], None]) -> None:
    """Version 4, as Kubernetes' uids; chance is the clock's own generator."""

    async def scenario(clock: Clock) -> None:
        drawn = {clock.uuid() for _ in range(100)}
        assert len(drawn) == 100
        assert {uuid.UUID(text).version for text in drawn} == {4}
        assert 0 <= clock.random.random() < 1

    run(scenario)


@each_clock
def test_work_for_a_thread_is_done_and_its_failure_told(run: Callable[[Scenario], None]) -> None:
    """`asyncio.to_thread` gives back what the function returns or raises, and keeps the caller's context variables."""
    who: ContextVar[str] = ContextVar("who")

    def fail() -> None:
        raise OSError("no such device")

    async def scenario(clock: Clock) -> None:
        who.set("me")
        assert await asyncio.to_thread(who.get) == "me"
        with pytest.raises(OSError, match="no such device"):
            await asyncio.to_thread(fail)

    run(scenario)


def test_virtual_time_stands_still_while_a_thread_would_work() -> None:
    """A thread takes real time while virtual time jumps: its work is done in line, and one seed gives one history."""

    async def scenario(clock: Clock) -> None:
        ticking = asyncio.create_task(clock.sleep(0.001))
        threads = {await asyncio.to_thread(threading.get_ident) for _ in range(3)}
        assert threads == {threading.get_ident()}
        assert not ticking.done()
        assert clock.monotonic() == 0.0
        await ticking

    on_virtual_clock(scenario)
