"""Many time limits on one timer: each holds as `asyncio.timeout` would."""

import asyncio

import pytest

from kaa.lib.clock import VirtualEventLoop
from kaa.lib.deadlines import Deadlines


def run(main):
    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        return runner.run(main)


async def lasting(deadlines: Deadlines, limit: float, seconds: float) -> tuple[str, float]:
    loop = asyncio.get_running_loop()
    try:
        with deadlines.within(limit):
            await asyncio.sleep(seconds)
        return "done", loop.time()
    except TimeoutError:
        return "late", loop.time()


def test_each_has_its_own_limit():
    """Also one that begins later and must end earlier than those before it."""

    async def main():
        deadlines = Deadlines()
        try:
            return await asyncio.gather(
                lasting(deadlines, 30, 10),
                lasting(deadlines, 30, 40),
                lasting(deadlines, 5, 9),
                lasting(deadlines, 8, 7),
            )
        finally:
            deadlines.close()

    assert run(main()) == [("done", 10), ("late", 30), ("late", 5), ("done", 7)]


def test_cancelling_stays_cancelling():
    """A task that is cancelled from outside, or both at once, doesn't take it for a lack of time."""

    async def main():
        deadlines = Deadlines()
        task = asyncio.create_task(lasting(deadlines, 5, 9))
        await asyncio.sleep(5)  # its limit is over in this very moment
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        deadlines.close()

    run(main())


def test_nothing_is_left_behind():
    """One timer for all, none once closed."""

    async def main():
        deadlines, loop = Deadlines(), asyncio.get_running_loop()
        await asyncio.gather(*(lasting(deadlines, 30, 1) for _ in range(100)))
        left = [timer for timer in loop._scheduled if not timer.cancelled()]
        deadlines.close()
        return len(left), [timer for timer in loop._scheduled if not timer.cancelled()]

    assert run(main()) == (1, [])
