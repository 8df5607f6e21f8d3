"""A server and a scheduler in one process, on virtual time; nobody plays a kubelet or a controller."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from kaa.api.objects import condition
from kaa.client.rest import Client
from kaa.lib.clock import Clock, VirtualClock
from kaa.scheduler.framework import Plugin, Profile
from kaa.scheduler.loop import DEFAULT_PROFILE, Scheduler
from kaa.scheduler.plugins import PLUGINS
from kaa.server.app import APIServer
from kaa.server.chain import trust_everybody
from kaa.server.inprocess import InProcessTransport
from kaa.store.memory import MemoryStore


def profile(*more: Plugin) -> Profile:
    return Profile(DEFAULT_PROFILE.name, (*PLUGINS, *more))


class Scheduling:
    def __init__(self, client: Client, clock: Clock) -> None:
        self.client = client
        self.clock = clock

    async def add_node(self, name: str, cpu: str = "1", **more: Any) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, **more}, "spec": {}}
        await self.client.create(node)
        room = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
        await self.client.patch("Node", name, {"status": {"allocatable": room, "capacity": room}}, subresource="status")

    async def add_pod(self, name: str, cpu: str = "600m", priority: int = 0, **more: Any) -> None:
        labels = more.pop("labels", {})
        container = {"name": "main", "image": "example/app:1", "resources": {"requests": {"cpu": cpu}}}
        spec = {"containers": [container], "priority": priority, **more}
        metadata = {"name": name, "namespace": "default", "labels": labels}
        await self.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    async def pod(self, name: str) -> Any:
        return await self.client.get("Pod", name, "default")

    async def delete_pod(self, name: str) -> None:
        """As a kubelet does at the end."""
        await self.client.delete("Pod", name, "default", grace_seconds=0)

    async def bound(self, name: str, seconds: float = 60.0) -> str:
        """The node that the pod gets."""

        async def node_name() -> Any:
            return (await self.pod(name))["spec"].get("nodeName")

        return str(await self.until(node_name, f"{name} has a node", seconds))

    async def waits(self, name: str, because: str) -> Any:
        """Until the pod's condition says that."""

        async def says() -> Any:
            found = await self.pod(name)
            scheduled = condition(found["status"].get("conditions"), "PodScheduled") or {}
            return found if because in scheduled.get("message", "") else None

        return await self.until(says, f"{name} waits because of: {because}")

    async def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message) of what was told of the pod."""
        found = (await self.client.list("/v1/Event", "default")).items
        return [(e["reason"], e["message"]) for e in found if e["involvedObject"]["name"] == name]

    async def until(self, holds: Callable[[], Awaitable[Any]], what: str, seconds: float = 60.0) -> Any:
        deadline = self.clock.monotonic() + seconds
        while not (found := await holds()):
            assert self.clock.monotonic() < deadline, f"not within {seconds} seconds: {what}"
            await self.clock.sleep(0.05)
        return found


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Client, Clock]]:
    """Without admission: pods may say what priority they have."""
    clock = VirtualClock(seed=7)
    store = MemoryStore(clock)
    server = APIServer(store, clock, secure=trust_everybody)
    await server.start()
    for name in ("default", "kube-system"):
        await server.writer.create("Namespace", {"metadata": {"name": name}})
    try:
        yield Client(InProcessTransport(server.handle)), clock
    finally:
        await server.stop()
        await store.close()


@asynccontextmanager
async def scheduling(*profiles: Profile) -> AsyncIterator[Scheduling]:
    async with serving() as (client, clock), scheduler_of(client, clock, profiles):
        yield Scheduling(client, clock)


@asynccontextmanager
async def scheduler_of(client: Client, clock: Clock, profiles: Sequence[Profile] = ()) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(client, clock, profiles=profiles or (DEFAULT_PROFILE,))
    task = asyncio.ensure_future(scheduler.run())
    try:
        yield scheduler
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait([task])
