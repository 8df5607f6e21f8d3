"""Keeps the Node object and its lease: registers at once, renews every 10 s, writes the status when it changes.

What the control plane decides for the node, its pod range, goes on to the runtime.

The lease is the heartbeat: the control plane takes a node for lost when it has not been renewed for 50 s. The status is
looked at as often, but written only when something other than its heartbeat times has changed, or after 5 minutes.
"""

import asyncio
import logging

from kaa.api.errors import APIError
from kaa.api.objects import Object, condition, copy_object, labels_of, owner_reference
from kaa.client.informer import Informer
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.cri.cri import ImageService, Message, RuntimeFault, RuntimeService
from kaa.kubelet.host import Host
from kaa.kubelet.node_status import new_node, node_labels, node_status
from kaa.kubelet.options import KubeletOptions
from kaa.lib.backoff import Backoff
from kaa.lib.clock import Clock, rfc3339_micro

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
STATUS_SECONDS = 10.0
UNREADY_SECONDS = 0.1
"""How often the status is looked at until the node is Ready for the first time, so that it is as soon as it can be."""
REPORT_SECONDS = 300.0
RETRY = Backoff(initial_seconds=0.1, limit_seconds=7.0)


class NodeAgent:
    def __init__(
        self,
        client: Client,
        runtime: RuntimeService,
        images: ImageService,
        nodes: Informer,
        clock: Clock,
        options: KubeletOptions,
        host: Host,
    ) -> None:
        self._client = client
        self._runtime = runtime
        self._images = images
        self._nodes = nodes
        self._clock = clock
        self._options = options
        self._host = host
        self._reported: Object = {}
        self._reported_at = float("-inf")
        self._was_ready = False
        self._facts = host.facts(options.root_dir)
        self._known: Object = new_node(options, self._facts)

    @property
    def memory_bytes(self) -> int:
        return self._facts.memory_bytes

    def node(self) -> Object:
        """The node as the API has it, or as it will be registered."""
        return self._nodes.get(self._options.node_name) or self._known

    async def register(self) -> None:
        """Makes the Node if there is none, corrects its labels if there is, and writes the first status."""
        failures = 0
        while True:
            try:
                await self._register_once()
                await self.report()
                return
            except (APIError, TransportError, RuntimeFault) as error:
                failures += 1
                log.warning("node %s not registered yet: %s", self._options.node_name, error)
                await self._clock.sleep(RETRY.delay(failures))

    async def _register_once(self) -> None:
        options = self._options
        try:
            self._known = await self._client.create(new_node(options, self._facts))
            return
        except APIError as error:
            if error.reason != "AlreadyExists":
                raise
        self._known = await self._client.get("Node", options.node_name)
        wanted = node_labels(options, self._facts)
        if any(labels_of(self._known).get(key) != value for key, value in wanted.items()):
            patch = {"metadata": {"labels": wanted}}
            self._known = await self._client.patch("Node", options.node_name, patch)

    async def report(self) -> None:
        """Writes the status if it has changed, or was last written long ago."""
        self._facts = self._host.facts(self._options.root_dir)
        old = self.node().get("status") or {}
        status = node_status(
            self._options,
            self._facts,
            await self._runtime.version({}),
            (await self._images.list_images({})).get("images") or [],
            _why_not_ready(await self._runtime.status({})),
            old,
            self._clock.now(),
        )
        age = self._clock.monotonic() - self._reported_at
        if age < REPORT_SECONDS and _without_times(status) == _without_times(self._reported):
            return
        self._known = await self._client.patch(
            "Node", self._options.node_name, {"status": status}, patch_type="strategic", subresource="status"
        )
        self._nodes.observe(self._known)
        self._reported, self._reported_at = status, self._clock.monotonic()
        ready = condition(status.get("conditions"), "Ready")
        self._was_ready = self._was_ready or (ready is not None and ready["status"] == "True")

    async def run_status(self) -> None:
        while True:
            await self._clock.sleep(STATUS_SECONDS if self._was_ready else UNREADY_SECONDS)
            try:
                await self.report()
            except (APIError, TransportError, RuntimeFault) as error:
                log.warning("node status not written: %s", error)
                if isinstance(error, APIError) and error.reason == "NotFound":
                    await self.register()  # somebody has deleted the Node

    async def run_pod_range(self) -> None:
        """Tells the runtime the node's pod range when it is known, and the API that pods can be connected."""
        changed = asyncio.Event()
        self._nodes.subscribe(lambda _: changed.set())
        told = ""
        while True:
            await changed.wait()
            changed.clear()
            pod_cidr = self.node()["spec"].get("podCIDR", "")
            if not pod_cidr or pod_cidr == told:
                continue
            network = {"network_config": {"pod_cidr": pod_cidr}}
            try:
                await self._runtime.update_runtime_config({"runtime_config": network})
                told = pod_cidr
                await self.report()
            except (APIError, TransportError, RuntimeFault) as error:
                log.warning("pod range %s: %s", pod_cidr, error)  # the next change of the node tries again

    async def run_lease(self) -> None:
        lease: Object | None = None
        failures = 0
        while True:
            try:
                lease = await self._renew(lease)
                failures = 0
                await self._clock.sleep(RENEW_SECONDS)
            except (APIError, TransportError) as error:
                failures += 1
                lease = None
                log.warning("node lease not renewed: %s", error)
                await self._clock.sleep(RETRY.delay(failures))

    async def _renew(self, lease: Object | None) -> Object:
        name = self._options.node_name
        if lease is None:
            lease = await self._existing_lease()
        if lease is None:
            fresh: Object = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": LEASE_NAMESPACE},
                "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS},
            }
            if node_uid := self.node()["metadata"].get("uid"):
                owner = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": node_uid}}
                reference = owner_reference(owner, controller=False)
                fresh["metadata"]["ownerReferences"] = [
                    {key: reference[key] for key in ("apiVersion", "kind", "name", "uid")}
                ]
            fresh["spec"]["renewTime"] = rfc3339_micro(self._clock.now())
            return await self._client.create(fresh)
        renewed = copy_object(lease)
        renewed["spec"] |= {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS}
        renewed["spec"]["renewTime"] = rfc3339_micro(self._clock.now())
        return await self._client.update(renewed)

    async def _existing_lease(self) -> Object | None:
        try:
            return await self._client.get("Lease", self._options.node_name, LEASE_NAMESPACE)
        except APIError as error:
            if error.reason != "NotFound":
                raise
            return None


def _why_not_ready(status: Message) -> str:
    """From CRI's StatusResponse: the runtime conditions that do not hold."""
    texts = {
        "RuntimeReady": "container runtime is down",
        "NetworkReady": "container runtime network not ready",
    }
    problems = []
    for found in (status.get("status") or {}).get("conditions") or ():
        kind = found.get("type", "")
        if kind in texts and not found.get("status", False):
            detail = f"reason:{found.get('reason', '')} message:{found.get('message', '')}"
            problems.append(f"{texts[kind]}: {kind}=false {detail}")
    return ", ".join(problems)


def _without_times(status: Object) -> Object:
    """Less what changes by itself: a status that differs only in it is not worth a write."""
    conditions = [
        {key: value for key, value in c.items() if key != "lastHeartbeatTime"} for c in status.get("conditions") or ()
    ]
    return {**status, "conditions": conditions}
