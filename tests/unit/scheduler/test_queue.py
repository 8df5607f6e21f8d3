"""Which pod is next, and when one that failed is tried again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from tests.unit.scheduler.make import pod

from kaa.lib.clock import VirtualClock, VirtualEventLoop
from kaa.scheduler.cluster_events import ClusterEvent, Event, helped_by
from kaa.scheduler.queue import SchedulingQueue

HELPED_BY = {
    "Fit": helped_by(ClusterEvent.POD_GONE, ClusterEvent.NODE_ADDED),
    "Gates": helped_by(ClusterEvent.POD_WAITING),
    "Hint": {ClusterEvent.NODE_ADDED: lambda pod, event: pod.requests["cpu"] <= event.new["cpu"]},
}


def play(scenario: Callable[[SchedulingQueue, VirtualClock], Awaitable[None]], **more: Any) -> None:
    loop = VirtualEventLoop()
    clock = VirtualClock(seed=1)

    async def run() -> None:
        queue = SchedulingQueue(clock, HELPED_BY, **more)
        try:
            await asyncio.wait_for(scenario(queue, clock), 3600)
        finally:
            queue.close()

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


def test_priority_then_age():
    """The most important first; among equals the one that has waited longest."""

    async def scenario(queue, clock):
        for name, priority in (("a", 0), ("b", 10), ("c", 0), ("d", 10)):
            queue.put(pod(name, priority=priority))
        assert [(await queue.next()).key[1] for _ in range(4)] == ["b", "d", "a", "c"]

    play(scenario)


def test_back_off_grows():
    """1, 2, 4, 8, 10, 10 seconds between the tries of a pod whose binding fails."""

    async def scenario(queue, clock):
        queue.put(pod("a"))
        waits = []
        for _ in range(6):
            began = clock.monotonic()
            await queue.next()
            waits.append(clock.monotonic() - began)
            queue.failed(("default", "a"))
        assert waits == [0, 1, 2, 4, 8, 10]

    play(scenario)


def test_an_event_that_helps_brings_a_pod_back():
    """An event that cannot help leaves it where it is."""

    async def scenario(queue, clock):
        queue.put(pod("a"))
        await queue.next()
        queue.failed(("default", "a"), {"Fit"})
        queue.moved(Event(ClusterEvent.NODE_TAINTS))
        await clock.sleep(60)
        assert queue.active == 0
        queue.moved(Event(ClusterEvent.NODE_ADDED))
        assert queue.active == 1

    play(scenario)


def test_an_event_during_the_try_counts():
    """A pod goes while another is found not to fit: the room it leaves must not be missed."""

    async def scenario(queue, clock):
        queue.put(pod("a"))
        await queue.next()
        queue.moved(Event(ClusterEvent.POD_GONE))
        queue.failed(("default", "a"), {"Fit"})
        assert (await queue.next()).key == ("default", "a")
        assert clock.monotonic() == 0

    play(scenario)


def test_back_off_is_for_when_there_is_something_else_to_do():
    """A pod that could be helped does not wait for an idle scheduler, nor does it come before pods that do not fail."""

    async def scenario(queue, clock):
        queue.put(pod("a"))
        await queue.next()
        queue.failed(("default", "a"), {"Fit"})
        queue.put(pod("b"))
        queue.moved(Event(ClusterEvent.POD_GONE))
        assert queue.active == 1
        assert [(await queue.next()).name for _ in range(2)] == ["b", "a"]
        assert clock.monotonic() == 0

    play(scenario)


def test_nobody_waits_for_ever():
    """After five minutes an unschedulable pod is tried again, whatever happened."""

    async def scenario(queue, clock):
        queue.put(pod("a"))
        await queue.next()
        queue.failed(("default", "a"), {"Fit"})
        await queue.next()
        assert clock.monotonic() == 300

    play(scenario)


def test_a_pod_that_is_dropped_is_gone():
    """From wherever it is: active, being tried, backing off, unschedulable."""

    async def scenario(queue, clock):
        key = ("default", "a")
        queue.put(pod("a"))
        queue.drop(key)
        assert (len(queue), queue.active) == (0, 0)
        for plugins in ((), {"Fit"}):
            queue.put(pod("a"))
            await queue.next()
            queue.failed(key, plugins)
            queue.drop(key)
            queue.moved(Event(ClusterEvent.NODE_ADDED))
            await clock.sleep(400)
            assert (len(queue), queue.active) == (0, 0)
        queue.put(pod("a"))
        await queue.next()
        queue.drop(key)
        queue.failed(key)
        await clock.sleep(400)
        assert len(queue) == 0

    play(scenario)


def test_a_gated_pod_is_not_tried():
    """Nor by time, nor by events that its gate does not name; one that it names lets the gate be asked again."""

    async def scenario(queue, clock):
        queue.put(pod("a", schedulingGates=[{"name": "quota"}]))
        queue.moved(Event(ClusterEvent.NODE_ADDED))
        await clock.sleep(1000)
        assert (len(queue), queue.active) == (1, 0)
        queue.put(pod("a"))
        assert (await queue.next()).name == "a"

    play(scenario, gate=lambda pod: "Gates" if pod.gates else None)


def test_a_gate_is_asked_again_when_it_may_be_open():
    """As a gang's is, when another of its pods comes."""
    closed = [True]

    async def scenario(queue, clock):
        queue.put(pod("a"))
        queue.moved(Event(ClusterEvent.POD_WAITING))
        assert queue.active == 0
        closed.clear()
        queue.moved(Event(ClusterEvent.POD_WAITING))
        assert (await queue.next()).name == "a"

    play(scenario, gate=lambda pod: "Gates" if closed else None)


def test_a_hint_decides_for_its_pod():
    """A node that is still too small does not wake those that are too large for it."""

    async def scenario(queue, clock):
        for name, cpu in (("small", "1"), ("large", "8")):
            queue.put(pod(name, cpu))
            await queue.next()
            queue.failed(("default", name), {"Hint"})
        await clock.sleep(20)
        queue.moved(Event(ClusterEvent.NODE_ADDED, new={"cpu": 2000}))
        assert (await queue.next()).name == "small"
        assert queue.active == 0

    play(scenario)


def test_what_is_activated_does_not_back_off():
    """Somebody knows better; a pod that is not there does no harm."""

    async def scenario(queue, clock):
        queue.put(pod("a"))
        await queue.next()
        queue.failed(("default", "a"))
        queue.activate([("default", "a"), ("default", "b")])
        assert (await queue.next()).name == "a"
        assert clock.monotonic() == 0

    play(scenario)


def test_a_pod_with_room_of_its_own_does_not_hurry():
    """Only what happens on its node ends its back-off early: a hundred of them would be tried at every event."""

    async def scenario(queue, clock):
        queue.put(replace(pod("a"), nominated_node_name="mine"))
        await queue.next()
        queue.failed(("default", "a"), {"Fit"})
        queue.moved(Event(ClusterEvent.POD_GONE, pod=replace(pod("x"), node_name="other")))
        assert queue.pop() is None
        await queue.next()
        assert clock.monotonic() == 1
        queue.failed(("default", "a"), {"Fit"})
        queue.moved(Event(ClusterEvent.POD_GONE, pod=replace(pod("x"), node_name="mine")))
        assert queue.pop() is not None

    play(scenario)


def test_of_pods_that_are_alike_one_is_tried_early():
    """A hundred that fit nowhere cost one try at an event; once one gets a node, the others follow, one by one."""

    async def scenario(queue, clock):
        for index in range(100):
            queue.put(pod(f"p{index}"))
            await queue.next()
            queue.failed(("default", f"p{index}"), {"Fit"})
        queue.moved(Event(ClusterEvent.POD_GONE))
        scout = queue.pop()
        assert scout is not None
        assert queue.pop() is None
        queue.failed(scout.key, {"Fit"})
        assert queue.pop() is None
        queue.moved(Event(ClusterEvent.POD_GONE))
        scouts = set()
        for _ in range(100):
            tried = await queue.next()
            scouts.add(tried.name)
            queue.placed(tried)
            queue.done(tried.key)
        assert len(scouts) == 100
        assert clock.monotonic() == 0

    play(scenario)
