"""What one does with a cluster every day, as coroutines in the cluster's own event loop.

    async with Cluster() as c:
        await c.apply(deployment)
        await c.wait("deployment", "web", "Available")

Names of kinds are kubectl's (`kind_names`), the namespace is "default" unless it is said. What the server refuses is
an APIError with its text.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from kaa.api.objects import Object, name_of, namespace_of
from kaa.api.resource import Resource
from kaa.client.rest import Client
from kaa.cluster.simulation.control_plane import controller_manager, scheduler, security_of
from kaa.cluster.simulation.credentials import known_credentials, process_credentials
from kaa.cluster.simulation.faults import Faults
from kaa.cluster.simulation.kind_names import resource_named
from kaa.cluster.simulation.manifests import Manifest, is_single, objects_of
from kaa.cluster.simulation.settings import Settings
from kaa.cluster.simulation.waiting import WAIT_SECONDS, Condition, wait_for
from kaa.cluster.simulation.world import World
from kaa.controllers import Options
from kaa.lib.clock import Clock, VirtualClock, WallClock

FIELD_MANAGER = "kaa"
"""Who `apply` says it is, unless told otherwise."""

DEFAULT_NAMESPACE = "default"


NOT_RUNNING = "the cluster does not run: use `with Cluster() as c` or `async with`"


class AsyncCluster:
    """A cluster, started by `start` and ended by `stop` in the same event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._world: World | None = None
        self._faults: Faults | None = None

    async def start(self) -> None:
        """Returns once the API answers; controllers, scheduler and nodes start up meanwhile."""
        assert self._world is None, "the cluster has been started"
        settings = self.settings
        clock: Clock = VirtualClock(settings.seed) if settings.is_virtual else WallClock()
        credentials = known_credentials() if settings.is_virtual else process_credentials()
        self._world = world = World(clock, security_of(credentials), seed=settings.seed, latency=settings.is_virtual)
        if settings.controllers is not False:
            options = settings.controllers if isinstance(settings.controllers, Options) else Options()
            world.add(controller_manager(options, credentials))
        if settings.scheduler:
            world.add(scheduler())
        self._faults = Faults(world)
        await world.start()

    async def stop(self) -> None:
        """Ends all of it. Twice is once."""
        if self._world is not None:
            world, self._world = self._world, None
            if self._faults is not None:
                await self._faults.close()
            await world.stop()

    @property
    def world(self) -> World:
        if self._world is None:
            raise RuntimeError(NOT_RUNNING)
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
        """
        query = [("fieldManager", field_manager), ("force", str(force).lower())]
        applied = []
        for obj in objects_of(manifest):
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

    def _resource(self, kind: str) -> Resource:
        return resource_named(self.client.catalog, kind)

    def _namespace(self, resource: Resource, namespace: str | None) -> str | None:
        return (namespace or DEFAULT_NAMESPACE) if resource.namespaced else None

    # Time

    async def run_for(self, seconds: float) -> None:
        await self.world.clock.sleep(seconds)


async def read_text(client: Client, path: str, query: "list[tuple[str, str]]") -> str:
    """An answer that is text and no object. Raises APIError."""
    from kaa.client.rest import error_of

    response = await client.transport.request("GET", path, query=query)
    if response.status >= 400:
        raise error_of(response)
    return response.body.decode(errors="replace")


Predicate = Callable[[], bool]
