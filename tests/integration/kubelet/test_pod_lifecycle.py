"""The kubelet on a simulated runtime, with a real API server in the same process and virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kaa.api.errors import APIError
from kaa.api.objects import Object, condition
from kaa.client.rest import Client
from kaa.cluster.simulation.images import Images
from kaa.cluster.simulation.simulated_nodes import NodeSize, SimulatedHost
from kaa.cri.cri import RuntimeFault
from kaa.cri.simulated import SimulatedRuntime
from kaa.cri.simulated_behaviour import Behaviour
from kaa.kubelet.loop import Kubelet
from kaa.kubelet.options import KubeletOptions
from kaa.lib import pem
from kaa.lib.clock import VirtualClock, VirtualEventLoop, rfc3339
from kaa.server.app import APIServer
from kaa.server.inprocess import InProcessTransport
from kaa.server.request import User
from kaa.store.memory import MemoryStore

WAIT_SECONDS = 900.0
"""Of virtual time, before a test gives up waiting."""


class Bench:
    """One node: the kubelet under test, its runtime, and a client to play the user."""

    def __init__(self, client: Client, clock: VirtualClock, root: Path) -> None:
        self.client, self.clock, self.root = client, clock, root
        self.behaviours: dict[str, Behaviour] = {}
        self.calls: list[tuple[str, Any]] = []
        self.runtime = SimulatedRuntime(clock, self._behaviour_of, calls=self.calls)

    def _behaviour_of(self, image: str, container: str, sandbox_config: Any) -> Behaviour:
        return self.behaviours.get(image, Behaviour())

    @asynccontextmanager
    async def kubelet(self, **options: Any) -> AsyncIterator[Kubelet]:
        settings = KubeletOptions("n1", "172.30.0.2", self.root, capacity={"cpu": "2", "memory": "4Gi"}, **options)
        host = SimulatedHost("n1", NodeSize(), self.root / "files", Images())
        kubelet = Kubelet(self.client, self.runtime, self.runtime.images, self.clock, settings, host)
        task = asyncio.create_task(kubelet.run())
        try:
            yield kubelet
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def create(self, name: str = "web", **spec: Any) -> Object:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": "n1", "containers": [{"name": "a", "image": "app:1"}], **spec},
        }
        return await self.client.create(pod)

    async def pod(self, name: str = "web") -> Object:
        return await self.client.get("Pod", name, "default")

    async def until(self, holds: Callable[[Object], Any], name: str = "web") -> Object:
        """The pod once that holds of it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds(pod := await self.pod(name)):
                await self.clock.sleep(0.1)
        return pod

    async def until_gone(self, name: str = "web") -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    await self.pod(name)
                except APIError as error:
                    if error.reason == "NotFound":
                        return
                    raise
                await self.clock.sleep(0.1)

    async def events(self) -> list[tuple[str, str]]:
        await self.clock.sleep(5)
        return [(e["reason"], e["message"]) for e in (await self.client.list("Event", "default")).items]

    def called(self, name: str) -> int:
        return sum(call == name for call, _ in self.calls)


@asynccontextmanager
async def bench_in(directory: Path) -> AsyncIterator[Bench]:
    clock = VirtualClock(seed=7)
    server = APIServer(MemoryStore(clock), clock)
    await server.start()
    client = Client(InProcessTransport(server.handle, User("admin", groups=("system:masters",))))
    for namespace in ("default", "kube-node-lease"):
        await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    try:
        yield Bench(client, clock, directory / "kubelet")
    finally:
        await server.stop()


def in_virtual_time(scenario: Callable[[Bench], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    """A test of its own loop, whose time jumps: minutes of back-off pass in milliseconds."""

    async def run(directory: Path) -> None:
        async with bench_in(directory) as bench:
            await scenario(bench)

    def test(tmp_path: Path) -> None:
        with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
            runner.run(run(tmp_path))

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


def is_ready(pod: Object) -> bool:
    found = condition((pod.get("status") or {}).get("conditions"), "Ready")
    return found is not None and found["status"] == "True"


def waiting_reason(pod: Object) -> str:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    return ((statuses[0].get("state") or {}).get("waiting") or {}).get("reason", "")


@in_virtual_time
async def test_pod_becomes_ready_and_is_removed(bench: Bench) -> None:
    """The whole life of a pod: pulled, started, ready with an address; deleted, stopped, gone, nothing left."""
    async with bench.kubelet():
        await bench.create()
        pod = await bench.until(is_ready)
        assert pod["status"]["phase"] == "Running"
        assert pod["status"]["podIP"].startswith("10.244.0.")
        assert pod["status"]["containerStatuses"][0]["containerID"].startswith("simulated://")
        reasons = [reason for reason, _ in await bench.events()]
        assert {"Pulling", "Pulled", "Created", "Started"} <= set(reasons)
        await bench.client.delete("Pod", "web", "default")
        await bench.until_gone()
    assert (await bench.runtime.list_pod_sandbox({}))["items"] == []
    assert (await bench.runtime.list_containers({}))["containers"] == []
    assert list((bench.root / "pods").iterdir()) == []
    assert list((bench.root / "pod-logs").iterdir()) == []


@in_virtual_time
async def test_crashing_container_backs_off(bench: Bench) -> None:
    """A container that keeps ending is restarted with CrashLoopBackOff, after 10 s, 20 s, 40 s."""
    bench.behaviours["app:1"] = Behaviour(exit_after_seconds=1, exit_code=1)
    async with bench.kubelet():
        await bench.create()
        pod = await bench.until(lambda p: waiting_reason(p) == "CrashLoopBackOff")
        status = pod["status"]["containerStatuses"][0]
        assert status["restartCount"] == 1
        assert status["lastState"]["terminated"]["exitCode"] == 1
        assert "back-off 10s restarting failed container=a" in status["state"]["waiting"]["message"]
        await bench.until(lambda p: p["status"]["containerStatuses"][0]["restartCount"] == 4)
        starts = [request["config"] for call, request in bench.calls if call == "create_container"]
        assert len(starts) == 5
        assert bench.clock.monotonic() > 10 + 20 + 40
        containers = (await bench.runtime.list_containers({}))["containers"]
        assert len(containers) <= 2, "dead containers are collected"
        assert any(reason == "BackOff" for reason, _ in await bench.events())


@in_virtual_time
async def test_missing_image_backs_off_and_recovers(bench: Bench) -> None:
    """An image that cannot be pulled shows ErrImagePull, then ImagePullBackOff; once it can, the pod runs."""
    bench.behaviours["app:1"] = Behaviour(pull_error=RuntimeFault("NotFound", "manifest unknown"))
    async with bench.kubelet():
        await bench.create()
        pod = await bench.until(lambda p: waiting_reason(p) == "ErrImagePull")
        assert pod["status"]["phase"] == "Pending"
        assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"] == "manifest unknown"
        pod = await bench.until(lambda p: waiting_reason(p) == "ImagePullBackOff")
        message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
        assert message == 'Back-off pulling image "app:1": ErrImagePull: manifest unknown'
        bench.behaviours["app:1"] = Behaviour()
        await bench.until(is_ready)


@in_virtual_time
async def test_command_that_does_not_exist(bench: Bench) -> None:
    """A start that the runtime refuses is told with the runtime's text, and tried again with back-off."""
    bench.behaviours["app:1"] = Behaviour(start_error=RuntimeFault("Unknown", "exec: no such file"))
    async with bench.kubelet():
        await bench.create()
        await bench.until(lambda p: waiting_reason(p) == "CrashLoopBackOff")
        assert ("Failed", "Error: exec: no such file") in await bench.events()
        bench.behaviours["app:1"] = Behaviour()
        await bench.until(is_ready)


@in_virtual_time
async def test_job_succeeds(bench: Bench) -> None:
    """A pod that never restarts ends as Succeeded, keeps its container for the logs, and its sandbox is stopped."""
    bench.behaviours["app:1"] = Behaviour(exit_after_seconds=3)
    async with bench.kubelet():
        await bench.create(restartPolicy="Never")
        pod = await bench.until(lambda p: (p.get("status") or {}).get("phase") == "Succeeded")
        assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
        await bench.clock.sleep(5)
        sandboxes = (await bench.runtime.list_pod_sandbox({}))["items"]
        assert [s["state"] for s in sandboxes] == ["SANDBOX_NOTREADY"]
        assert len((await bench.runtime.list_containers({}))["containers"]) == 1
        assert (await bench.pod())["status"] == pod["status"]


@in_virtual_time
async def test_init_containers_and_sidecar_in_order(bench: Bench) -> None:
    """Init containers complete one by one, the sidecar starts before the app and is stopped after it."""
    bench.behaviours["init:1"] = Behaviour(exit_after_seconds=2)
    async with bench.kubelet():
        await bench.create(
            initContainers=[
                {"name": "i", "image": "init:1"},
                {"name": "s", "image": "side:1", "restartPolicy": "Always"},
                {"name": "j", "image": "init:1"},
            ]
        )
        await bench.until(is_ready)
        started = [r["config"]["metadata"]["name"] for call, r in bench.calls if call == "create_container"]
        assert started == ["i", "s", "j", "a"]
        names = {c["id"]: c["metadata"]["name"] for c in (await bench.runtime.list_containers({}))["containers"]}
        await bench.client.delete("Pod", "web", "default")
        await bench.until_gone()
        stopped = [names[r["container_id"]] for call, r in bench.calls if call == "stop_container"]
        assert stopped == ["a", "s"]


@in_virtual_time
async def test_restarted_kubelet_leaves_containers_running(bench: Bench) -> None:
    """A kubelet that dies and comes back finds its containers by what the runtime says, and starts nothing anew."""
    async with bench.kubelet():
        await bench.create()
        before = await bench.until(is_ready)
    async with bench.kubelet():
        await bench.clock.sleep(60)
        after = await bench.pod()
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    assert (bench.called("run_pod_sandbox"), bench.called("create_container")) == (1, 1)


@in_virtual_time
async def test_pods_unknown_to_the_api_are_ended(bench: Bench) -> None:
    """Containers of a pod that was deleted while the kubelet was down do not stay."""
    async with bench.kubelet():
        await bench.create()
        await bench.until(is_ready)
    await bench.client.delete("Pod", "web", "default", grace_seconds=0)
    await bench.until_gone()
    async with bench.kubelet():
        await bench.clock.sleep(60)
    assert (await bench.runtime.list_pod_sandbox({}))["items"] == []
    assert list((bench.root / "pods").iterdir()) == []


@in_virtual_time
async def test_shortened_grace_period(bench: Bench) -> None:
    """A second deletion with a shorter grace period cuts the wait of the first short."""
    bench.behaviours["app:1"] = Behaviour(stop_seconds=10_000)
    async with bench.kubelet():
        await bench.create(terminationGracePeriodSeconds=600)
        await bench.until(is_ready)
        begun = bench.clock.monotonic()
        await bench.client.delete("Pod", "web", "default")
        await bench.clock.sleep(5)
        await bench.client.delete("Pod", "web", "default", grace_seconds=3)
        await bench.until_gone()
        assert bench.clock.monotonic() - begun < 60


@in_virtual_time
async def test_deletion_interrupts_a_pull(bench: Bench) -> None:
    """A pod that is deleted while its image is being pulled does not wait for it."""
    bench.behaviours["app:1"] = Behaviour(pull_seconds=500)
    async with bench.kubelet():
        await bench.create()
        await bench.clock.sleep(5)
        begun = bench.clock.monotonic()
        await bench.client.delete("Pod", "web", "default")
        await bench.until_gone()
        assert bench.clock.monotonic() - begun < 30


@in_virtual_time
async def test_probes(bench: Bench) -> None:
    """Readiness follows its probe in both directions; a failing liveness probe restarts the container."""
    healthy = {"ready": False, "alive": True}
    bench.behaviours["app:1"] = Behaviour(exec_answer=lambda cmd: (0 if healthy[cmd[0]] else 1, b"no"))
    probe = {"periodSeconds": 1, "failureThreshold": 2}
    container = {
        "name": "a",
        "image": "app:1",
        "readinessProbe": {**probe, "exec": {"command": ["ready"]}},
        "livenessProbe": {**probe, "exec": {"command": ["alive"]}},
    }
    async with bench.kubelet():
        await bench.create(containers=[container])
        pod = await bench.until(lambda p: (p.get("status") or {}).get("phase") == "Running")
        assert not is_ready(pod)
        healthy["ready"] = True
        await bench.until(is_ready)
        healthy["ready"] = False
        await bench.until(lambda p: not is_ready(p))
        healthy["ready"] = True
        await bench.until(is_ready)
        healthy["alive"] = False
        await bench.until(lambda p: p["status"]["containerStatuses"][0]["restartCount"] == 1)
        events = await bench.events()
        assert ("Unhealthy", "Liveness probe failed: no") in events
        assert ("Killing", "Container a failed liveness probe, will be restarted") in events
        # It stays so: the first restart was at once, the next ones wait ever longer.
        await bench.clock.sleep(60)
        status = (await bench.pod())["status"]["containerStatuses"][0]
        assert status["restartCount"] in (3, 4)
        assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"


@in_virtual_time
async def test_pod_that_does_not_fit_is_rejected(bench: Bench) -> None:
    """More cpu than the node has: the pod fails with OutOfcpu and nothing is started."""
    container = {"name": "a", "image": "app:1", "resources": {"requests": {"cpu": "3"}}}
    async with bench.kubelet():
        await bench.create(containers=[container])
        pod = await bench.until(lambda p: (p.get("status") or {}).get("phase") == "Failed")
        assert pod["status"]["reason"] == "OutOfcpu"
        assert "requested: 3000, used: 0, capacity: 2000" in pod["status"]["message"]
    assert bench.called("run_pod_sandbox") == 0


@in_virtual_time
async def test_configuration_and_volumes(bench: Bench) -> None:
    """A container waits for the ConfigMap it needs, then gets it as variable and as file, and sees it change."""
    container = {
        "name": "a",
        "image": "app:1",
        "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}],
        "volumeMounts": [{"name": "v", "mountPath": "/etc/c"}],
    }
    volumes = [{"name": "v", "configMap": {"name": "c", "optional": True}}]
    async with bench.kubelet():
        created = await bench.create(containers=[container], volumes=volumes)
        pod = await bench.until(lambda p: waiting_reason(p) == "CreateContainerConfigError")
        assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"] == 'configmap "c" not found'
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}}
        await bench.client.create({**config, "data": {"k": "one"}})
        await bench.until(is_ready)
        request = next(r for call, r in bench.calls if call == "create_container")
        assert {"key": "X", "value": b"one"} in request["config"]["envs"]
        mount = next(m for m in request["config"]["mounts"] if m["container_path"] == "/etc/c")
        assert str(created["metadata"]["uid"]) in mount["host_path"]
        file = Path(mount["host_path"]) / "k"
        await bench.clock.sleep(200)
        assert file.read_text() == "one"
        await bench.client.patch("ConfigMap", "c", {"data": {"k": "two"}}, "default")
        await bench.clock.sleep(200)
        assert file.read_text() == "two"


@in_virtual_time
async def test_missing_volume_is_told(bench: Bench) -> None:
    """A pod whose Secret does not exist stays in ContainerCreating and says FailedMount."""
    async with bench.kubelet():
        await bench.create(volumes=[{"name": "v", "secret": {"secretName": "s"}}])
        events = await bench.events()
        assert ("FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "s" not found') in events
        assert waiting_reason(await bench.pod()) == "ContainerCreating"


@in_virtual_time
async def test_node_is_registered_and_its_lease_renewed(bench: Bench) -> None:
    """The node is Ready at once; the lease is its heartbeat; an unchanged status is not written again."""
    async with bench.kubelet(node_labels={"x": "y"}):
        async with asyncio.timeout(WAIT_SECONDS):
            while not (await bench.client.list("Node")).items:
                await bench.clock.sleep(0.01)
        await bench.clock.sleep(1)
        assert bench.clock.monotonic() < 3
        node = await bench.client.get("Node", "n1")
        assert is_ready(node)
        assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "n1"
        assert node["metadata"]["labels"]["x"] == "y"
        assert node["status"]["capacity"]["cpu"] == "2"
        assert node["status"]["nodeInfo"]["containerRuntimeVersion"] == "simulated://1.0.0"
        first = await bench.client.get("Lease", "n1", "kube-node-lease")
        await bench.clock.sleep(25)
        later = await bench.client.get("Lease", "n1", "kube-node-lease")
        assert later["spec"]["renewTime"] > first["spec"]["renewTime"]
        assert later["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]


@in_virtual_time
async def test_lost_sandbox_is_replaced(bench: Bench) -> None:
    """A sandbox that dies takes its containers along; the pod gets a new one and runs again."""
    async with bench.kubelet():
        await bench.create()
        await bench.until(is_ready)
        sandbox = (await bench.runtime.list_pod_sandbox({}))["items"][0]["id"]
        bench.runtime.lose_sandbox(sandbox)
        pod = await bench.until(lambda p: is_ready(p) and p["status"]["containerStatuses"][0]["restartCount"] == 1)
        assert len(pod["status"]["podIPs"]) == 1
        assert bench.called("run_pod_sandbox") == 2


@in_virtual_time
async def test_deadline(bench: Bench) -> None:
    """activeDeadlineSeconds ends the pod as Failed with DeadlineExceeded."""
    async with bench.kubelet():
        await bench.create(activeDeadlineSeconds=20, terminationGracePeriodSeconds=1)
        pod = await bench.until(lambda p: (p.get("status") or {}).get("reason") == "DeadlineExceeded")
        assert pod["status"]["phase"] == "Failed"
        assert 20 <= bench.clock.monotonic() < 40


@in_virtual_time
async def test_a_pod_that_others_marked_not_ready_is_marked_ready_again(bench: Bench) -> None:
    """While a node is silent its pods are taken out of Services; once it is back they must come back at once."""
    await bench.create()
    async with bench.kubelet():
        await bench.until(is_ready)
        lost = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
        await bench.client.patch(
            "Pod", "web", {"status": {"conditions": [lost]}}, "default", patch_type="strategic", subresource="status"
        )
        began = bench.clock.monotonic()
        await bench.until(is_ready)
        assert bench.clock.monotonic() - began < 1


def resources(cpu: str) -> Object:
    return {"requests": {"cpu": cpu, "memory": "64Mi"}, "limits": {"memory": "64Mi"}}


async def resize(bench: Bench, name: str, cpu: str) -> Object:
    spec = {"containers": [{"name": "a", "resources": resources(cpu)}]}
    return await bench.client.patch(
        "Pod", name, {"spec": spec}, "default", patch_type="strategic", subresource="resize"
    )


def granted_cpu(pod: Object) -> str:
    return str(pod["status"]["containerStatuses"][0]["allocatedResources"]["cpu"])


def pending_resize(pod: Object) -> str:
    return str((condition(pod["status"]["conditions"], "PodResizePending") or {}).get("reason", ""))


@in_virtual_time
async def test_a_running_pod_is_resized_when_there_is_room(bench: Bench) -> None:
    """In place, once the other pod has gone; until then the old resources count, also for a kubelet started anew."""
    async with bench.kubelet():
        await bench.create(containers=[{"name": "a", "image": "app:1", "resources": resources("500m")}])
        await bench.create("other", containers=[{"name": "a", "image": "app:1", "resources": resources("1")}])
        await bench.until(is_ready)
        await bench.until(is_ready, "other")
        await resize(bench, "web", "600m")
        pod = await bench.until(lambda pod: granted_cpu(pod) == "600m" and not pending_resize(pod))
        assert pod["status"]["observedGeneration"] == 2
        await resize(bench, "web", "1500m")
        pod = await bench.until(lambda pod: pending_resize(pod) == "Deferred")
        assert granted_cpu(pod) == "600m"
    async with bench.kubelet():
        await bench.clock.sleep(200)
        pod = await bench.client.get("Pod", "web", "default")
        assert (granted_cpu(pod), pending_resize(pod)) == ("600m", "Deferred")
        await bench.client.delete("Pod", "other", "default")
        pod = await bench.until(lambda pod: granted_cpu(pod) == "1500m")
        pod = await bench.until(lambda pod: not condition(pod["status"]["conditions"], "PodResizeInProgress"))
        assert pending_resize(pod) == ""
        assert pod["status"]["containerStatuses"][0]["resources"] == resources("1500m")
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    told = [request["linux"] for call, request in bench.calls if call == "update_container_resources"]
    assert [linux["cpu_shares"] for linux in told] == [614, 1536]


async def answer_certificate_requests(bench: Bench) -> None:
    """A signer that gives everybody a certificate which should be renewed after an hour. Until cancelled."""
    while True:
        for request in (await bench.client.list("PodCertificateRequest")).items:
            if not request.get("status"):
                now = bench.clock.now()
                status = {
                    "certificateChain": f"chain {request['metadata']['name']}\n",
                    "notBefore": rfc3339(now),
                    "beginRefreshAt": rfc3339(now + timedelta(hours=1)),
                    "notAfter": rfc3339(now + timedelta(hours=2)),
                }
                await bench.client.update_status({**request, "status": status})
        await bench.clock.sleep(1)


@in_virtual_time
async def test_a_pod_is_given_a_certificate_of_its_own(bench: Bench) -> None:
    """The key is made here and asked for once; when it is due, another takes its place."""
    signer = asyncio.create_task(answer_certificate_requests(bench))
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await bench.client.create(account, "default")
    source = {"signerName": "example.com/a", "keyType": "ED25519", "credentialBundlePath": "pair.pem"}
    volumes = [{"name": "v", "projected": {"sources": [{"podCertificate": source}]}}]
    mounts = [{"name": "v", "mountPath": "/v"}]
    async with bench.kubelet() as kubelet:
        containers = [{"name": "a", "image": "app:1", "volumeMounts": mounts}]
        pod = await bench.create(volumes=volumes, containers=containers, serviceAccountName="default")
        await bench.until(is_ready)
        directory = bench.root / "pods" / pod["metadata"]["uid"] / "volumes/kubernetes.io~projected/v"
        first = (directory / "pair.pem").read_text()
        (request,) = (await bench.client.list("PodCertificateRequest", "default")).items
        assert request["spec"]["podUID"] == pod["metadata"]["uid"]
        assert first.startswith("-----BEGIN PRIVATE KEY-----")
        assert first.endswith(f"chain {request['metadata']['name']}\n")
        await bench.clock.sleep(2400)
        assert (directory / "pair.pem").read_text() == first
        await bench.clock.sleep(2400)
        assert (directory / "pair.pem").read_text() != first
        assert len((await bench.client.list("PodCertificateRequest", "default")).items) == 2
        assert kubelet.workers
    signer.cancel()
    await asyncio.gather(signer, return_exceptions=True)


async def trust(bench: Bench, name: str, signer: str, *names: str) -> None:
    """A bundle of authorities with these names, and the label `name`."""
    text = "about us\n".join(authority(each) for each in names)
    spec = {"trustBundle": text} | ({"signerName": signer} if signer else {})
    metadata = {"name": f"{signer.replace('/', ':')}:{name}" if signer else name, "labels": {"name": name}}
    bundle = {"apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle"}
    await bench.client.create({**bundle, "metadata": metadata, "spec": spec})


@in_virtual_time
async def test_trust_bundles_are_one_file(bench: Bench) -> None:
    """By name, or those of a signer that a selector takes, each certificate once; a pod waits for a missing one."""
    await trust(bench, "own", "", "a", "b")
    await trust(bench, "one", "example.com/x", "b", "c")
    await trust(bench, "two", "example.com/x", "c", "d")
    await trust(bench, "one", "example.com/y", "e")
    by_signer = {"signerName": "example.com/x"}
    sources = [
        {"name": "own", "path": "own"},
        {**by_signer, "labelSelector": {}, "path": "all"},
        {**by_signer, "labelSelector": {"matchLabels": {"name": "two"}}, "path": "two"},
        {**by_signer, "optional": True, "path": "none"},
    ]
    volumes = [{"name": "v", "projected": {"sources": [{"clusterTrustBundle": source} for source in sources]}}]
    containers = [{"name": "a", "image": "app:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]
    missing = [{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {"name": "late", "path": "p"}}]}}]
    async with bench.kubelet():
        pod = await bench.create(volumes=volumes, containers=containers)
        await bench.create("waiting", volumes=missing, containers=containers)
        await bench.until(is_ready)
        directory = bench.root / "pods" / pod["metadata"]["uid"] / "volumes/kubernetes.io~projected/v"
        found = {source["path"]: anchors((directory / source["path"]).read_text()) for source in sources}
        assert found == {"own": {"a", "b"}, "all": {"b", "c", "d"}, "two": {"c", "d"}, "none": set()}
        assert not is_ready(await bench.pod("waiting"))
        assert any('clustertrustbundle "late" not found' in message for _, message in await bench.events())
        await trust(bench, "late", "", "f")
        await bench.until(is_ready, "waiting")


@cache
def authority(name: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime(2030, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def anchors(text: str) -> set[str]:
    """The names in a file, each of which is there once."""
    found = [x509.load_der_x509_certificate(block.data).subject.rdns[0].rfc4514_string() for block in pem.blocks(text)]
    assert len(set(found)) == len(found)
    return {name.removeprefix("CN=") for name in found}
