"""The work queue's promises: a key once, never two workers at one key, the newest state always seen."""

import asyncio

from kaa.lib.clock import VirtualClock, VirtualEventLoop
from kaa.lib.workqueue import WorkQueue


def test_a_key_added_while_worked_on_waits_for_done() -> None:
    """Else a change that comes during a reconcile would be lost, or two workers would have one key."""

    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue(VirtualClock(seed=1))
        queue.add("a")
        queue.add("a")
        assert await queue.get() == "a"
        assert len(queue) == 0
        queue.add("a")
        assert len(queue) == 0
        queue.done("a")
        assert await queue.get() == "a"

    asyncio.run(scenario())


def test_of_two_timers_the_earlier_counts_and_virtual_time_jumps() -> None:
    """A day's wait takes no real time, and the later timer of a key does not push back the earlier."""
    loop = VirtualEventLoop()

    async def scenario() -> float:
        queue: WorkQueue[str] = WorkQueue(VirtualClock(seed=1))
        queue.add_after("a", 86400)
        queue.add_after("a", 3600)
        queue.add_after("a", 7200)
        await queue.get()
        return loop.time()

    try:
        assert loop.run_until_complete(scenario()) == 3600
    finally:
        loop.close()


def test_a_key_wakes_one_worker_and_none_is_lost_with_it() -> None:
    """A worker that is cancelled just as a key was given to it leaves that key to the next one that waits."""

    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue(VirtualClock(seed=1))
        woken: list[str] = []

        async def work(name: str) -> None:
            key = await queue.get()
            woken.append(f"{name} {key}")

        workers = [asyncio.create_task(work(name)) for name in ("first", "second", "third", "fourth")]
        await asyncio.sleep(0)
        workers[0].cancel()  # while it waits
        queue.add("a")
        workers[1].cancel()  # after it was woken, before it runs
        await asyncio.sleep(0.01)
        assert woken == ["third a"]
        queue.add("b")
        await asyncio.sleep(0.01)
        assert woken == ["third a", "fourth b"]
        await asyncio.wait(workers)

    asyncio.run(scenario())
