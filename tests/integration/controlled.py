"""A cluster to try the controllers and the scheduler in: the real server, one process, virtual time.

No test waits: time jumps to the next timer when nothing can run. `until` therefore counts virtual seconds. With the
option --kubeconfig the same tests run against another server (`upstream.py`), in real time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
from tests.integration import upstream
from tests.integration.exercised import MakeProgram, name_of_program, noting_program, noting_row

from kaa.api.errors import APIError
from kaa.api.resource import Resource
from kaa.client.rest import Client
from kaa.controllers import Options, all_controllers, all_programs
from kaa.controllers.runtime import ControllerManager
from kaa.lib.clock import Clock, VirtualClock, VirtualEventLoop, WallClock, rfc3339, rfc3339_micro
from kaa.scheduler.loop import run_scheduler
from kaa.server.admission import AdmissionChain
from kaa.server.admission.namespace_lifecycle import NAMESPACE_LIFECYCLE
from kaa.server.admission.plugin import Context
from kaa.server.app import APIServer
from kaa.server.bodies import decode_object
from kaa.server.chain import Chain, Core, trust_everybody
from kaa.server.inprocess import InProcessTransport
from kaa.server.negotiation import plain_encoding, respond
from kaa.server.request import Attributes, Request, Response
from kaa.store.memory import MemoryStore

CA = "-----BEGIN CERTIFICATE-----\nexample\n-----END CERTIFICATE-----\n"

EXIT_CODE = "example.com/exit-code"

TLS_END_SECONDS = 0.25
"""TLS connections end a moment after aiohttp has closed them, says its documentation; then only may the loop."""

VIRTUAL_LIMIT_SECONDS = 100_000
"""After which a test counts as hanging."""


REAL_GRACE_SECONDS = 3600.0
"""Against another server tests take real time, and most of their nodes have no heartbeat."""


class Cluster:
    """A server, the controllers, the scheduler and nodes that say they are fine, and do nothing else."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.client = client
        self.clock = clock

    async def until(self, holds: Callable[[], Awaitable[Any]], what: str, seconds: float = 60.0) -> Any:
        deadline = self.clock.monotonic() + seconds
        while True:
            if found := await holds():
                return found
            assert self.clock.monotonic() < deadline, f"not within {seconds} seconds: {what}"
            await self.clock.sleep(0.05)

    async def pods(self, namespace: str = "default", **labels: str) -> list[dict[str, Any]]:
        """Those that are not on their way out."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        found = (await self.client.list("Pod", namespace, label_selector=selector)).items
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    async def add_node(self, name: str, cpu: str = "4") -> None:
        moment = rfc3339(self.clock.now())
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": moment, "lastTransitionTime": moment}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        }
        await self.client.create({**node, "spec": {}})
        room = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
        status = {"status": {"allocatable": room, "capacity": room, "conditions": [ready]}}
        await self.client.patch("Node", name, status, subresource="status")

        async def usable() -> bool:
            taints = (await self.client.get("Node", name))["spec"].get("taints") or ()
            return "node.kubernetes.io/not-ready" not in [taint["key"] for taint in taints]

        await self.until(usable, f"{name} is usable")  # a server with admission taints every new node

    async def heartbeat(self, name: str) -> None:
        """Renews the node's lease every ten seconds, until cancelled."""
        metadata = {"name": name, "namespace": "kube-node-lease"}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}}
        lease = await self.client.create(lease)
        while True:
            lease["spec"] = {"holderIdentity": name, "renewTime": rfc3339_micro(self.clock.now())}
            lease = await self.client.update(lease)
            await self.clock.sleep(10)

    async def play_kubelet(self) -> None:
        """Every bound pod runs and is ready; one that is being deleted goes. Until cancelled."""
        while True:
            for pod in (await self.client.list("Pod")).items:
                try:
                    await self._play(pod)
                except APIError as error:
                    if error.reason not in ("Conflict", "NotFound"):
                        raise
            await self.clock.sleep(0.5)

    async def _play(self, pod: dict[str, Any]) -> None:
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp"):
            await self.client.delete("Pod", metadata["name"], metadata["namespace"], grace_seconds=0)
        elif pod["spec"].get("nodeName") and pod["status"].get("phase") == "Running":
            await self._end(pod)
        elif pod["spec"].get("nodeName") and pod["status"].get("phase") == "Pending":
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(self.clock.now())}
            others = [c for c in pod["status"].get("conditions") or () if c["type"] != "Ready"]
            address = f"10.244.0.{int(metadata['resourceVersion']) % 250 + 1}"
            status = {**pod["status"], "phase": "Running", "conditions": [*others, ready], "podIP": address}
            status["startTime"] = rfc3339(self.clock.now())
            await self.client.update_status({**pod, "status": {**status, "podIPs": [{"ip": address}]}})

    async def _end(self, pod: dict[str, Any]) -> None:
        """A running pod with the annotation EXIT_CODE ends with it, as soon as it is seen again."""
        code = (pod["metadata"].get("annotations") or {}).get(EXIT_CODE)
        if code is None:
            return
        ended = {"exitCode": int(code), "finishedAt": rfc3339(self.clock.now())}
        containers = [
            {
                "name": c["name"],
                "image": c["image"],
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": ended},
            }
            for c in pod["spec"]["containers"]
        ]
        phase = "Failed" if int(code) else "Succeeded"
        status = {**pod["status"], "phase": phase, "containerStatuses": containers}
        await self.client.update_status({**pod, "status": status})


def trust_in_living_namespaces(core: Core, *, may: Callable[[str], bool] = lambda user: True) -> Chain:
    """No security, but nothing new in a namespace that ends: its deletion relies on it.

    Whoever asks whether a user may do something is told what `may` says of him.
    """

    async def review(request: Request, attributes: Attributes, resource: Resource) -> Response:
        asked = decode_object(request, resource, [])
        status = {"allowed": may(asked["spec"].get("user", ""))}
        return respond({**asked, "status": status}, 201, plain_encoding(request))

    chain = trust_everybody(core)
    context = Context(core.reader, chain.authorizer, core.clock)
    admission = AdmissionChain(context, [NAMESPACE_LIFECYCLE])
    return replace(chain, admission=admission, virtual={"SubjectAccessReview": review})


@asynccontextmanager
async def own_server() -> AsyncIterator[tuple[Client, Clock]]:
    """A server of ours in this process, for one test."""
    clock = VirtualClock(seed=7)
    store = MemoryStore(clock)
    server = APIServer(store, clock, secure=trust_in_living_namespaces)
    await server.start()
    for name in ("default", "kube-system", "kube-node-lease"):
        await server.writer.create("Namespace", {"metadata": {"name": name}})
    try:
        yield Client(InProcessTransport(server.handle)), clock
    finally:
        await server.stop()
        await store.close()


@asynccontextmanager
async def running_server() -> AsyncIterator[tuple[Client, Clock]]:
    """The server that the option names, emptied of what it did not have before by whoever uses it."""
    client = upstream.connect(upstream.KUBECONFIG)
    try:
        yield client, WallClock()
    finally:
        await client.close()
        await asyncio.sleep(TLS_END_SECONDS)


@asynccontextmanager
async def running(
    *, kubelet: bool = True, grace: float = 40.0, instead: tuple[MakeProgram, ...] = (), **more: Any
) -> AsyncIterator[Cluster]:
    """`more` are options of the controllers; `instead`, programs in place of those of the same class."""
    async with running_server() if upstream.KUBECONFIG else own_server() as (client, clock):
        cluster = Cluster(client, clock)
        if upstream.KUBECONFIG:
            grace = REAL_GRACE_SECONDS
        options = Options(root_ca_pem=CA, cluster_cidr="10.244.0.0/16", node_grace_seconds=grace, **more)
        programs = {name_of_program(make): make for make in (*all_programs(options), *instead)}
        rows = map(noting_row, all_controllers(options))
        manager = ControllerManager(client, clock, rows, map(noting_program, programs.values()))
        work = [manager.run(), run_scheduler(client, clock)]
        if kubelet:
            work.append(cluster.play_kubelet())
        tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
        try:
            async with upstream.cleaned(client, clock) if upstream.KUBECONFIG else nullcontext():
                yield cluster
            for task in tasks:
                assert not task.done(), task.exception()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


Test = Callable[[], Awaitable[None]]


def virtual(test: Test) -> Callable[[], None]:
    """Runs a test on a loop of its own whose time is virtual; against another server time is real."""

    def run() -> None:
        loop = asyncio.new_event_loop() if upstream.KUBECONFIG else VirtualEventLoop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(asyncio.wait_for(test(), VIRTUAL_LIMIT_SECONDS))
            left = asyncio.all_tasks(loop)
            assert not left, left
        finally:
            loop.close()
            asyncio.set_event_loop(None)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def only_virtual(test: Test) -> Callable[[], None]:
    """As `virtual`, for a test that waits for minutes or needs the server in this process."""
    in_virtual_time = virtual(test)

    def run() -> None:
        if upstream.KUBECONFIG:
            pytest.skip("needs virtual time")
        in_virtual_time()

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    run.__dict__["only_virtual"] = True
    return run
