"""Light nodes: one component plays kubelet for thousands of nodes.

It keeps their Node objects and leases (`light_pods.py` their pods). What is decided is the kubelet's own code, but
there is one watch, one queue and a few writers for all nodes; no runtime, no volumes, no events, and no program runs.
A pod of the usual kind costs two writes: its first status, and its removal.

    world.add(light_nodes({f"node-{n}": node_address(n) for n in range(5000)}, images))

A node that somebody deletes is gone: it is not registered again, and its pods are the control plane's to remove. It
comes back when somebody makes its object anew.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kaa.api.errors import APIError
from kaa.api.objects import Object, condition, name_of
from kaa.client.informer import Change, Informer
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.cluster.simulation.component import Component, user_named
from kaa.cluster.simulation.images import Images
from kaa.cluster.simulation.kubelet_doors import KubeletDoors
from kaa.cluster.simulation.light_pods import LightPods
from kaa.cluster.simulation.simulated_nodes import LABELS, NodeSize, SimulatedHost, kubelet_options
from kaa.kubelet.node_agent import LEASE_NAMESPACE, LEASE_SECONDS
from kaa.kubelet.node_status import new_node, node_status
from kaa.lib.backoff import Backoff, BackoffTable
from kaa.lib.clock import Clock, rfc3339_micro
from kaa.lib.workqueue import WorkQueue

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

NAME = "simulated-nodes"

REGISTRARS = 8
LEASERS = 8
"""Requests under way for nodes and for leases."""

RENEW_SECONDS = 20.0
"""A node is lost after 50 s without a new lease: that leaves it a second try."""

RETRY = Backoff(initial_seconds=0.2, limit_seconds=30.0)

NO_FILES = Path("/nonexistent")
"""Where a light node's kubelet would have its files."""

RUNTIME_VERSION = {"runtime_name": "simulated", "runtime_version": "1.0.0"}


def light_nodes(
    nodes: Mapping[str, str],
    images: Images,
    *,
    size: NodeSize | None = None,
    labels: Mapping[str, str] | None = None,
    taints: tuple[Object, ...] = (),
    doors: KubeletDoors | None = None,
) -> Component:
    """`nodes`: addresses by name."""

    async def run(client: Client, clock: Clock) -> None:
        playing = LightNodes(client, clock, nodes, images, size or NodeSize(), labels or {}, taints)
        if doors is None:
            await playing.run()
            return
        async with doors.opened(nodes, playing.application):
            await playing.run()

    return Component(NAME, user_named(f"kaa:{NAME}", "system:masters"), run)


class LightNodes:
    def __init__(
        self,
        client: Client,
        clock: Clock,
        nodes: Mapping[str, str],
        images: Images,
        size: NodeSize,
        labels: Mapping[str, str],
        taints: tuple[Object, ...],
    ) -> None:
        self._client = client
        self._clock = clock
        self._nodes = nodes
        self._size = size
        self._labels = labels
        self._taints = taints
        selector = ",".join(f"{key}={value}" for key, value in LABELS.items())
        self._informer = Informer(client, "Node", clock, label_selector=selector)
        self._registered: dict[str, str] = {}  # uid by name: those whose object we have made or found
        self._deleted: set[str] = set()
        self._leased: set[str] = set()
        self._queue: WorkQueue[str] = WorkQueue(clock)
        self._retries: BackoffTable[str] = BackoffTable(RETRY)
        self._pods = LightPods(client, clock, nodes, images)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._informer.run(), name="informer of nodes")
                await self._informer.wait_synced()
                self._informer.subscribe(self._on_change)
                for name in self._nodes:
                    self._queue.add(name)
                for _ in range(REGISTRARS):
                    group.create_task(self._register_all(), name="light nodes")
                for number in range(min(LEASERS, len(self._nodes))):
                    mine = list(self._nodes)[number::LEASERS]
                    group.create_task(self._renew_all(mine), name="light leases")
                group.create_task(self._pods.run(), name="light pods")
        finally:
            self._queue.close()

    def application(self, *, authenticated: bool = False) -> "web.Application":
        """What answers the API server for all of these nodes."""
        from kaa.cluster.simulation.light_kubelet import light_application

        return light_application(self._pods.log_of, authenticated=authenticated)

    # Nodes

    def _on_change(self, change: Change) -> None:
        node = change.new
        if node is None:
            assert change.old is not None
            self._deleted.add(name_of(change.old))
        elif name_of(node) in self._nodes:
            self._registered[name_of(node)] = node["metadata"]["uid"]
            self._deleted.discard(name_of(node))
            if cidr := node["spec"].get("podCIDR"):
                self._pods.node_has_range(name_of(node), cidr)
            if not is_ready(node):
                self._queue.add(name_of(node))

    async def _register_all(self) -> None:
        while True:
            name = await self._queue.get()
            try:
                await self._register(name)
                self._retries.succeeded(name)
            except (APIError, TransportError) as error:
                delay = self._retries.failed(name)
                log.warning("node %s not registered, next try in %.1f s: %s", name, delay, error)
                self._queue.add_after(name, delay)
            finally:
                self._queue.done(name)

    async def _register(self, name: str) -> None:
        """Makes the node, ready from the start; or says of one that is there that it is ready."""
        if name in self._deleted:
            return
        known = self._informer.get(name)
        if known is None:
            node = self._node(name)
            try:
                known = await self._client.create({**node, "status": self._status(name, {})})
            except APIError as error:
                if error.reason != "AlreadyExists":
                    raise
                known = await self._client.get("Node", name)
            self._registered[name] = known["metadata"]["uid"]
            self._informer.observe(known)
        if not is_ready(known):
            status = self._status(name, known.get("status") or {})
            await self._client.patch("Node", name, {"status": status}, patch_type="strategic", subresource="status")

    def _node(self, name: str) -> Object:
        options = kubelet_options(name, self._nodes[name], NO_FILES, self._size, self._labels, self._taints)
        return new_node(options, SimulatedHost(name, self._size, NO_FILES, Images()).facts(NO_FILES))

    def _status(self, name: str, old: Object) -> Object:
        options = kubelet_options(name, self._nodes[name], NO_FILES, self._size, self._labels, self._taints)
        facts = SimulatedHost(name, self._size, NO_FILES, Images()).facts(NO_FILES)
        return node_status(options, facts, RUNTIME_VERSION, (), "", old, self._clock.now())

    # Leases

    async def _renew_all(self, names: list[str]) -> None:
        """One round after the other, the nodes' turns spread over the whole of it."""
        while True:
            began = self._clock.monotonic()
            for index, name in enumerate(names, 1):
                if name in self._registered and name not in self._deleted:
                    await self._renew(name)
                due = began + index * RENEW_SECONDS / len(names)
                await self._clock.sleep(max(due - self._clock.monotonic(), 0.0))

    async def _renew(self, name: str) -> None:
        renewed: Object = {"spec": {"renewTime": rfc3339_micro(self._clock.now())}}
        try:
            if name not in self._leased:
                self._leased.add(name)
                await self._client.create(self._lease(name, renewed["spec"]["renewTime"]))
            else:
                await self._client.patch("Lease", name, renewed, LEASE_NAMESPACE)
        except APIError as error:
            if error.reason == "NotFound":
                self._leased.discard(name)
            elif error.reason != "AlreadyExists":
                log.warning("lease of node %s not renewed: %s", name, error)
        except TransportError as error:
            log.warning("lease of node %s not renewed: %s", name, error)

    def _lease(self, name: str, renew_time: str) -> Object:
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self._registered[name]}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": renew_time},
        }


def is_ready(node: Object) -> bool:
    found = condition((node.get("status") or {}).get("conditions"), "Ready")
    return found is not None and found["status"] == "True"
