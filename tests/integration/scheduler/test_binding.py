"""Bindings whose answer is lost, schedulers that die, and several of them: no pod twice, no node too full."""

import asyncio
import random
from contextlib import AbstractAsyncContextManager
from typing import Any

from tests.integration.controlled import virtual
from tests.integration.scheduler.scheduling import Scheduling, profile, scheduler_of, scheduling, serving

from kaa.client.rest import Client
from kaa.client.transport import Response, ResponseStream, Transport, TransportError
from kaa.scheduler.framework import Placement, Plugin
from kaa.scheduler.loop import BINDINGS_AT_ONCE, run_scheduler


class LosingTransport(Transport):
    """Loses bindings and their answers: before they are sent, after they are done, or not."""

    def __init__(self, transport: Transport, rng: random.Random) -> None:
        self.transport = transport
        self.rng = rng
        self.lost = 0

    async def request(self, method: str, path: str, **more: Any) -> Response:
        fate = self.rng.random() if path.endswith("/binding") else 1.0
        if fate < 0.3:
            self.lost += 1
            raise TransportError("lost on its way")
        answer = await self.transport.request(method, path, **more)
        if fate < 0.6:
            self.lost += 1
            raise TransportError("the answer is lost")
        return answer

    def stream(self, method: str, path: str, **more: Any) -> AbstractAsyncContextManager[ResponseStream]:
        return self.transport.stream(method, path, **more)

    async def close(self) -> None:
        await self.transport.close()


async def all_bound(cluster: Scheduling, pods: int) -> bool:
    found = (await cluster.client.list("Pod", "default")).items
    return sum("nodeName" in pod["spec"] for pod in found) == pods


async def pods_on(cluster: Scheduling) -> dict[str, int]:
    counts: dict[str, int] = {}
    for pod in (await cluster.client.list("Pod", "default")).items:
        if node_name := pod["spec"].get("nodeName"):
            counts[node_name] = counts.get(node_name, 0) + 1
    return counts


@virtual
async def test_lost_answers_are_asked_for_again() -> None:
    """A binding that was not answered holds its place until it is known whether it was done: exactly full nodes."""
    async with serving() as (client, clock):
        losing = LosingTransport(client.transport, random.Random(3))
        async with scheduler_of(Client(losing), clock):
            cluster = Scheduling(client, clock)
            for index in range(5):
                await cluster.add_node(f"node-{index}", cpu="3")
            for index in range(15):
                await cluster.add_pod(f"pod-{index}", cpu="1")
            await cluster.until(lambda: all_bound(cluster, 15), "all are bound", 300)
        assert set((await pods_on(cluster)).values()) == {3}
        assert losing.lost > 5


@virtual
async def test_a_scheduler_that_is_killed_again_and_again() -> None:
    """At any moment, with bindings under way; the next one takes up from what the server has."""
    rng = random.Random(11)
    async with serving() as (client, clock):
        cluster = Scheduling(client, clock)
        for index in range(10):
            await cluster.add_node(f"node-{index}", cpu="4")
        seen: dict[str, str] = {}
        made = 0
        while made < 40 or not await all_bound(cluster, 40):
            task = asyncio.ensure_future(run_scheduler(client, clock))
            for _ in range(rng.randrange(1, 8)):
                if made < 40:
                    await cluster.add_pod(f"pod-{made}", cpu="1")
                    made += 1
            for _ in range(rng.randrange(1, 400)):  # turns of the event loop
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            for pod in (await client.list("Pod", "default")).items:
                if node_name := pod["spec"].get("nodeName"):
                    assert seen.setdefault(pod["metadata"]["name"], node_name) == node_name
        assert set((await pods_on(cluster)).values()) == {4}


@virtual
async def test_of_two_schedulers_one_works() -> None:
    """Leader election: the second takes over when the first has gone, and finds all as it is."""
    async with serving() as (client, clock):
        first, second = (asyncio.ensure_future(run_scheduler(client, clock, identity=name)) for name in ("a", "b"))
        cluster = Scheduling(client, clock)
        await cluster.add_node("node-1", cpu="2")
        await cluster.add_pod("one", cpu="1")
        await cluster.bound("one")
        lease = await client.get("Lease", "kube-scheduler", "kube-system")
        assert lease["spec"]["holderIdentity"] == "a"
        first.cancel()
        await asyncio.wait([first])
        await cluster.add_pod("two", cpu="1")
        await cluster.bound("two")
        lease = await client.get("Lease", "kube-scheduler", "kube-system")
        assert lease["spec"]["holderIdentity"] == "b"
        second.cancel()
        await asyncio.wait([second])


@virtual
async def test_many_pods_that_wait_for_volumes_hold_nobody_up() -> None:
    """A provisioner takes minutes; there are more such pods than writes at once."""
    slow = BINDINGS_AT_ONCE + 10

    async def wait_for_volume(placement: Placement) -> None:
        if placement.pod.name.startswith("slow"):
            await placement.context.clock.sleep(50)

    plugin = Plugin(name="Slow", foreign=True, pre_bind=wait_for_volume)
    async with scheduling(profile(plugin)) as cluster:
        await cluster.add_node("node-1", cpu="100")
        for index in range(slow):
            await cluster.add_pod(f"slow-{index}", cpu="100m")
        await cluster.add_pod("quick")
        await cluster.bound("quick", seconds=10)
        assert not (await cluster.pod("slow-0"))["spec"].get("nodeName")
        await cluster.until(lambda: all_bound(cluster, slow + 1), "all are bound", 120)
