"""A world with simulated nodes and a control plane, on virtual time: what the tests of nodes share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from kaa.api.objects import Object, condition
from kaa.client.rest import Client
from kaa.cluster.simulation.control_plane import controller_manager, scheduler, security_of
from kaa.cluster.simulation.credentials import known_credentials
from kaa.cluster.simulation.images import Images
from kaa.cluster.simulation.kubelet_doors import KubeletDoors
from kaa.cluster.simulation.world import World
from kaa.controllers import Options
from kaa.lib.clock import VirtualClock, VirtualEventLoop

WAIT_SECONDS = 900.0
"""Of virtual time, before a test gives up waiting."""


class Stage:
    """The world, its images, and short names for what tests do with it."""

    def __init__(self, seed: int = 7) -> None:
        self.clock = VirtualClock(seed)
        self.images = Images()
        self.doors = KubeletDoors()
        self.world = World(self.clock, security_of(known_credentials(), self.doors), seed=seed)

    @property
    def client(self) -> Client:
        return self.world.client

    async def until(self, holds: Callable[[], Coroutine[Any, Any, Any]], seconds: float = WAIT_SECONDS) -> Any:
        async with asyncio.timeout(seconds):
            while not (found := await holds()):
                await self.clock.sleep(0.1)
        return found

    async def pod(self, name: str) -> Object:
        return await self.client.get("Pod", name, "default")

    async def pod_when(self, name: str, holds: Callable[[Object], Any]) -> Object:
        async def look() -> Object | None:
            pod = await self.pod(name)
            return pod if holds(pod) else None

        found: Object = await self.until(look)
        return found

    async def gone(self, name: str) -> None:
        async def look() -> bool:
            found = await self.client.list("Pod", "default", field_selector=f"metadata.name={name}")
            return not found.items

        await self.until(look)

    async def create(self, name: str, annotations: dict[str, str] | None = None, **spec: Any) -> Object:
        """A pod with one container `a` of the image app:1, unless `spec` says otherwise."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "annotations": annotations or {}},
            "spec": {"containers": [{"name": "a", "image": "app:1"}], **spec},
        }
        return await self.client.create(pod)

    async def logs(self, name: str, query: tuple[tuple[str, str], ...] = ()) -> str:
        path = f"/api/v1/namespaces/default/pods/{name}/log"
        response = await self.client.transport.request("GET", path, query=query)
        assert response.status == 200, response.body
        return response.body.decode()


@asynccontextmanager
async def stage(seed: int = 7) -> AsyncIterator[Stage]:
    """With controllers and scheduler; nodes are the test's to add."""
    made = Stage(seed)
    await made.world.start([controller_manager(Options(), known_credentials()), scheduler(lambda _: None)])
    try:
        yield made
    finally:
        await made.world.stop()


def on_stage(scenario: Callable[[Stage], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test of its own loop, whose time jumps; nothing may be left running in it."""

    async def run() -> None:
        async with stage() as made:
            await scenario(made)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def test() -> None:
        with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
            runner.run(run())

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


def is_ready(obj: Object) -> bool:
    found = condition((obj.get("status") or {}).get("conditions"), "Ready")
    return found is not None and found["status"] == "True"


def is_unready(obj: Object) -> bool:
    found = condition((obj.get("status") or {}).get("conditions"), "Ready")
    return found is not None and found["status"] == "False"


def container_status(pod: Object) -> Object:
    statuses: list[Object] = (pod.get("status") or {}).get("containerStatuses") or [{}]
    return statuses[0]


def waiting_reason(pod: Object) -> str:
    return str(((container_status(pod).get("state") or {}).get("waiting") or {}).get("reason", ""))


def terminated(pod: Object) -> Object:
    """How the container has ended, last or for good."""
    status = container_status(pod)
    state, last = status.get("state") or {}, status.get("lastState") or {}
    found: Object = state.get("terminated") or last.get("terminated") or {}
    return found
