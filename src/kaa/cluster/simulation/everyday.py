"""What one does with a cluster every day, as coroutines in the cluster's own event loop.

    async with Cluster() as c:
        await c.apply(deployment)
        await c.wait("deployment", "web", "Available")

Names of kinds are kubectl's (`kind_names`), the namespace is "default" unless it is said. What the server refuses is
an APIError with its text.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from kaa.api.objects import Object, name_of, namespace_of
from kaa.api.resource import Resource
from kaa.client.rest import Client, error_of
from kaa.cluster.simulation.component import AUTHENTICATED, Component, Run, user_named
from kaa.cluster.simulation.control_plane import controller_manager, nodes, scheduler, security_of
from kaa.cluster.simulation.credentials import known_credentials, process_credentials
from kaa.cluster.simulation.drivers import AnotherLoop, running_loop
from kaa.cluster.simulation.faults import Faults
from kaa.cluster.simulation.history import Past, Recorded
from kaa.cluster.simulation.images import Images
from kaa.cluster.simulation.kind_names import resource_named
from kaa.cluster.simulation.kubelet_doors import KubeletDoors
from kaa.cluster.simulation.manifests import Manifest, defines, is_single, objects_of
from kaa.cluster.simulation.settings import Settings
from kaa.cluster.simulation.snapshot import Snapshot
from kaa.cluster.simulation.timing import (
    POLL_SECONDS,
    POLL_WALL_SECONDS,
    QUIET_VIRTUAL_SECONDS,
    QUIET_WALL_SECONDS,
    SETTLE_SECONDS,
    next_moment,
    seconds_of,
    settle,
    until,
)
from kaa.cluster.simulation.waiting import WAIT_SECONDS, Condition, wait_for
from kaa.cluster.simulation.world import World
from kaa.lib.clock import Clock, VirtualClock, VirtualEventLoop, WallClock
from kaa.server.inprocess import InProcessTransport
from kaa.store.memory import EMPTY

if TYPE_CHECKING:
    from kaa.cluster.simulation.front_door import FrontDoor
    from kaa.cri.simulated_behaviour import Program
    from kaa.scheduler.explaining import Explanation
    from kaa.scheduler.loop import Scheduler

FIELD_MANAGER = "kaa"
"""Who `apply` says it is, unless told otherwise."""

DEFAULT_NAMESPACE = "default"

NODES_EXPLAINED = 100

P = TypeVar("P", bound="Program")


RUNS_ALREADY = "the cluster runs already"
NOT_RUNNING = "the cluster does not run: use `with Cluster() as c` or `async with`"


class NotOnVirtualTime(RuntimeError):
    """Something was asked for that makes no sense on a virtual clock."""


class AsyncCluster:
    """A cluster, started by `start` and ended by `stop` in the same event loop."""

    def __init__(self, settings: Settings, snapshot: Snapshot | None = None) -> None:
        self.settings = settings
        self.images = Images()
        self._own: list[Component] = []  # what `add_component` was given
        self._snapshot = snapshot
        self._world: World | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # the one that it lives in
        self._faults: Faults | None = None
        self._door: FrontDoor | None = None
        self._opening_door = asyncio.Lock()
        self._scheduler: Scheduler | None = None

    # Its life

    async def __aenter__(self) -> "AsyncCluster":
        if self._world is not None:
            raise RuntimeError(RUNS_ALREADY)
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Returns once the API answers; controllers, scheduler and nodes start up meanwhile."""
        settings = self.settings
        self._loop = asyncio.get_running_loop()
        if settings.is_virtual and not isinstance(self._loop, VirtualEventLoop):
            raise RuntimeError(
                'clock="virtual" needs an event loop on virtual time: '
                "`with asyncio.Runner(loop_factory=kaa.VirtualEventLoop) as runner: runner.run(main())`"
            )
        credentials = known_credentials() if settings.is_virtual else process_credentials()
        doors = KubeletDoors()
        world = World(
            self._clock(),
            security_of(credentials, doors),
            seed=settings.seed,
            latency=settings.is_virtual,
            contents=self._snapshot.contents if self._snapshot else EMPTY,
            history_bytes=settings.history_bytes,
        )
        self._world, self._faults = world, Faults(world)
        if settings.controllers is not False:
            world.add(controller_manager(None if settings.controllers is True else settings.controllers, credentials))
        if settings.scheduler:
            world.add(scheduler(self._keep_scheduler))
        for component in (*nodes(settings.node_names, settings.light_nodes, self.images, doors), *self._own):
            world.add(component)
        await world.start()

    def _clock(self) -> Clock:
        if not self.settings.is_virtual:
            return WallClock()
        now = self._snapshot.time if self._snapshot else self.settings.starts_at
        clock = VirtualClock(self.settings.seed, now)
        # Its loop may have run for some time.
        return VirtualClock(self.settings.seed, now - timedelta(seconds=clock.monotonic()))

    async def stop(self) -> None:
        """Ends all of it. Twice is once."""
        if self._door is not None:
            door, self._door = self._door, None
            await door.close()
        if self._faults is not None:
            faults, self._faults = self._faults, None
            await faults.close()
        if self._world is not None:
            world, self._world = self._world, None
            await world.stop()

    async def reset(self) -> None:
        """The cluster is as new: nothing is left of what was in it, of images, components, faults and an open port."""
        await self.stop()
        self.images = Images()
        self._own = []
        self._snapshot = None
        await self.start()

    @property
    def world(self) -> World:
        if self._world is None:
            raise RuntimeError(NOT_RUNNING)
        if self.settings.is_virtual and running_loop() not in (None, self._loop):
            raise AnotherLoop
        return self._world

    @property
    def client(self) -> Client:
        """The full client, as the administrator; it knows custom kinds as soon as the server does."""
        return self.world.client

    @property
    def faults(self) -> Faults:
        """What goes wrong here, on request."""
        if self._faults is None:
            raise RuntimeError(NOT_RUNNING)
        return self._faults

    def client_of(self, user: str, *groups: str) -> Client:
        """A client that speaks as somebody else, for whom RBAC decides: "system:serviceaccount:default:operator"."""
        return Client(InProcessTransport(self.world.server.handle, user_named(user, *groups)), self.client.catalog)

    def image(self, name: str) -> Callable[[P], P]:
        """A decorator: the coroutine function is what containers of this image run."""

        def add(program: P) -> P:
            self.images.add(name, program)
            return program

        return add

    async def add_component(self, name: str, run: Run, *, user: str = "", groups: Sequence[str] = ()) -> None:
        """Runs a controller of one's own beside Kaa's: `async def run(client, clock)`, until it is cancelled.

        It is started at once, again after a failure or a `restore`, and in a `fork`; faults can befall it by its name.
        It speaks as `user`, for whom RBAC decides; without one, as an administrator.
        """
        speaks_as = user_named(user, *groups) if user else user_named(name, "system:masters")
        if name in self.world.clocks:
            raise ValueError(f"there is a component {name} already")
        component = Component(name, speaks_as, run)
        self.world.add(component)
        self._own.append(component)

    async def kubeconfig(self) -> Path:
        """Opens a port on 127.0.0.1, once, and returns the kubeconfig with which any client reaches the cluster."""
        return await self.kubeconfig_of("kubernetes-admin", "system:masters")

    async def kubeconfig_of(self, user: str, *groups: str) -> Path:
        """The same for somebody else, for whom RBAC decides: "system:serviceaccount:default:operator"."""
        if self.settings.is_virtual:
            raise NotOnVirtualTime(
                "a cluster on a virtual clock has no port: its time jumps as soon as nothing can run, so for a client "
                'outside hours would pass between two requests, or none at all; use clock="wall"'
            )
        from kaa.cluster.certificates import Identity  # most clusters have no door
        from kaa.cluster.simulation.front_door import FrontDoor

        async with self._opening_door:
            if self._door is None:
                self._door = await FrontDoor.open(self.world.server)
        named = user_named(user, *groups)
        return self._door.kubeconfig(Identity(named.name, tuple(g for g in named.groups if g != AUTHENTICATED)))

    # Objects

    async def apply(
        self,
        manifest: Manifest,
        *,
        namespace: str | None = None,
        field_manager: str = FIELD_MANAGER,
        force: bool = True,
    ) -> Any:
        """Server-side apply: the object for an object, a list for YAML text, a path or several objects.

        `namespace` is for objects that name none. Without `force` a field of another manager's is a Conflict.
        Objects whose kind is defined before them in the same manifest wait until it is served.
        """
        query = [("fieldManager", field_manager), ("force", str(force).lower())]
        applied: list[Object] = []
        for obj in objects_of(manifest):
            if (definition := next((d for d in applied if defines(d, obj)), None)) is not None:
                await self.wait("crd", name_of(definition), "Established")
            resource = self.client.resource_of(obj)
            where = self._namespace(resource, namespace_of(obj) or namespace)
            applied.append(await self.client.patch(resource, name_of(obj), obj, where, patch_type="apply", query=query))
        return applied[0] if is_single(manifest) else applied

    async def get(self, kind: str, name: str, *, namespace: str | None = None) -> Object:
        """Raises NotFound."""
        resource = self._resource(kind)
        return await self.client.get(resource, name, self._namespace(resource, namespace))

    async def list(
        self, kind: str, *, namespace: str | None = None, label_selector: str = "", field_selector: str = ""
    ) -> list[Object]:
        """Of all namespaces, unless one is given."""
        found = await self.client.list(
            self._resource(kind), namespace, label_selector=label_selector, field_selector=field_selector
        )
        return found.items

    async def delete(
        self,
        kind: str,
        name: str,
        *,
        namespace: str | None = None,
        propagation: str = "",
        grace_seconds: int | None = None,
    ) -> Object:
        """Does not wait until it is gone; `wait(..., "delete")` does."""
        resource = self._resource(kind)
        return await self.client.delete(
            resource,
            name,
            self._namespace(resource, namespace),
            propagation=propagation,
            grace_seconds=grace_seconds,
        )

    async def wait(
        self,
        kind: str,
        name: str,
        condition: Condition,
        *,
        namespace: str | None = None,
        timeout: float = WAIT_SECONDS,
    ) -> Object | None:
        """Until the object is so; returns it (None when it was to be deleted). See `waiting` for conditions."""
        resource = self._resource(kind)
        return await wait_for(self.client, resource, name, self._namespace(resource, namespace), condition, timeout)

    async def logs(self, pod: str, *, container: str = "", namespace: str | None = None, previous: bool = False) -> str:
        """What a container has written so far."""
        query = [("container", container)] if container else []
        query += [("previous", "true")] if previous else []
        path = self.client.resource("Pod").path(namespace or DEFAULT_NAMESPACE, quote(pod), "log")
        return await read_text(self.client, path, query)

    async def explain(self, pod: str, *, namespace: str | None = None, nodes: int = NODES_EXPLAINED) -> "Explanation":
        """Why the pod is on its node, or on none: what each plugin said of each node. Printed, it is a table."""
        from kaa.scheduler.explaining import Explanation

        if self._scheduler is None:
            raise RuntimeError("the cluster has no scheduler")
        return Explanation(self._scheduler.explain(namespace or DEFAULT_NAMESPACE, pod, nodes))

    def _keep_scheduler(self, scheduler: "Scheduler") -> None:
        self._scheduler = scheduler

    def _resource(self, kind: str) -> Resource:
        return resource_named(self.client.catalog, kind)

    def _namespace(self, resource: Resource, namespace: str | None) -> str | None:
        return (namespace or DEFAULT_NAMESPACE) if resource.namespaced else None

    # Time

    @property
    def now(self) -> datetime:
        """The cluster's time."""
        return self.world.clock.now()

    async def run_for(
        self,
        duration: float | timedelta = 0,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        """Lets so much of the cluster's time pass; a plain number is seconds."""
        await self.world.clock.sleep(seconds_of(duration, days=days, hours=hours, minutes=minutes, seconds=seconds))

    async def run_until(self, predicate: Callable[[], Any | Awaitable[Any]], *, timeout: float = WAIT_SECONDS) -> Any:
        """Until the predicate, a plain or a coroutine function, gives something true; returns that."""
        history, deadline = self.world.history, self.world.clock.monotonic() + timeout
        return await until(predicate, lambda: history.revision, lambda seen: self.next_moment(seen, deadline))

    async def next_moment(self, revision: int, deadline: float) -> None:
        """Until a predicate may have come true that was false at `revision`. Raises WaitTimeout at the deadline."""
        poll_seconds = POLL_SECONDS if self.settings.is_virtual else POLL_WALL_SECONDS
        await next_moment(self.world.history, self.world.clock, revision, deadline, poll_seconds)

    async def settle(self, *, quiet: float | None = None, timeout: float = SETTLE_SECONDS) -> None:
        """Until nothing has been written for `quiet` seconds but heartbeats. See `timing` for what that means."""
        if quiet is None:
            quiet = QUIET_VIRTUAL_SECONDS if self.settings.is_virtual else QUIET_WALL_SECONDS
        await settle(self.world.history, self.world.clock, quiet, timeout)

    async def history(self, kind: str = "", *, name: str = "", namespace: str = "") -> Iterator[Recorded]:
        """Every change so far, oldest first; of all kinds or one, and there of all objects or some."""
        resource = self._resource(kind) if kind else None
        return self.world.history.changes(resource, namespace, name)

    async def digest(self) -> str:
        """A hash of every change so far, with its time: equal digests are equal histories, byte by byte."""
        return self.world.history.digest()

    async def at(self, moment: int | datetime) -> Past:
        """The cluster as it was after a revision or at a time: `get` and `list`, as then."""
        return self.world.history.at(moment, self.client.catalog)

    async def snapshot(self) -> Snapshot:
        """All objects, and the time, as they are now. To go back to with `restore`, in memory."""
        world = self.world
        return Snapshot(world.clock.now(), world.store.revision, world.store.contents())

    async def restore(self, snapshot: Snapshot) -> None:
        """Goes back: the objects, and on a virtual clock the time, are those of the snapshot.

        Images and components of one's own stay; a component starts anew.
        """
        await self.stop()
        self._snapshot = snapshot
        await self.start()

    async def fork(self, *, seed: int | None = None) -> "AsyncCluster":
        """Another cluster that begins as this one is now, and goes its own way; it starts when it is entered.

        It has this one's images, components and settings; another `seed` lets chance fall differently.
        """
        settings = self.settings if seed is None else replace(self.settings, seed=seed)
        fork = AsyncCluster(settings, await self.snapshot())
        fork.images = self.images
        fork._own = list(self._own)
        return fork


async def read_text(client: Client, path: str, query: "list[tuple[str, str]]") -> str:
    """An answer that is text and no object. Raises APIError."""
    response = await client.transport.request("GET", path, query=query)
    if response.status >= 400:
        raise error_of(response)
    return response.body.decode(errors="replace")
