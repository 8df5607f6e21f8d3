"""Pods that have a node but must wait before they are bound: `permit` of some plugin said so.

They hold what they need on their nodes meanwhile. A plugin lets one go on (`allow`) or gives it up (`refuse`), usually
when another pod comes to `permit`: the last of a gang lets the others go. One that waits too long is refused.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from kaa.scheduler.framework import Placement
from kaa.scheduler.placing import Stopped
from kaa.scheduler.pod_info import Key


@dataclass(slots=True)
class Waiter:
    """`plugins` are those that have not allowed it yet."""

    placement: Placement
    plugins: set[str]
    outcome: asyncio.Future[None] = field(repr=False)

    def allow(self, plugin: str) -> None:
        """Twice is once."""
        self.plugins.discard(plugin)
        if not self.plugins and not self.outcome.done():
            self.outcome.set_result(None)

    def refuse(self, plugin: str, reason: str) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(Stopped(reason, plugin))


class Permits:
    """Bounded by the pods that fit on the nodes: each waiter has a place on one."""

    def __init__(self) -> None:
        self._waiters: dict[Key, Waiter] = {}

    def __iter__(self) -> Iterator[Waiter]:
        return iter(list(self._waiters.values()))

    def get(self, key: Key) -> Waiter | None:
        return self._waiters.get(key)

    def register(self, placement: Placement, plugins: set[str]) -> Waiter:
        """Before anybody is asked to let it go."""
        waiter = Waiter(placement, plugins, asyncio.get_running_loop().create_future())
        self._waiters[placement.pod.key] = waiter
        return waiter

    def withdraw(self, key: Key) -> None:
        """The pod is gone."""
        waiter = self._waiters.get(key)
        if waiter is not None:
            waiter.refuse("", "the pod is gone")

    async def wait(self, waiter: Waiter, seconds: float) -> None:
        """Until it may go on; raises Stopped."""
        try:
            async with asyncio.timeout(seconds):
                await waiter.outcome
        except TimeoutError:
            plugin = min(waiter.plugins)
            raise Stopped(f'waited too long for plugin "{plugin}"', plugin) from None
        finally:
            self._waiters.pop(waiter.placement.pod.key, None)
