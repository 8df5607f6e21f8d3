"""Light nodes: many nodes in one component, in a whole control plane on virtual time."""

from typing import Any

from tests.integration.simulation.nodes_world import (
    Stage,
    container_status,
    is_ready,
    is_unready,
    on_stage,
    terminated,
    waiting_reason,
)

from kaa.api.objects import Object, labels_of
from kaa.cluster.simulation.light_nodes import NAME, light_nodes
from kaa.cluster.simulation.simulated_nodes import LABELS, node_address

PREFIX = "simulation.kaa.dev/"


async def nodes(stage: Stage, count: int = 3) -> None:
    addresses = {f"node-{number}": node_address(number) for number in range(count)}
    stage.world.add(light_nodes(addresses, stage.images, doors=stage.doors))

    async def ready() -> bool:
        found = (await stage.client.list("Node")).items
        untainted = [node for node in found if is_ready(node) and not node["spec"].get("taints")]
        return len(untainted) == count

    await stage.until(ready)


def deployment(name: str, replicas: int, **spec: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "a", "image": "app:1", "ports": [{"containerPort": 80}]}], **spec},
            },
        },
    }


@on_stage
async def test_a_deployment_behind_a_service(stage: Stage) -> None:
    """Every pod is ready with an address of its own and of its node's range, and the EndpointSlice has them all."""
    await nodes(stage)
    await stage.client.create(deployment("web", 30))
    port = {"port": 80, "protocol": "TCP"}
    service = {"selector": {"app": "web"}, "ports": [port]}
    meta = {"name": "web", "namespace": "default"}
    await stage.client.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service})

    async def available() -> bool:
        found = await stage.client.get("Deployment", "web", "default")
        return bool((found.get("status") or {}).get("availableReplicas") == 30)

    await stage.until(available)
    pods = (await stage.client.list("Pod", "default")).items
    assert len({pod["status"]["podIP"] for pod in pods}) == 30
    ranges = {node["metadata"]["name"]: node["spec"]["podCIDR"] for node in (await stage.client.list("Node")).items}
    for pod in pods:
        assert pod["status"]["podIP"].rpartition(".")[0] == ranges[pod["spec"]["nodeName"]].rpartition(".")[0]
        assert pod["status"]["hostIP"].startswith("172.16.0.")
        assert {c["type"]: c["status"] for c in pod["status"]["conditions"]}["Ready"] == "True"
        assert pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]

    async def published() -> bool:
        slices = (await stage.client.list("EndpointSlice", "default", label_selector="app=web")).items
        slices = slices or (await stage.client.list("EndpointSlice", "default")).items
        mine = [s for s in slices if labels_of(s).get("kubernetes.io/service-name") == "web"]
        return sum(len(s.get("endpoints") or ()) for s in mine) == 30

    await stage.until(published)
    await stage.client.delete("Deployment", "web", "default")

    async def gone() -> bool:
        return not (await stage.client.list("Pod", "default")).items

    await stage.until(gone)


@on_stage
async def test_jobs_come_to_their_end(stage: Stage) -> None:
    """By themselves after a second; init containers before that; with an exit code that fails, the Job fails."""
    await nodes(stage)
    for name, notes in (("good", {}), ("bad", {PREFIX + "exit-code": "3"})):
        spec = {
            "restartPolicy": "Never",
            "initContainers": [{"name": "first", "image": "app:1"}],
            "containers": [{"name": "a", "image": "app:1"}],
        }
        template = {"metadata": {"annotations": dict(notes)}, "spec": spec}
        job = {"completions": 2, "parallelism": 1, "backoffLimit": 0, "template": template}
        if name == "bad":
            template["metadata"]["annotations"][PREFIX + "first.exit-code"] = "0"
        meta = {"name": name, "namespace": "default"}
        await stage.client.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": job})

    async def over(name: str, condition: str) -> bool:
        job = await stage.client.get("Job", name, "default")
        found = (job.get("status") or {}).get("conditions") or ()
        return any(c["type"] == condition and c["status"] == "True" for c in found)

    await stage.until(lambda: over("good", "Complete"))
    await stage.until(lambda: over("bad", "Failed"))
    assert (await stage.client.get("Job", "good", "default"))["status"]["succeeded"] == 2


@on_stage
async def test_annotations(stage: Stage) -> None:
    """Start-up time, readiness, crash with back-off, out of memory, failed pulls, what cannot be read, logs."""
    await nodes(stage)
    await stage.create("late", {PREFIX + "start-after": "5s", PREFIX + "ready-after": "20s", PREFIX + "log": "hello"})
    await stage.create("flaps", {PREFIX + "ready-flapping": "20s/10s"})
    await stage.create("crash", {PREFIX + "crash-after": "2s"})
    await stage.create("greedy", {PREFIX + "out-of-memory-after": "5s"}, restartPolicy="Never")
    await stage.create("none", {PREFIX + "pull-error": "manifest unknown"})
    await stage.create("typo", {PREFIX + "exit-after": "soon"})
    began = stage.clock.monotonic()
    await stage.pod_when("late", lambda pod: waiting_reason(pod) == "ContainerCreating")
    await stage.pod_when("late", lambda pod: container_status(pod)["state"].get("running") and is_unready(pod))
    await stage.pod_when("late", is_ready)
    assert 24 <= stage.clock.monotonic() - began <= 27
    assert await stage.logs("late") == "hello\n"
    earlier = await stage.client.transport.request(
        "GET", "/api/v1/namespaces/default/pods/late/log", query=(("previous", "true"),)
    )
    assert (earlier.status, b"previous terminated container" in earlier.body) == (400, True)
    for _ in range(2):
        await stage.pod_when("flaps", is_ready)
        await stage.pod_when("flaps", is_unready)
    pod = await stage.pod_when("crash", lambda pod: waiting_reason(pod) == "CrashLoopBackOff")
    assert terminated(pod)["exitCode"] == 1
    await stage.pod_when("crash", lambda pod: container_status(pod)["restartCount"] >= 3)
    pod = await stage.pod_when("greedy", lambda pod: pod["status"]["phase"] == "Failed")
    assert (terminated(pod)["exitCode"], terminated(pod)["reason"]) == (137, "OOMKilled")
    assert waiting_reason(await stage.pod("none")) == "ImagePullBackOff"
    assert waiting_reason(await stage.pod("typo")) == "CreateContainerError"


@on_stage
async def test_graceful_deletion(stage: Stage) -> None:
    """A pod stays as long as its containers need to stop, and no longer than its grace period."""
    await nodes(stage)
    for name, needs in (("quick", "5s"), ("slow", "60s")):
        await stage.create(name, {PREFIX + "stop-after": needs}, terminationGracePeriodSeconds=10)
        await stage.pod_when(name, is_ready)
        began = stage.clock.monotonic()
        await stage.client.delete("Pod", name, "default")
        await stage.gone(name)
        assert stage.clock.monotonic() - began >= (4 if name == "quick" else 9)
        assert stage.clock.monotonic() - began <= (7 if name == "quick" else 12)


@on_stage
async def test_a_restart_loses_nothing(stage: Stage) -> None:
    """The component takes up every pod where its status says that it is; while it is away nodes are lost."""
    await nodes(stage)
    await stage.create("web", {PREFIX + "exit-after": "300s"})
    before = await stage.pod_when("web", is_ready)
    await stage.world.crash(NAME)

    async def lost() -> bool:
        return not any(is_ready(node) for node in (await stage.client.list("Node")).items)

    await stage.until(lost)
    stage.world.restart(NAME)
    await stage.pod_when("web", is_ready)
    after = await stage.pod("web")
    assert container_status(after)["containerID"] == container_status(before)["containerID"]
    assert after["status"]["podIP"] == before["status"]["podIP"]
    await stage.pod_when("web", lambda pod: container_status(pod)["restartCount"] == 1)


@on_stage
async def test_a_deleted_node_stays_away(stage: Stage) -> None:
    """As a machine that was taken out of the rack; its pods are collected. Made anew by somebody, it is kept again."""
    await nodes(stage)
    await stage.create("web")
    pod = await stage.pod_when("web", is_ready)
    name = pod["spec"]["nodeName"]
    await stage.client.delete("Node", name)
    await stage.gone("web")
    await stage.clock.sleep(60)
    assert name not in {node["metadata"]["name"] for node in (await stage.client.list("Node")).items}
    await stage.client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": LABELS}})

    async def back() -> bool:
        return is_ready(await stage.client.get("Node", name))

    await stage.until(back)
    await stage.clock.sleep(120)
    assert await back()
