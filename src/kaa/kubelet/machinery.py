"""What every pod worker works with: made once by the kubelet, shared by all its workers."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from kaa.api.objects import Object
from kaa.client.informer import Informer
from kaa.cri.cri import RuntimeService
from kaa.kubelet.admission import Refusal
from kaa.kubelet.container_config import NodeFacts
from kaa.kubelet.delays import RESTART_BACKOFF, DelayTable
from kaa.kubelet.environment import Objects
from kaa.kubelet.handlers import Handlers
from kaa.kubelet.images import ImagePuller
from kaa.kubelet.options import KubeletOptions
from kaa.kubelet.pod_events import PodEvents
from kaa.kubelet.probes import Prober
from kaa.kubelet.runtime_view import RuntimeView
from kaa.kubelet.status_manager import StatusManager
from kaa.kubelet.volume_manager import VolumeManager
from kaa.lib.clock import Clock

T = TypeVar("T")

MAX_STARTING = 8
"""Sandboxes and containers being created at the same time: more only makes each of them slower."""


@dataclass(slots=True)
class Machinery:
    runtime: RuntimeService
    runtime_name: str
    view: RuntimeView
    volumes: VolumeManager
    images: ImagePuller
    objects: Objects
    services: Informer
    status: StatusManager
    prober: Prober
    handlers: Handlers
    events: PodEvents
    clock: Clock
    options: KubeletOptions
    node_facts: NodeFacts
    node: Callable[[], Object]
    resize_refusal: Callable[[Object], Refusal | None]  # why the node has no room for a pod's new resources
    delays: DelayTable[tuple[str, str]] = field(default_factory=lambda: DelayTable(RESTART_BACKOFF))
    starting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_STARTING))

    @property
    def host_ips(self) -> tuple[str, ...]:
        return (self.options.node_ip,)


class Interrupted(Exception):
    """The pod is being stopped: what was under way for it is of no use any more."""


async def unless(stop: asyncio.Event, work: Awaitable[T]) -> T:
    """The work's result; raises Interrupted, and cancels the work, as soon as `stop` is set."""
    working = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Interrupted
    finally:
        for task in (working, stopped):
            task.cancel()
        await asyncio.gather(working, stopped, return_exceptions=True)
