"""The world: an API server on the memory store, and components beside it, as tasks of one event loop.

It knows nothing of who drives it, from which thread, or by what clock. A component that fails is logged and started
again with back-off, as a supervisor does with processes; one that was crashed stays down until it is restarted.
"""

import asyncio
import logging
from collections.abc import Iterable
from random import Random

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.client.rest import Client
from kaa.cluster.simulation.component import Component, user_named
from kaa.cluster.simulation.component_clock import ComponentClock
from kaa.cluster.simulation.history import HISTORY_BYTES, History
from kaa.cluster.simulation.link import Link
from kaa.lib.backoff import Backoff
from kaa.lib.clock import Clock
from kaa.server.app import APIServer
from kaa.server.chain import SecureBy
from kaa.server.inprocess import InProcessTransport
from kaa.store.log import Contents
from kaa.store.memory import EMPTY, MemoryStore

log = logging.getLogger(__name__)

ADMIN = user_named("kubernetes-admin", "system:masters")

RESTART = Backoff(initial_seconds=1.0, limit_seconds=60.0)
"""Between two tries of a component that fails."""

BEGIN_SECONDS = 0.01
"""How long after the server the components begin: who only wants the API does not wait for all their first lists."""


class World:
    """Made, started and stopped in one event loop, once each."""

    def __init__(
        self,
        clock: Clock,
        secure: SecureBy,
        *,
        seed: int = 0,
        latency: bool = False,
        contents: Contents = EMPTY,
        history_bytes: int = HISTORY_BYTES,
    ) -> None:
        """`latency`: messages are under way for a moment (see link), which only virtual time can afford."""
        self.clock = clock
        self.seed = seed
        self.history = History(clock, contents, history_bytes)
        self.store = MemoryStore(clock, contents, self.history.hear)
        self.server = APIServer(self.store, clock, secure=secure)
        self.client = Client(InProcessTransport(self.server.handle, ADMIN), self.server.catalog)
        self.links: dict[str, Link] = {}
        self.clocks: dict[str, ComponentClock] = {}
        self._is_new = contents is EMPTY
        self._latency = latency
        self._components: dict[str, Component] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._runs = False

    async def start(self, components: Iterable[Component] = ()) -> None:
        """Returns once the server answers; the components begin a moment later."""
        await self.store.start()
        await self.server.start()
        for component in components:
            self.add(component)
        if self._is_new:  # a fork has what there was, and not what had been deleted
            await self._make(obj for component in self._components.values() for obj in component.addons)
        self._runs = True
        for name in self._components:
            self._begin(name, BEGIN_SECONDS)

    async def stop(self) -> None:
        """Ends everything. Twice is once."""
        self._runs = False
        await _end(self._tasks.values())
        self._tasks.clear()
        for transport in (self.client.transport, *self.links.values()):
            await transport.close()
        await self.server.stop()
        await self.store.close()

    def add(self, component: Component) -> None:
        """Starts it at once when the world runs, else with the world."""
        name = component.name
        assert name not in self._components, f"there is a component {name} already"
        self._components[name] = component
        transport = InProcessTransport(self.server.handle, component.user)
        chance = Random(f"{self.seed}/{name}/link")
        self.links[name] = Link(transport, self.clock, chance, latency=self._latency)
        self.clocks[name] = ComponentClock(self.clock, self.seed, name)
        if self._runs:
            self.restart(name)

    async def _make(self, addons: Iterable[Object]) -> None:
        for obj in addons:
            try:
                await self.client.create(obj)
            except APIError as error:
                if error.reason != "AlreadyExists":  # another component has brought it
                    raise

    async def crash(self, name: str) -> None:
        """Ends a component at once, as `kill -9` does: nothing that it holds is written."""
        task = self._tasks.pop(name, None)
        if task is not None:
            self.links[name].sever()
            await _end([task])

    def restart(self, name: str) -> None:
        """Starts a component that does not run. It knows nothing of what it knew."""
        if name not in self._tasks:
            self.links[name].mend()
            self.clocks[name].restart()
            self._begin(name, 0.0)

    def _begin(self, name: str, delay_seconds: float) -> None:
        work = self._supervise(self._components[name], delay_seconds)
        self._tasks[name] = asyncio.get_running_loop().create_task(work, name=name)

    @property
    def running(self) -> list[str]:
        """The components that run, in the order in which they were started."""
        return list(self._tasks)

    async def _supervise(self, component: Component, delay_seconds: float) -> None:
        await self.clock.sleep(delay_seconds)
        failures = 0
        while True:
            client = Client(self.links[component.name])
            try:
                await component.run(client, self.clocks[component.name])
                return
            except Exception:
                # A component's fault ends its run and not the world's: loud, and tried again.
                failures += 1
                log.exception("%s failed", component.name)
                if _is_ending():
                    return  # what failed was its end
            await self.clock.sleep(RESTART.delay(failures))


def _is_ending() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _end(tasks: Iterable["asyncio.Task[None]"]) -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending)
