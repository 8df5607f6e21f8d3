"""What every container runtime promises (see `kaa/cri/cri.py`), with real containers: needs root.

Where no container is looked into, the simulated runtime promises the same: those tests take `any_machine`.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.node import IMAGE, Node, container_config, node

from kaa.cri.archive import write_oci_archive
from kaa.cri.cri import ImageService, Message, RuntimeFault, RuntimeService
from kaa.cri.grpc_client import ImageClient, RuntimeClient, connect
from kaa.cri.grpc_server import serve
from kaa.cri.linux import processes
from kaa.cri.linux.processes import Child
from kaa.cri.runtime import RuntimeConfig, open_runtime
from kaa.cri.simulated import SimulatedRuntime
from kaa.cri.simulated_behaviour import Behaviour
from kaa.cri.simulated_program import SimulatedContainer
from kaa.lib.clock import WallClock

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(os.geteuid() != 0, reason="real containers need root")]

WAIT_SECONDS = 10.0


class Machine:
    """A runtime under test, and short names for what tests do with it."""

    def __init__(self, node: Node, runtime: RuntimeService, images: ImageService) -> None:
        self.node = node
        self.runtime = runtime
        self.images = images

    async def sandbox(self, **options: Any) -> tuple[str, Message]:
        config = self.node.sandbox_config(**options)
        answer = await self.runtime.run_pod_sandbox({"config": config})
        return answer["pod_sandbox_id"], config

    async def create(self, sandbox: tuple[str, Message], config: Message) -> str:
        request = {"pod_sandbox_id": sandbox[0], "config": config, "sandbox_config": sandbox[1]}
        return str((await self.runtime.create_container(request))["container_id"])

    async def start(self, sandbox: tuple[str, Message], name: str, *command: str, **more: Any) -> str:
        container = await self.create(sandbox, container_config(name, *command, **more))
        await self.runtime.start_container({"container_id": container})
        return container

    async def status(self, container: str) -> Message:
        return dict((await self.runtime.container_status({"container_id": container}))["status"])

    async def ended(self, container: str) -> Message:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                status = await self.status(container)
                if status["state"] == "CONTAINER_EXITED":
                    return status
                await asyncio.sleep(0.02)

    async def output(self, sandbox: tuple[str, Message], *command: str, **more: Any) -> str:
        """What a command writes, run in a container of its own."""
        container = await self.start(
            sandbox, f"output-{len(command)}-{abs(hash(str(command) + str(more)))}", *command, **more
        )
        status = await self.ended(container)
        lines = Path(status["log_path"]).read_text().splitlines()
        return "\n".join(line.split(" ", 3)[3] for line in lines)


@asynccontextmanager
async def in_process(place: Node) -> AsyncIterator[tuple[RuntimeService, ImageService]]:
    runtime, images = open_runtime(RuntimeConfig(place.root, place.run), place.network, WallClock())
    await images.load_archive(place.archive)
    running = asyncio.create_task(runtime.run())
    try:
        yield runtime, images
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def over_the_socket(place: Node) -> AsyncIterator[tuple[RuntimeService, ImageService]]:
    """Ours again, as another process would see it."""
    path = place.directory / "cri.sock"
    async with in_process(place) as (runtime, images):
        serving = asyncio.create_task(serve(runtime, images, path))
        await asyncio.sleep(0.1)
        channel = connect(str(path))
        try:
            yield RuntimeClient(channel), ImageClient(channel)
        finally:
            channel.close()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


CNI_PLUGIN = """#!/bin/sh
cat > /dev/null
case "$CNI_COMMAND" in
ADD) nsenter --net="$CNI_NETNS" ip link set lo up
     echo '{"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.0.0.1/32"}]}' ;;
VERSION) echo '{"cniVersion": "0.3.1", "supportedVersions": ["0.3.1"]}' ;;
esac
"""


@asynccontextmanager
async def containerd(place: Node) -> AsyncIterator[tuple[RuntimeService, ImageService]]:
    """The runtime that most clusters have. Also the proof that this suite asks for nothing peculiar."""
    if shutil.which("containerd") is None:
        pytest.skip("containerd is not installed")
    plugins, networks = place.directory / "cni", place.directory / "net.d"
    plugins.mkdir()
    networks.mkdir()
    for name in ("loopback", "test"):
        (plugins / name).write_text(CNI_PLUGIN)
        (plugins / name).chmod(0o755)
    (networks / "test.conf").write_text('{"cniVersion": "0.3.1", "name": "test", "type": "test"}')
    socket = place.directory / "c.sock"
    (place.directory / "containerd.toml").write_text(
        f"""version = 2
root = "{place.root}"
state = "{place.run}"
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/pause:1"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{networks}"
"""
    )
    pause = place.directory / "pause"
    pause.mkdir()
    shutil.copy("/usr/bin/catatonit", pause / "pause")
    write_oci_archive(place.directory / "pause.tar", "pause:1", pause, {"Entrypoint": ["/pause", "-P"]})
    with (place.directory / "containerd.log").open("wb") as log:
        program = Child(
            ["containerd", "--config", str(place.directory / "containerd.toml")],
            stdout=log.fileno(),
            stderr=log.fileno(),
        )
    channel = connect(str(socket))
    try:
        for archive in (place.directory / "pause.tar", place.archive):
            await import_image(socket, archive)
        yield RuntimeClient(channel), ImageClient(channel)
    finally:
        channel.close()
        program.signal(signal.SIGTERM)
        await program.wait()


async def import_image(socket: Path, archive: Path) -> None:
    """Waits for containerd to listen, and gives it the image."""
    command = ["ctr", "--address", str(socket), "--namespace", "k8s.io", "images", "import", str(archive)]
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            if await processes.run(command, timeout_seconds=WAIT_SECONDS) == 0:
                return
            await asyncio.sleep(0.1)


async def true_or_sleep(container: SimulatedContainer) -> None:
    """All that tests without real containers ask a command for."""
    match container.command:
        case ["sleep", seconds]:
            await asyncio.sleep(float(seconds))
        case ["true"]:
            pass
        case other:
            raise AssertionError(other)


@asynccontextmanager
async def simulated(place: Node) -> AsyncIterator[tuple[RuntimeService, ImageService]]:
    runtime = SimulatedRuntime(WallClock(), lambda *_: Behaviour(program=true_or_sleep), pod_cidr="10.0.0.0/24")
    await runtime.images.pull_image({"image": {"image": IMAGE}})
    try:
        yield runtime, runtime.images
    finally:
        await runtime.close()


WITH_CONTAINERS = {"in process": in_process, "over the socket": over_the_socket, "containerd": containerd}
IMPLEMENTATIONS = {**WITH_CONTAINERS, "simulated": simulated}

NEWER_THAN_CONTAINERD_1_6 = {
    "test_a_stop_signal_of_ones_own",
    "test_an_image_as_a_volume",
    "test_events_tell_of_each_change",
    "test_statuses_name_the_pod_and_the_image",  # image_id
}
"""What Debian 12's containerd does not do: CRI has grown since."""


@asynccontextmanager
async def machine_of(request: pytest.FixtureRequest) -> AsyncIterator[Machine]:
    if request.param == "containerd" and request.function.__name__ in NEWER_THAN_CONTAINERD_1_6:
        pytest.skip("newer than containerd 1.6")
    with node() as place:
        async with IMPLEMENTATIONS[request.param](place) as (runtime, images):
            yield Machine(place, runtime, images)
            for sandbox in (await runtime.list_pod_sandbox({}))["items"]:
                await runtime.remove_pod_sandbox({"pod_sandbox_id": sandbox["id"]})


@pytest.fixture(params=WITH_CONTAINERS)
async def machine(request: pytest.FixtureRequest) -> AsyncIterator[Machine]:
    async with machine_of(request) as made:
        yield made


@pytest.fixture(params=IMPLEMENTATIONS)
async def any_machine(request: pytest.FixtureRequest) -> AsyncIterator[Machine]:
    async with machine_of(request) as made:
        yield made


async def test_a_container_runs_and_its_end_is_told(machine: Machine) -> None:
    """Protects the life of a container: created, running, exited; its code, times and log."""
    sandbox = await machine.sandbox()
    container = await machine.create(sandbox, container_config("main", "sh", "-c", "echo out; echo err >&2; exit 3"))
    created = await machine.status(container)
    assert created["state"] == "CONTAINER_CREATED"
    await machine.runtime.start_container({"container_id": container})
    status = await machine.ended(container)
    assert (status["exit_code"], status["reason"]) == (3, "Error")
    assert created["created_at"] <= status["started_at"] <= status["finished_at"]
    log = Path(status["log_path"]).read_text()
    assert sorted(line.split(" ", 1)[1] for line in log.splitlines()) == ["stderr F err", "stdout F out"]


async def test_statuses_name_the_pod_and_the_image(any_machine: Machine) -> None:
    """Protects what the kubelet recognises its containers by: metadata, labels, image, log path."""
    sandbox = await any_machine.sandbox()
    container = await any_machine.start(sandbox, "main", "sleep", "100", labels={"a": "b"}, annotations={"c": "d"})
    status = await any_machine.status(container)
    assert status["metadata"]["name"] == "main"
    assert (status["labels"], status["annotations"]) == ({"a": "b"}, {"c": "d"})
    assert status["image"]["image"] == IMAGE
    image = (await any_machine.images.image_status({"image": {"image": IMAGE}}))["image"]
    assert status["image_id"] == image["id"]
    pod = (await any_machine.runtime.pod_sandbox_status({"pod_sandbox_id": sandbox[0]}))["status"]
    assert pod["state"] == "SANDBOX_READY"
    assert pod["metadata"]["name"] == sandbox[1]["metadata"]["name"]
    assert pod["network"]["ip"].startswith("10.0.0.")


async def test_lists_are_filtered(any_machine: Machine) -> None:
    """Protects the kubelet's view: by sandbox, state and label, and everything without a filter."""
    one, two = await any_machine.sandbox(), await any_machine.sandbox()
    running = await any_machine.start(one, "main", "sleep", "100", labels={"tier": "web"})
    ended = await any_machine.start(two, "main", "true")
    await any_machine.ended(ended)

    async def listed(**wanted: Any) -> set[str]:
        return {c["id"] for c in (await any_machine.runtime.list_containers({"filter": wanted}))["containers"]}

    assert await listed() == {running, ended}
    assert await listed(pod_sandbox_id=one[0]) == {running}
    assert await listed(state={"state": "CONTAINER_EXITED"}) == {ended}
    assert await listed(label_selector={"tier": "web"}) == {running}
    pods = await any_machine.runtime.list_pod_sandbox({"filter": {"label_selector": one[1]["labels"]}})
    assert [pod["id"] for pod in pods["items"]] == [one[0]]


async def test_what_is_unknown_is_not_found_and_stopping_it_succeeds(any_machine: Machine) -> None:
    """Protects the kubelet's repeats: stop and remove of something gone are success, a status is NotFound."""
    gone = "f" * 64
    await any_machine.runtime.stop_container({"container_id": gone})
    await any_machine.runtime.remove_container({"container_id": gone})
    await any_machine.runtime.stop_pod_sandbox({"pod_sandbox_id": gone})
    await any_machine.runtime.remove_pod_sandbox({"pod_sandbox_id": gone})
    with pytest.raises(RuntimeFault) as fault:
        await any_machine.runtime.container_status({"container_id": gone})
    assert fault.value.code == "NotFound"
    with pytest.raises(RuntimeFault) as fault:
        await any_machine.runtime.pod_sandbox_status({"pod_sandbox_id": gone})
    assert fault.value.code == "NotFound"


async def test_a_command_that_does_not_exist_fails_the_start(machine: Machine) -> None:
    """Protects the text people search for, and that the container then counts as ended."""
    sandbox = await machine.sandbox()
    container = await machine.create(sandbox, container_config("main", "nope"))
    with pytest.raises(RuntimeFault, match=r'exec: "nope": executable file not found in \$PATH'):
        await machine.runtime.start_container({"container_id": container})
    status = await machine.status(container)
    assert (status["state"], status["exit_code"], status["reason"]) == ("CONTAINER_EXITED", 128, "StartError")


async def test_an_image_that_is_not_present_fails_the_creation(any_machine: Machine) -> None:
    """Protects against a half-made container: nothing is left of the failed one."""
    sandbox = await any_machine.sandbox()
    with pytest.raises(RuntimeFault) as fault:
        await any_machine.create(sandbox, container_config("main", "true", image={"image": "nowhere/nothing:1"}))
    assert fault.value.code == "NotFound"
    assert not (await any_machine.runtime.list_containers({}))["containers"]


async def test_stopping_asks_first_and_then_kills(machine: Machine) -> None:
    """Protects graceful ends: SIGTERM is seen by who listens, and who does not is killed after the timeout."""
    sandbox = await machine.sandbox()
    polite = await machine.start(sandbox, "polite", "sh", "-c", "trap 'exit 7' TERM; while true; do sleep 0.05; done")
    stubborn = await machine.start(sandbox, "stubborn", "sh", "-c", "trap '' TERM; while true; do sleep 0.05; done")
    await asyncio.sleep(0.3)
    await machine.runtime.stop_container({"container_id": polite, "timeout": 10})
    assert (await machine.status(polite))["exit_code"] == 7
    await machine.runtime.stop_container({"container_id": stubborn, "timeout": 1})
    status = await machine.status(stubborn)
    assert (status["state"], status["exit_code"]) == ("CONTAINER_EXITED", 137)
    await machine.runtime.stop_container({"container_id": stubborn, "timeout": 1})


async def test_a_stop_signal_of_ones_own(machine: Machine) -> None:
    """Protects spec.containers[].lifecycle.stopSignal."""
    sandbox = await machine.sandbox()
    script = "trap 'exit 9' QUIT; while true; do sleep 0.05; done"
    container = await machine.start(sandbox, "main", "sh", "-c", script, stop_signal="SIGNAL_SIGQUIT")
    await asyncio.sleep(0.3)
    await machine.runtime.stop_container({"container_id": container, "timeout": 10})
    assert (await machine.status(container))["exit_code"] == 9


async def test_removing_a_sandbox_removes_all_of_it(any_machine: Machine) -> None:
    """Protects the node: neither containers, mounts, nor cgroups are left behind."""
    sandbox = await any_machine.sandbox()
    await any_machine.start(sandbox, "main", "sleep", "100")
    await any_machine.runtime.stop_pod_sandbox({"pod_sandbox_id": sandbox[0]})
    pod = (await any_machine.runtime.pod_sandbox_status({"pod_sandbox_id": sandbox[0]}))["status"]
    assert pod["state"] == "SANDBOX_NOTREADY"
    await any_machine.runtime.remove_pod_sandbox({"pod_sandbox_id": sandbox[0]})
    assert not (await any_machine.runtime.list_containers({}))["containers"]
    assert not (await any_machine.runtime.list_pod_sandbox({}))["items"]
    assert str(any_machine.node.directory) not in Path("/proc/mounts").read_text()
    assert any_machine.node.network.attached == {}


async def test_containers_of_a_pod_share_its_namespaces(machine: Machine) -> None:
    """Protects pods: one hostname, one network, one /dev/shm; process ids only when asked for."""
    sandbox = await machine.sandbox()
    await machine.start(sandbox, "server", "sh", "-c", "echo shared > /dev/shm/x; nc -l -p 8080 -e echo hello")
    await asyncio.sleep(0.3)
    assert (
        await machine.output(sandbox, "sh", "-c", "cat /dev/shm/x; cat /proc/sys/kernel/hostname")
        == f"shared\n{sandbox[1]['hostname']}"
    )
    assert await machine.output(sandbox, "nc", "127.0.0.1", "8080") == "hello"
    assert await machine.output(sandbox, "sh", "-c", "echo $$") == "1"


async def test_a_shared_pid_namespace(machine: Machine) -> None:
    """Protects shareProcessNamespace: containers see each other, and none is the first process."""
    sandbox = await machine.sandbox(pid="POD")
    first = await machine.start(sandbox, "first", "sleep", "1234", pid="POD")
    seen = await machine.output(
        sandbox, "sh", "-c", "cat /proc/[0-9]*/cmdline | head -c 1000; test $$ != 1 && echo not-first", pid="POD"
    )
    assert "sleep\x001234" in seen
    assert "not-first" in seen
    await machine.runtime.stop_container({"container_id": first, "timeout": 0})
    pod = (await machine.runtime.pod_sandbox_status({"pod_sandbox_id": sandbox[0]}))["status"]
    assert pod["state"] == "SANDBOX_READY"


async def test_files_of_the_sandbox(machine: Machine) -> None:
    """Protects cluster DNS: /etc/resolv.conf is what the kubelet says."""
    sandbox = await machine.sandbox()
    text = await machine.output(sandbox, "cat", "/etc/resolv.conf", "/etc/hostname")
    expected = ["search default.svc.cluster.local", "nameserver 10.96.0.10", "options ndots:5", sandbox[1]["hostname"]]
    assert text.splitlines() == expected


async def test_environment_arguments_and_directory(machine: Machine) -> None:
    """Protects how the image's and the container's wishes combine."""
    sandbox = await machine.sandbox()
    envs = [{"key": "B", "value": "own"}, {"key": "A", "value": "replaced"}]
    text = await machine.output(sandbox, "sh", "-c", "echo $A $B; pwd", envs=envs, working_dir="/tmp")
    assert text == "replaced own\n/tmp"
    config = container_config("default")
    container = await machine.create(sandbox, config)
    await machine.runtime.start_container({"container_id": container})
    status = await machine.ended(container)
    assert Path(status["log_path"]).read_text().endswith("stdout F from the image\n")


async def test_users_and_groups(machine: Machine) -> None:
    """Protects runAsUser, and that the image's groups are merged in."""
    sandbox = await machine.sandbox()
    by_name = {"run_as_username": "web", "supplemental_groups": [2000]}
    assert (
        await machine.output(sandbox, "id", security=by_name)
        == "uid=101(web) gid=102(web) groups=102(web),300(extra),2000"
    )
    by_number = {"run_as_user": {"value": 65534}, "run_as_group": {"value": 5}}
    assert await machine.output(sandbox, "id", security=by_number) == "uid=65534 gid=5 groups=5"


async def test_security_settings_reach_the_process(machine: Machine) -> None:
    """Protects capabilities, no_new_privs, the read-only root, masked paths and the seccomp filter."""
    sandbox = await machine.sandbox()
    security = {
        "capabilities": {"drop_capabilities": ["ALL"], "add_capabilities": ["NET_BIND_SERVICE"]},
        "no_new_privs": True,
        "readonly_rootfs": True,
        "masked_paths": ["/proc/kcore"],
        "seccomp": {"profile_type": "RuntimeDefault"},
    }
    script = "cat /proc/self/status; touch /x; head -c 1 /proc/kcore | od"
    lines = (await machine.output(sandbox, "sh", "-c", script, security=security)).splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert int(status["CapBnd"], 16) == 1 << 10
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert any("Read-only file system" in line for line in lines)
    refused = await machine.output(
        sandbox, "sh", "-c", "mount -t tmpfs none /tmp; true", security={"seccomp": {}, "privileged": False}
    )
    assert "denied" in refused or "not permitted" in refused


async def test_mounts(machine: Machine) -> None:
    """Protects volumes: writable and read-only binds, single files, and a source that is made when it is missing."""
    sandbox = await machine.sandbox()
    volume = machine.node.directory / "volume"
    volume.mkdir()
    (volume / "file").write_text("content")
    mounts = [
        {"host_path": str(volume), "container_path": "/data"},
        {"host_path": str(volume / "file"), "container_path": "/etc/single", "readonly": True},
    ]
    script = "cat /etc/single; echo; echo new > /data/made; echo no > /etc/single"
    text = await machine.output(sandbox, "sh", "-c", script, mounts=mounts)
    assert text.startswith("content\n")
    assert "Read-only file system" in text
    assert (volume / "made").read_text() == "new\n"
    late = [{"host_path": str(volume / "missing/deep"), "container_path": "/x"}]
    await machine.output(sandbox, "sh", "-c", "echo made > /x/file", mounts=late)
    assert (volume / "missing/deep/file").read_text() == "made\n"


async def test_an_image_as_a_volume(machine: Machine) -> None:
    """Its files, read-only, whole or from a directory on; they go with the container. A missing directory fails."""
    sandbox = await machine.sandbox()
    image = {"image": {"image": IMAGE}, "readonly": True}
    mounts = [{**image, "container_path": "/whole"}, {**image, "container_path": "/part", "image_sub_path": "bin"}]
    script = "test -x /whole/bin/busybox && test -x /part/busybox && echo there; echo no > /whole/made"
    text = await machine.output(sandbox, "sh", "-c", script, mounts=mounts)
    assert text.startswith("there\n")
    assert "Read-only file system" in text
    missing = container_config(
        "missing", "true", mounts=[{**image, "container_path": "/x", "image_sub_path": "missing"}]
    )
    with pytest.raises(RuntimeFault, match="missing"):
        await machine.create(sandbox, missing)
    await machine.runtime.remove_pod_sandbox({"pod_sandbox_id": sandbox[0]})
    assert str(machine.node.directory) not in "".join(
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "image-volumes" in line
    )


async def test_limits_and_running_out_of_memory(machine: Machine) -> None:
    """Protects resource limits, their change while running, and OOMKilled."""
    sandbox = await machine.sandbox()
    eater = await machine.start(
        sandbox, "eater", "sh", "-c", "x=a; while true; do x=$x$x; done", resources={"memory_limit_in_bytes": 16 << 20}
    )
    status = await machine.ended(eater)
    assert (status["exit_code"], status["reason"]) == (137, "OOMKilled")
    quiet = await machine.start(sandbox, "quiet", "sleep", "100", resources={"memory_limit_in_bytes": 64 << 20})
    await machine.runtime.update_container_resources(
        {"container_id": quiet, "linux": {"memory_limit_in_bytes": 32 << 20}}
    )
    assert (await machine.status(quiet))["resources"]["linux"]["memory_limit_in_bytes"] == 32 << 20
    stats = (await machine.runtime.container_stats({"container_id": quiet}))["stats"]
    assert stats["memory"]["available_bytes"]["value"] <= 32 << 20
    assert stats["cpu"]["usage_core_nano_seconds"]["value"] > 0


async def test_limits_are_taken_away(machine: Machine) -> None:
    """A pod that is resized may lose one: -1 says so. Where a runtime says no, the pod's cgroup is the kubelet's."""
    sandbox = await machine.sandbox()
    quiet = await machine.start(sandbox, "quiet", "sleep", "100", resources={"memory_limit_in_bytes": 64 << 20})
    try:
        await machine.runtime.update_pod_sandbox_resources(
            {"pod_sandbox_id": sandbox[0], "resources": {"memory_limit_in_bytes": 128 << 20, "cpu_shares": 512}}
        )
    except RuntimeFault as fault:
        assert fault.code == "Unimplemented"  # noqa: PT017
    await machine.runtime.update_container_resources(
        {"container_id": quiet, "linux": {"memory_limit_in_bytes": -1, "cpu_quota": -1, "cpu_period": 100_000}}
    )
    stats = (await machine.runtime.container_stats({"container_id": quiet}))["stats"]
    assert not stats["memory"].get("available_bytes")


async def test_exec_sync(machine: Machine) -> None:
    """Protects exec probes: output, exit code, timeout, and the error of a command that does not exist."""
    sandbox = await machine.sandbox()
    container = await machine.start(sandbox, "main", "sleep", "100", envs=[{"key": "A", "value": "set"}])
    cmd = ["sh", "-c", "echo $A; echo err >&2; exit 4"]
    answer = await machine.runtime.exec_sync({"container_id": container, "cmd": cmd, "timeout": 10})
    assert (answer["stdout"], answer["stderr"], answer["exit_code"]) == (b"set\n", b"err\n", 4)
    with pytest.raises(RuntimeFault) as fault:
        await machine.runtime.exec_sync({"container_id": container, "cmd": ["sleep", "50"], "timeout": 1})
    assert fault.value.code == "DeadlineExceeded"
    answer = await machine.runtime.exec_sync(
        {"container_id": container, "cmd": ["sh", "-c", "cat /proc/[0-9]*/cmdline"]}
    )
    assert b"sleep\x0050" not in answer["stdout"]
    with pytest.raises(RuntimeFault, match='exec: "nope": executable file not found'):
        await machine.runtime.exec_sync({"container_id": container, "cmd": ["nope"]})


async def test_a_log_that_was_moved_away_is_reopened(machine: Machine) -> None:
    """Protects log rotation: no line is lost, and new ones go to the new file."""
    sandbox = await machine.sandbox()
    container = await machine.start(sandbox, "main", "sh", "-c", "while true; do echo line; sleep 0.05; done")
    log = Path((await machine.status(container))["log_path"])
    await asyncio.sleep(0.3)
    log.rename(log.with_suffix(".old"))
    await machine.runtime.reopen_container_log({"container_id": container})
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            if log.exists() and log.read_text():
                return
            await asyncio.sleep(0.02)


async def test_events_tell_of_each_change(any_machine: Machine) -> None:
    """Protects the kubelet's evented view."""
    seen: list[Message] = []

    async def listen() -> None:
        async for event in any_machine.runtime.get_container_events({}):
            seen.append(event)  # noqa: PERF401  (the stream has no end)

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.1)
    sandbox = await any_machine.sandbox()
    container = await any_machine.start(sandbox, "main", "true")
    await any_machine.ended(container)
    await any_machine.runtime.remove_container({"container_id": container})
    await asyncio.sleep(0.1)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    expected = ["CREATED", "STARTED", "STOPPED", "DELETED"]
    assert [event["container_event_type"] for event in seen] == [f"CONTAINER_{kind}_EVENT" for kind in expected]


async def test_images(machine: Machine) -> None:
    """Protects image listing and removal, by name and by id, and that a container keeps the layers it runs on."""
    sandbox = await machine.sandbox()
    container = await machine.start(sandbox, "main", "sleep", "100")
    images = (await machine.images.list_images({}))["images"]
    (image,) = [image for image in images if image["repo_tags"] == [IMAGE]]
    by_id = await machine.images.image_status({"image": {"image": image["id"]}})
    assert by_id["image"]["size"] > 0
    assert "image" not in await machine.images.image_status({"image": {"image": "nothing"}})
    await machine.images.remove_image({"image": {"image": "kaa-test"}})
    await machine.images.remove_image({"image": {"image": "kaa-test"}})
    assert image["id"] not in {other["id"] for other in (await machine.images.list_images({}))["images"]}
    answer = await machine.runtime.exec_sync({"container_id": container, "cmd": ["echo", "still here"]})
    assert answer["stdout"] == b"still here\n"


async def test_the_runtime_is_ready_and_says_its_version(any_machine: Machine) -> None:
    """Protects the node's Ready condition."""
    conditions = (await any_machine.runtime.status({}))["status"]["conditions"]
    assert {c["type"]: c.get("status", False) for c in conditions} == {"RuntimeReady": True, "NetworkReady": True}
    assert (await any_machine.runtime.version({}))["runtime_api_version"] == "v1"
