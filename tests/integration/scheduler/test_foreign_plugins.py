"""A plugin that raises, hangs or answers nonsense is its pod's misfortune, and nobody else's."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import numpy as np
import pytest
from tests.integration.controlled import virtual
from tests.integration.scheduler.scheduling import Scheduling, profile, scheduler_of, scheduling, serving

from kaa.api.objects import condition
from kaa.scheduler.cluster_events import ClusterEvent
from kaa.scheduler.derived import Derived
from kaa.scheduler.framework import Placement, Plugin, Profile, Rejection
from kaa.scheduler.watched import MAX_GIVEN_UP, Hung, Watch


def victim_only(pod) -> bool:
    return pod.name == "victim"


def raising(pod, snapshot) -> Iterator[Rejection]:
    if victim_only(pod):
        raise ValueError("no idea")
    return iter(())


def sleeping(pod, snapshot) -> Iterator[Rejection]:
    if victim_only(pod):
        time.sleep(2)
    return iter(())


def spinning(pod, snapshot) -> Iterator[Rejection]:
    while victim_only(pod):
        try:
            sum(range(100))
        except Exception:  # a hang that does not give up
            continue
    return iter(())


def wrong_rows(pod, snapshot) -> Iterator[Rejection]:
    if victim_only(pod):
        yield Rejection(np.zeros(3), "nonsense")


def not_a_number(pod, snapshot, rows):
    return np.full(snapshot.size, np.nan) if victim_only(pod) else None


def far_too_good(pod, snapshot, rows):
    return np.full(snapshot.size, 1000.0) if victim_only(pod) else None


def too_short(pod, snapshot, rows):
    return np.zeros(1) if victim_only(pod) else None


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        ({"reject": raising}, 'running Filter plugin "Foreign": ValueError: no idea'),
        ({"pre_reject": raising}, 'running PreFilter plugin "Foreign": ValueError: no idea'),
        ({"reject": sleeping}, 'plugin "Foreign" did not answer within 0.2 seconds'),
        ({"reject": spinning}, 'plugin "Foreign" did not answer within 0.2 seconds'),
        ({"reject": wrong_rows}, 'running Filter plugin "Foreign": rows must be a numpy array of 16 booleans'),
        ({"score": not_a_number}, 'plugin "Foreign" failed with: scores must be from 0 to 100, not nan to nan'),
        ({"score": far_too_good}, 'plugin "Foreign" failed with: scores must be from 0 to 100, not 1000.0 to 1000.0'),
        ({"score": too_short}, 'plugin "Foreign" failed with: scores must be a numpy array of 16 numbers'),
    ],
)
def test_only_its_pod_is_affected(functions, message) -> None:
    """Its condition and an event say what happened; the pods before and after it are scheduled."""

    @virtual
    async def scenario() -> None:
        async with scheduling(foreign(**functions)) as cluster:
            await cluster.add_node("node-1", cpu="4")
            await cluster.add_node("node-2", cpu="4")
            await cluster.add_pod("before")
            await cluster.bound("before")
            await cluster.add_pod("victim")
            await cluster.add_pod("after")
            await cluster.bound("after")
            found = await cluster.waits("victim", message)
            scheduled = condition(found["status"]["conditions"], "PodScheduled")
            assert scheduled is not None
            assert scheduled["reason"] == "SchedulerError"
            await cluster.until(lambda: says(cluster, message), "an event says so")

    scenario()


def foreign(**functions) -> Profile:
    return profile(Plugin(name="Foreign", foreign=True, limit_seconds=0.2, **functions))


async def says(cluster: Scheduling, message: str) -> bool:
    return any(reason == "FailedScheduling" and message in text for reason, text in await cluster.events("victim"))


@pytest.mark.parametrize("point", ["reserve", "permit", "pre_bind", "bind"])
def test_one_that_raises_on_the_way(point) -> None:
    """What the pod took on its node is given back: another pod gets it."""
    given_back: list[str] = []

    def raise_for_victim(placement: Placement) -> None:
        if victim_only(placement.pod):
            raise ValueError("no idea")

    async def raise_later(placement: Placement) -> bool:
        raise_for_victim(placement)
        return False

    functions: dict[str, Callable[[Placement], Awaitable[bool] | None]] = {
        point: raise_later if point in ("pre_bind", "bind") else raise_for_victim,
        "unreserve": lambda placement: given_back.append(placement.pod.name),
    }

    @virtual
    async def scenario() -> None:
        async with scheduling(foreign(**functions)) as cluster:
            await cluster.add_node("node-1")
            await cluster.add_pod("victim")
            await cluster.waits("victim", 'plugin "Foreign": ValueError: no idea')
            await cluster.add_pod("after", cpu="900m")
            await cluster.bound("after")
            assert set(given_back) == {"victim"}

    scenario()


@virtual
async def test_a_gate_that_raises_stays_closed() -> None:
    """Nobody knows whether the pod may be tried; an event says why it is not."""

    def gate(pod, view):
        if victim_only(pod):
            raise ValueError("no idea")

    async with scheduling(foreign(enqueue=gate)) as cluster:
        await cluster.add_node("node-1")
        await cluster.add_pod("victim")
        await cluster.add_pod("after")
        await cluster.bound("after")
        message = 'running PreEnqueue plugin "Foreign": ValueError: no idea'
        await cluster.until(lambda: says(cluster, message), "an event says so")
        assert "nodeName" not in (await cluster.pod("victim"))["spec"]


@virtual
async def test_a_pod_that_goes_while_it_is_decided_on() -> None:
    """What the watches told meanwhile is taken in before the decision is carried out."""
    asked: list[str] = []

    def slow(pod, snapshot):
        asked.append(pod.name)
        time.sleep(0.1)
        return iter(())

    async def was_asked() -> bool:
        return bool(asked)

    plugin = Plugin(name="Foreign", foreign=True, limit_seconds=5, reject=slow)
    async with serving() as (client, clock), scheduler_of(client, clock, [profile(plugin)]) as scheduler:
        cluster = Scheduling(client, clock)
        await cluster.add_node("node-1")
        await cluster.add_pod("gone")
        await cluster.until(was_asked, "it is decided on")
        await cluster.delete_pod("gone")
        await cluster.add_pod("next")
        await cluster.bound("next")
        assert scheduler.snapshot.pods.keys() == {("default", "next")}


@virtual
async def test_hints_and_state_that_raise() -> None:
    """A hint that fails is a yes; state that cannot follow is made anew. Pods go on being scheduled."""

    class Broken(Derived):
        def add_pod(self, pod, row):
            raise ValueError("no idea")

    def reject(pod, snapshot):
        if not snapshot.pods:
            snapshot.derived("broken", lambda size: Broken())
        if victim_only(pod) and ("default", "after") not in snapshot.pods:
            yield Rejection(snapshot.present, "not yet")

    def hint(pod, event):
        raise ValueError("no idea")

    def unplaced(pod, context):
        raise ValueError("no idea")

    broken = foreign(reject=reject, unplaced=unplaced, helped_by={ClusterEvent.POD_BOUND: hint})
    async with scheduling(broken) as cluster:
        await cluster.add_node("node-1", cpu="4")
        await cluster.add_pod("victim")
        await cluster.waits("victim", "1 not yet")
        await cluster.add_pod("after")
        await cluster.bound("after")
        await cluster.bound("victim")


def test_threads_are_not_given_up_without_end() -> None:
    """A plugin that hangs in what cannot be interrupted must not cost a thread for every pod."""

    async def scenario() -> None:
        watch = Watch()
        for _ in range(MAX_GIVEN_UP):
            with pytest.raises(Hung):
                await watch.call(lambda: time.sleep(1), 0.01)
        with pytest.raises(Hung):
            await watch.call(lambda: 1, 5)
        await asyncio.sleep(1.2)
        assert await watch.call(lambda: 1, 5) == 1
        watch.close()

    asyncio.run(scenario())
