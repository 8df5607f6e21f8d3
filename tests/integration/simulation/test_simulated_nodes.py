"""Simulated nodes: the real kubelet with a made-up machine, in a whole control plane on virtual time."""

import asyncio
import os
import tempfile
from pathlib import Path
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

from kaa.cluster.simulation.simulated_nodes import node_address, simulated_node
from kaa.cri.simulated_behaviour import Behaviour
from kaa.cri.simulated_program import SimulatedContainer

PREFIX = "simulation.kaa.dev/"


async def one_node(stage: Stage, name: str = "node-1") -> None:
    stage.world.add(simulated_node(name, node_address(0), stage.images, doors=stage.doors))

    async def ready() -> bool:
        return any(is_ready(node) for node in (await stage.client.list("Node")).items)

    await stage.until(ready)


@on_stage
async def test_a_pod_lives_and_goes(stage: Stage) -> None:
    """Scheduled, started, ready with an address of the node's range; its log is read through the API; deleted, gone."""
    await one_node(stage)
    await stage.create("web", {PREFIX + "log": "first\nsecond"})
    pod = await stage.pod_when("web", is_ready)
    assert pod["spec"]["nodeName"] == "node-1"
    assert pod["status"]["hostIP"] == "172.16.0.1"
    node = await stage.client.get("Node", "node-1")
    assert pod["status"]["podIP"].rpartition(".")[0] == node["spec"]["podCIDR"].rpartition(".")[0]
    assert await stage.logs("web") == "first\nsecond\n"
    assert await stage.logs("web", (("tailLines", "1"),)) == "second\n"
    await stage.client.delete("Pod", "web", "default")
    await stage.gone("web")


@on_stage
async def test_images_that_cannot_be_pulled(stage: Stage) -> None:
    """The pull fails with the annotation's message, and is backed off."""
    await one_node(stage)
    await stage.create("web", {PREFIX + "pull-error": "manifest unknown"})
    pod = await stage.pod_when("web", lambda pod: waiting_reason(pod) == "ErrImagePull")
    assert "manifest unknown" in container_status(pod)["state"]["waiting"]["message"]
    await stage.pod_when("web", lambda pod: waiting_reason(pod) == "ImagePullBackOff")


@on_stage
async def test_crash_and_out_of_memory(stage: Stage) -> None:
    """A container that crashes is restarted with back-off; one that wants too much memory is OOMKilled with 137."""
    await one_node(stage)
    await stage.create("crash", {PREFIX + "crash-after": "2s"})
    await stage.create("greedy", {PREFIX + "out-of-memory-after": "5"}, restartPolicy="Never")
    pod = await stage.pod_when("crash", lambda pod: waiting_reason(pod) == "CrashLoopBackOff")
    assert terminated(pod)["exitCode"] == 1
    await stage.pod_when("crash", lambda pod: container_status(pod)["restartCount"] >= 3)
    pod = await stage.pod_when("greedy", lambda pod: pod["status"]["phase"] == "Failed")
    assert (terminated(pod)["exitCode"], terminated(pod)["reason"]) == (137, "OOMKilled")


@on_stage
async def test_readiness_needs_no_probe(stage: Stage) -> None:
    """`ready-after` and `ready-flapping` hold for containers without a readiness probe; `never` is never."""
    await one_node(stage)
    await stage.create("late", {PREFIX + "ready-after": "30s"})
    await stage.create("flaps", {PREFIX + "ready-flapping": "20s/10s"})
    await stage.create("never", {PREFIX + "ready-after": "never"})
    pod = await stage.pod_when("late", lambda pod: container_status(pod).get("state", {}).get("running"))
    assert is_unready(pod)
    await stage.pod_when("late", is_ready)
    for _ in range(2):
        await stage.pod_when("flaps", is_ready)
        await stage.pod_when("flaps", is_unready)
    assert is_unready(await stage.pod("never"))


@on_stage
async def test_probes_are_answered_by_the_behaviour(stage: Stage) -> None:
    """HTTP and TCP probes ask nobody over a network: the startup passes late, the liveness fails and restarts."""
    await one_node(stage)
    probes = {
        "startupProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1, "failureThreshold": 100},
        "livenessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 1},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 80}, "periodSeconds": 1},
    }
    notes = {PREFIX + "started-after": "20", PREFIX + "unhealthy-after": "40"}
    container = {"name": "a", "image": "app:1", **probes}
    await stage.create("web", notes, containers=[container], terminationGracePeriodSeconds=1)
    pod = await stage.pod_when("web", lambda pod: container_status(pod).get("started") is False)
    assert is_unready(pod)
    await stage.pod_when("web", is_ready)
    await stage.pod_when("web", lambda pod: container_status(pod)["restartCount"] == 1)


@on_stage
async def test_annotations_of_one_container(stage: Stage) -> None:
    """`<container>.<name>` is about that container only, and wins over the pod's."""
    await one_node(stage)
    notes = {PREFIX + "exit-after": "1s", PREFIX + "b.exit-after": "2s", PREFIX + "b.exit-code": "3"}
    containers = [{"name": name, "image": "app:1"} for name in ("a", "b")]
    await stage.create("job", notes, containers=containers, restartPolicy="Never")
    pod = await stage.pod_when("job", lambda pod: pod["status"]["phase"] == "Failed")
    codes = {status["name"]: status["state"]["terminated"]["exitCode"] for status in pod["status"]["containerStatuses"]}
    assert codes == {"a": 0, "b": 3}


@on_stage
async def test_an_annotation_that_cannot_be_read_is_told(stage: Stage) -> None:
    """A typing error shows where people look: in the pod's status."""
    await one_node(stage)
    await stage.create("web", {PREFIX + "exit-after": "soon"})
    pod = await stage.pod_when("web", lambda pod: waiting_reason(pod) == "ErrImagePull")
    assert "exit-after: not a duration: 'soon'" in container_status(pod)["state"]["waiting"]["message"]


@on_stage
async def test_a_program_is_a_container(stage: Stage) -> None:
    """It sees arguments, environment and volumes; it logs; what it raises, and what it returns, ends the container."""
    await one_node(stage)

    async def worker(container: SimulatedContainer) -> int:
        settings = container.path("/etc/settings/colour").read_text()
        container.log("hello", container.pod, container.args, container.env["TEAM"], settings)
        await container.clock.sleep(10)
        if container.args == ["fail"]:
            raise ValueError("no more")
        container.path("/dev/termination-log").write_text("well done")
        return 4

    stage.images.add("worker", worker)
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "default"},
        "data": {"colour": "blue"},
    }
    await stage.client.create(settings)
    volumes = [{"name": "settings", "configMap": {"name": "settings"}}]
    for name in ("works", "fail"):
        container = {
            "name": "a",
            "image": "worker",
            "args": [name],
            "env": [{"name": "TEAM", "value": "red"}],
            "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
        }
        await stage.create(name, containers=[container], volumes=volumes, restartPolicy="Never")
    pod = await stage.pod_when("works", lambda pod: pod["status"]["phase"] == "Failed")
    assert (terminated(pod)["exitCode"], terminated(pod)["message"]) == (4, "well done")
    assert await stage.logs("works") == "hello works ['works'] red blue\n"
    pod = await stage.pod_when("fail", lambda pod: pod["status"]["phase"] == "Failed")
    assert terminated(pod)["exitCode"] == 1
    assert (await stage.logs("fail")).endswith("ValueError: no more\n")


@on_stage
async def test_a_programs_mistakes_are_its_own(stage: Stage) -> None:
    """The container fails and its log says why; the node and its other pods go on."""
    await one_node(stage)

    async def says_yes(container: SimulatedContainer) -> Any:
        return "yes"

    async def too_much(container: SimulatedContainer) -> int:
        return 300

    def answer(*question: object) -> Any:
        raise LookupError("what?")

    stage.images.add("says-yes", says_yes)
    stage.images.add("too-much", too_much)
    stage.images.add("plain", lambda container: container.log("not awaited"))  # type: ignore[arg-type, return-value]
    for name, code, said in (
        ("says-yes", 1, "returns its exit code or None, not 'yes'\n"),
        ("too-much", 44, ""),
        ("plain", 1, "what an image runs is a coroutine function: async def ...(container)\n"),
    ):
        await stage.create(name, containers=[{"name": "a", "image": name}], restartPolicy="Never")
        pod = await stage.pod_when(name, lambda pod: pod["status"]["phase"] == "Failed")
        assert terminated(pod)["exitCode"] == code
        assert (await stage.logs(name)).endswith(said)
    stage.images.add("command", Behaviour(exec_answer=answer))
    stage.images.add("probe", Behaviour(probe_answer=answer))
    command = {"exec": {"command": ["a"]}, "periodSeconds": 1}
    for name in ("command", "probe"):
        await stage.create(name, containers=[{"name": "a", "image": name, "readinessProbe": command}])
        await stage.pod_when(name, is_unready)
    await stage.clock.sleep(10)
    await stage.create("other", containers=[{"name": "a", "image": "app:1"}])
    await stage.pod_when("other", is_ready)
    messages = [event["message"] for event in (await stage.client.list("Event", "default")).items]
    assert any(text.startswith("Readiness probe failed: Traceback") and "what?" in text for text in messages)


@on_stage
async def test_a_program_is_stopped_with_its_grace_period(stage: Stage) -> None:
    """It is cancelled, may clean up, and is killed when it takes longer than its grace period."""
    await one_node(stage)
    ends: list[str] = []

    async def cleaning(container: SimulatedContainer) -> None:
        try:
            await container.clock.sleep(1e6)
        finally:
            await container.clock.sleep(float(container.args[0]))
            ends.append(container.pod)

    stage.images.add("cleaning", cleaning)
    for name, needs in (("quick", "3"), ("slow", "60")):
        container = {"name": "a", "image": "cleaning:1", "args": [needs]}
        await stage.create(name, containers=[container], terminationGracePeriodSeconds=10)
    for name in ("quick", "slow"):
        await stage.pod_when(name, is_ready)
        began = stage.clock.monotonic()
        await stage.client.delete("Pod", name, "default")
        await stage.gone(name)
        assert stage.clock.monotonic() - began < 12
    assert ends == ["quick"]


@on_stage
async def test_behaviours_by_image_and_hooks(stage: Stage) -> None:
    """A Behaviour holds for every tag of a name without one; exec hooks are answered by `exec_answer`."""
    await one_node(stage)
    asked: list[list[str]] = []

    def answer(command: list[str]) -> tuple[int, bytes]:
        asked.append(command)
        return 0, b""

    stage.images.add("example.com/db", Behaviour(exec_answer=answer, stop_exit_code=7))
    hooks = {"postStart": {"exec": {"command": ["up"]}}, "preStop": {"httpGet": {"port": 80}}}
    await stage.create("db", containers=[{"name": "a", "image": "example.com/db:17", "lifecycle": hooks}])
    await stage.pod_when("db", is_ready)
    await stage.client.delete("Pod", "db", "default")
    await stage.gone("db")
    assert asked == [["up"]]


@on_stage
async def test_a_crashed_node_is_lost_and_comes_back(stage: Stage) -> None:
    """Its pods are marked not ready once its lease is old; restarted, it runs them anew, as after a power cut."""
    await one_node(stage)
    await stage.create("web")
    before = await stage.pod_when("web", is_ready)
    await stage.world.crash("node/node-1")

    async def lost() -> bool:
        return not is_ready(await stage.client.get("Node", "node-1"))

    await stage.until(lost)
    await stage.pod_when("web", is_unready)
    stage.world.restart("node/node-1")
    after = await stage.pod_when("web", is_ready)
    assert container_status(after)["containerID"] != container_status(before)["containerID"]


@on_stage
async def test_nothing_is_left(stage: Stage) -> None:
    """The node's directory goes with it, also when it is crashed with pods and programs running."""

    async def forever(container: SimulatedContainer) -> None:
        await container.clock.sleep(1e9)

    stage.images.add("forever", forever)
    name = f"node-{os.getpid()}"
    await one_node(stage, name)
    await stage.create("web", containers=[{"name": "a", "image": "forever:1"}])
    await stage.pod_when("web", is_ready)
    (directory,) = Path(tempfile.gettempdir()).glob(f"kaa-{name}-*")
    await stage.world.crash(f"node/{name}")
    assert not directory.exists()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("container ")]
