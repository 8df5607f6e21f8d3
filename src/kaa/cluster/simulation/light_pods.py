"""The pods of light nodes: watched together, each taken through life by `LightPod`, written by a few writers.

A pod waits until its node has a range to take an address from. What is written is only what has changed; the same
pod is never worked on twice at a time.
"""

import asyncio
import logging
from collections.abc import Mapping

from kaa.api.errors import APIError
from kaa.api.objects import Object, is_being_deleted, name_of, namespace_of, uid_of
from kaa.client.informer import Change, Informer
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.cluster.simulation.images import Images
from kaa.cluster.simulation.light_pod import LightPod, adopted
from kaa.cri.cri import RuntimeFault
from kaa.cri.simulated_state import Addresses
from kaa.kubelet.pod_spec import is_finished
from kaa.kubelet.status_patch import status_patch
from kaa.lib.backoff import Backoff, BackoffTable
from kaa.lib.clock import Clock
from kaa.lib.workqueue import WorkQueue

log = logging.getLogger(__name__)

WRITERS = 16
"""Requests under way at a time: enough to keep a server with two cores busy."""

RETRY = Backoff(initial_seconds=0.2, limit_seconds=30.0)

BOUND = "spec.nodeName!="

PodKey = tuple[str, str]
"""Namespace and name."""


class LightPods:
    """`nodes`: the light nodes' addresses by name."""

    def __init__(self, client: Client, clock: Clock, nodes: Mapping[str, str], images: Images) -> None:
        self._client = client
        self._clock = clock
        self._nodes = nodes
        self._images = images
        self._informer = Informer(client, "Pod", clock, field_selector=BOUND)
        self._queue: WorkQueue[PodKey] = WorkQueue(clock)
        self._retries: BackoffTable[PodKey] = BackoffTable(RETRY)
        self._pods: dict[str, LightPod] = {}  # by uid
        self._addresses: dict[str, Addresses] = {}  # by node: of those that have a range
        self._waiting: dict[str, dict[PodKey, None]] = {}  # pods by node, until it has a range
        self._written: dict[PodKey, str] = {}  # the resource version of our last write

    async def run(self) -> None:
        """Until cancelled."""
        self._informer.subscribe(self._on_change)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._informer.run(), name="informer of pods")
                for _ in range(WRITERS):
                    group.create_task(self._work(), name="light pods")
        finally:
            self._queue.close()

    def node_has_range(self, node: str, cidr: str) -> None:
        """The range of a node that had none, or another one; pods that have an address keep it."""
        known = self._addresses.get(node)
        if known is None or known.cidr != cidr:
            self._addresses[node] = Addresses(cidr)
            for key in self._waiting.pop(node, ()):
                self._queue.add(key)

    def log_of(self, namespace: str, name: str, container: str) -> str | None:
        """What a container has written; None when no light node has it."""
        pod = self._informer.get(name, namespace)
        light = self._pods.get(uid_of(pod)) if pod is not None else None
        return light.output(container) if light is not None else None

    def _on_change(self, change: Change) -> None:
        pod = change.new
        if pod is None:
            assert change.old is not None
            self._forget(change.old)
        elif pod["spec"].get("nodeName") in self._nodes:
            key = (namespace_of(pod), name_of(pod))
            if self._written.get(key) != pod["metadata"]["resourceVersion"] and not is_over(pod):
                self._queue.add(key)

    def _forget(self, pod: Object) -> None:
        self._written.pop((namespace_of(pod), name_of(pod)), None)
        light = self._pods.pop(uid_of(pod), None)
        addresses = self._addresses.get(pod["spec"].get("nodeName", ""))
        if light is not None and addresses is not None:
            for sandbox in light.runtime.sandboxes:
                for ip in sandbox.ips:
                    addresses.give_back(ip)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._step(key)
                self._retries.succeeded(key)
            except (APIError, TransportError, RuntimeFault) as error:
                # A RuntimeFault: the node has no address left for the pod.
                if isinstance(error, APIError) and error.reason in ("NotFound", "Conflict"):
                    continue  # removed or replaced meanwhile; the watch tells
                delay = self._retries.failed(key)
                log.warning("pod %s/%s, next try in %.1f s: %s", *key, delay, error)
                self._queue.add_after(key, delay)
            finally:
                self._queue.done(key)

    async def _step(self, key: PodKey) -> None:
        pod = self._informer.get(key[1], key[0])
        if pod is None or is_over(pod):
            return
        node = pod["spec"]["nodeName"]
        addresses = self._addresses.get(node)
        if addresses is None:
            self._waiting.setdefault(node, {})[key] = None
            return
        light = self._pods.get(uid_of(pod))
        if light is None:
            light = self._pods[uid_of(pod)] = adopted(pod, self._images, self._new_id)
            for ip in light.runtime.ips:
                addresses.reserve(ip)
        now = self._clock.now()
        step = light.step(pod, addresses.take, self._nodes[node], now)
        ends = is_being_deleted(pod) and step.is_stopped
        if not ends or pod["metadata"].get("finalizers"):
            await self._write_status(key, pod, step.status)
        if ends:
            await self._client.delete("Pod", key[1], key[0], grace_seconds=0, uid=uid_of(pod))
        elif step.next_at is not None:
            self._queue.add_after(key, max((step.next_at - now).total_seconds(), 0.0))

    async def _write_status(self, key: PodKey, pod: Object, status: Object) -> None:
        patch = status_patch(pod.get("status") or {}, status)
        if not patch:
            return
        body = {"metadata": {"uid": uid_of(pod)}, "status": patch}
        answer = await self._client.patch("Pod", key[1], body, key[0], patch_type="strategic", subresource="status")
        self._written[key] = answer["metadata"]["resourceVersion"]
        self._informer.observe(answer)

    def _new_id(self) -> str:
        return self._clock.random.getrandbits(256).to_bytes(32, "big").hex()


def is_over(pod: Object) -> bool:
    """It has ended, and nobody wants it gone yet."""
    return is_finished(pod) and not is_being_deleted(pod)
