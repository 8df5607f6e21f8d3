"""`Cluster`: the Kubernetes you can import.

    with Cluster() as c:                            # plain code
        c.apply(deployment)
        c.wait("deployment", "web", "Available")

    async with Cluster() as c:                      # asynchronous code: an AsyncCluster, the same names as coroutines
        await c.apply(deployment)

On the wall clock plain code's cluster lives in a thread of its own. With `clock="virtual"` nothing happens between
two calls, and during one time jumps to the next timer as soon as nothing can run.
"""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from kaa.api.objects import Object
from kaa.cluster.simulation.blocking_client import BlockingClient
from kaa.cluster.simulation.component import Run
from kaa.cluster.simulation.drivers import Driver, ThreadDriver, VirtualDriver
from kaa.cluster.simulation.everyday import FIELD_MANAGER, NODES_EXPLAINED, RUNS_ALREADY, NotOnVirtualTime
from kaa.cluster.simulation.everyday import AsyncCluster as AsyncCluster
from kaa.cluster.simulation.faults import Faults
from kaa.cluster.simulation.history import HISTORY_BYTES, Past, Recorded
from kaa.cluster.simulation.manifests import Manifest
from kaa.cluster.simulation.settings import ClockName, Settings
from kaa.cluster.simulation.snapshot import Snapshot
from kaa.cluster.simulation.timing import SETTLE_SECONDS
from kaa.cluster.simulation.waiting import WAIT_SECONDS, Condition
from kaa.cluster.simulation.world import World
from kaa.lib.clock import VIRTUAL_EPOCH

if TYPE_CHECKING:
    from kaa.controllers import Options
    from kaa.cri.simulated_behaviour import Program
    from kaa.scheduler.explaining import Explanation

T = TypeVar("T")
P = TypeVar("P", bound="Program")


class Cluster:
    """Its methods are `AsyncCluster`'s, and have their documentation from there."""

    def __init__(
        self,
        *,
        nodes: int | Sequence[str] = 1,
        light_nodes: bool = False,
        clock: ClockName = "wall",
        seed: int = 0,
        controllers: "bool | Options" = True,
        scheduler: bool = True,
        starts_at: datetime = VIRTUAL_EPOCH,
        history_bytes: int = HISTORY_BYTES,
    ) -> None:
        """See `Settings`. Nothing runs until the cluster is entered."""
        self.settings = Settings(
            nodes=nodes,
            light_nodes=light_nodes,
            clock=clock,
            seed=seed,
            controllers=controllers,
            scheduler=scheduler,
            starts_at=starts_at,
            history_bytes=history_bytes,
        )
        self._cluster = AsyncCluster(self.settings)
        self._driver: Driver | None = None

    # Its life

    def __enter__(self) -> "Cluster":
        if self._driver is not None:
            raise RuntimeError(RUNS_ALREADY)
        self._driver = VirtualDriver() if self.settings.is_virtual else ThreadDriver()
        try:
            self._run(self._cluster.start())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> AsyncCluster:
        return await self._cluster.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._cluster.__aexit__(kind, error, trace)

    def close(self) -> None:
        """Ends the cluster, and its thread. Twice is once."""
        if self._driver is not None:
            driver, self._driver = self._driver, None
            try:
                driver.run(self._cluster.stop())
            finally:
                driver.close()

    def _running(self) -> Driver:
        if self._driver is None:
            raise RuntimeError("the cluster does not run: use `with Cluster() as c`")
        return self._driver

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._driver is None:
            coroutine.close()
        return self._running().run(coroutine)

    @property
    def asynchronous(self) -> AsyncCluster:
        """The cluster for coroutines that run in its own event loop."""
        return self._cluster

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the cluster's event loop, and on its time; there `asynchronous` is at its service."""
        return self._run(coroutine)

    def bridge(self) -> AsyncCluster:
        """The cluster for coroutines of another event loop, on the wall clock."""
        from kaa.cluster.simulation.bridge import Bridge

        driver = self._running()
        if not isinstance(driver, ThreadDriver):
            raise NotOnVirtualTime("a cluster on virtual time stands still while another event loop runs")
        return cast(AsyncCluster, Bridge(self._cluster, driver))

    @property
    def world(self) -> World:
        """The machinery: server, store and components. It belongs to the cluster's event loop."""
        return self._cluster.world

    @property
    def client(self) -> BlockingClient:
        return BlockingClient(self._cluster.client, self._running())

    def client_of(self, user: str, *groups: str) -> BlockingClient:
        return BlockingClient(self._cluster.client_of(user, *groups), self._running())

    @property
    def faults(self) -> Faults:
        return self._cluster.faults

    def image(self, name: str) -> Callable[[P], P]:
        return self._cluster.image(name)

    def add_component(self, name: str, run: Run, *, user: str = "", groups: Sequence[str] = ()) -> None:
        self._run(self._cluster.add_component(name, run, user=user, groups=groups))

    @property
    def kubeconfig(self) -> str:
        return str(self._run(self._cluster.kubeconfig()))

    def kubeconfig_of(self, user: str, *groups: str) -> str:
        return str(self._run(self._cluster.kubeconfig_of(user, *groups)))

    def reset(self) -> None:
        self._run(self._cluster.reset())

    # Objects

    def apply(
        self,
        manifest: Manifest,
        *,
        namespace: str | None = None,
        field_manager: str = FIELD_MANAGER,
        force: bool = True,
    ) -> Any:
        return self._run(self._cluster.apply(manifest, namespace=namespace, field_manager=field_manager, force=force))

    def get(self, kind: str, name: str, *, namespace: str | None = None) -> Object:
        return self._run(self._cluster.get(kind, name, namespace=namespace))

    def list(
        self, kind: str, *, namespace: str | None = None, label_selector: str = "", field_selector: str = ""
    ) -> list[Object]:
        return self._run(
            self._cluster.list(kind, namespace=namespace, label_selector=label_selector, field_selector=field_selector)
        )

    def delete(
        self,
        kind: str,
        name: str,
        *,
        namespace: str | None = None,
        propagation: str = "",
        grace_seconds: int | None = None,
    ) -> Object:
        return self._run(
            self._cluster.delete(kind, name, namespace=namespace, propagation=propagation, grace_seconds=grace_seconds)
        )

    def wait(
        self,
        kind: str,
        name: str,
        condition: Condition,
        *,
        namespace: str | None = None,
        timeout: float = WAIT_SECONDS,
    ) -> Object | None:
        return self._run(self._cluster.wait(kind, name, condition, namespace=namespace, timeout=timeout))

    def logs(self, pod: str, *, container: str = "", namespace: str | None = None, previous: bool = False) -> str:
        return self._run(self._cluster.logs(pod, container=container, namespace=namespace, previous=previous))

    def explain(self, pod: str, *, namespace: str | None = None, nodes: int = NODES_EXPLAINED) -> "Explanation":
        return self._run(self._cluster.explain(pod, namespace=namespace, nodes=nodes))

    # Time

    @property
    def now(self) -> datetime:
        return self._run(self._now())

    async def _now(self) -> datetime:
        return self._cluster.now

    def run_for(
        self,
        duration: float | timedelta = 0,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        self._run(self._cluster.run_for(duration, days=days, hours=hours, minutes=minutes, seconds=seconds))

    def run_until(self, predicate: Callable[[], T], *, timeout: float = WAIT_SECONDS) -> T:
        """The predicate runs in the caller's thread, between two moments of the cluster: it may ask the cluster."""
        revision, deadline = self._run(self._moment(timeout))
        while not (found := predicate()):
            revision = self._run(self._next_moment(revision, deadline))
        return found

    async def _moment(self, timeout: float) -> tuple[int, float]:
        return self.world.history.revision, self.world.clock.monotonic() + timeout

    async def _next_moment(self, revision: int, deadline: float) -> int:
        await self._cluster.next_moment(revision, deadline)
        return self.world.history.revision

    def settle(self, *, quiet: float | None = None, timeout: float = SETTLE_SECONDS) -> None:
        self._run(self._cluster.settle(quiet=quiet, timeout=timeout))

    def history(self, kind: str = "", *, name: str = "", namespace: str = "") -> Iterator[Recorded]:
        return self._run(self._cluster.history(kind, name=name, namespace=namespace))

    def digest(self) -> str:
        return self._run(self._cluster.digest())

    def at(self, moment: int | datetime) -> Past:
        return self._run(self._cluster.at(moment))

    def snapshot(self) -> Snapshot:
        return self._run(self._cluster.snapshot())

    def restore(self, snapshot: Snapshot) -> None:
        self._run(self._cluster.restore(snapshot))

    def fork(self, *, seed: int | None = None) -> "Cluster":
        """Starts when it is entered: `with c.fork() as other`."""
        fork = Cluster()
        fork._cluster = self._run(self._cluster.fork(seed=seed))
        fork.settings = fork._cluster.settings
        return fork


for _name, _member in vars(Cluster).items():
    if not _name.startswith("_") and _member.__doc__ is None:
        _member.__doc__ = getattr(AsyncCluster, _name).__doc__
