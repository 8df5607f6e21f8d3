"""`Cluster`: the Kubernetes you can import.

    with Cluster() as c:                            # plain code
        c.apply(deployment)
        c.wait("deployment", "web", "Available")

    async with Cluster() as c:                      # asynchronous code: an AsyncCluster, the same names as coroutines
        await c.apply(deployment)

On the wall clock plain code's cluster lives in a thread of its own. With `clock="virtual"` nothing happens between
two calls, and during one time jumps to the next timer as soon as nothing can run.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, TypeVar

from kaa.api.objects import Object
from kaa.cluster.simulation.drivers import Driver, ThreadDriver, VirtualDriver
from kaa.cluster.simulation.everyday import FIELD_MANAGER
from kaa.cluster.simulation.everyday import AsyncCluster as AsyncCluster
from kaa.cluster.simulation.faults import Faults
from kaa.cluster.simulation.manifests import Manifest
from kaa.cluster.simulation.settings import ClockName, Settings
from kaa.cluster.simulation.waiting import WAIT_SECONDS, Condition
from kaa.controllers import Options
from kaa.lib.clock import VirtualEventLoop

T = TypeVar("T")


class Cluster:
    def __init__(
        self,
        *,
        nodes: int | Sequence[str] = 1,
        clock: ClockName = "wall",
        seed: int = 0,
        controllers: bool | Options = True,
        scheduler: bool = True,
    ) -> None:
        """See `Settings`. Nothing runs until the cluster is entered."""
        self.settings = Settings(nodes=nodes, clock=clock, seed=seed, controllers=controllers, scheduler=scheduler)
        self._cluster = AsyncCluster(self.settings)
        self._driver: Driver | None = None

    def __enter__(self) -> "Cluster":
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
        if self.settings.is_virtual and not isinstance(asyncio.get_running_loop(), VirtualEventLoop):
            raise RuntimeError(
                'clock="virtual" needs an event loop on virtual time: '
                "`with asyncio.Runner(loop_factory=kaa.VirtualEventLoop) as runner: runner.run(main())`"
            )
        await self._cluster.start()
        return self._cluster

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._cluster.stop()

    def close(self) -> None:
        """Ends the cluster, and its thread. Twice is once."""
        if self._driver is not None:
            driver, self._driver = self._driver, None
            try:
                driver.run(self._cluster.stop())
            finally:
                driver.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._driver is None:
            coroutine.close()
            raise RuntimeError("the cluster does not run: use `with Cluster() as c`")
        return self._driver.run(coroutine)

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

    @property
    def faults(self) -> Faults:
        return self._cluster.faults

    def run_for(self, seconds: float) -> None:
        self._run(self._cluster.run_for(seconds))
