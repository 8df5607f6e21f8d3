"""Recording a cluster and playing it back: in a cluster in memory, through an API, and by the commands."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.integration.simulation.objects import Object, config_map, custom_kind, deployment

from kaa import Cluster, VirtualEventLoop
from kaa.client.rest import Client
from kaa.cluster.simulation.everyday import AsyncCluster
from kaa.cluster.simulation.recording import BadRecording, Line, Recorder, lines_of
from kaa.cluster.simulation.replaying import APIStage, StoreStage, adapted, replay

BACKUP = {"apiVersion": "example.com/v1", "kind": "Backup", "metadata": {"name": "nightly"}, "spec": {"keep": 3}}
KAA = [sys.executable, "-c", "from kaa.cli.main import main; main()"]


async def recorded(cluster: AsyncCluster, path: Path, limit_bytes: int = 10**7, excluded: tuple[str, ...] = ()) -> None:
    """What happens to a Deployment and to a custom object, one scaled and one deleted."""
    clock = cluster.world.clock
    with path.open("wb") as file:
        recorder = Recorder(Client(cluster.client.transport), clock, file, limit_bytes, excluded)
        recording = asyncio.ensure_future(recorder.run())
        await cluster.apply(deployment(replicas=1))
        await cluster.wait("deployment", "web", "Available")
        await cluster.apply(custom_kind())
        await cluster.wait("crd", "backups.example.com", "Established")
        await cluster.apply(BACKUP)
        await cluster.run_for(10)
        await cluster.apply(deployment(replicas=3))
        await cluster.wait("deployment", "web", "jsonpath={.status.readyReplicas}=3")
        await cluster.delete("backup", "nightly")
        await cluster.run_for(1)
        recording.cancel()
        await asyncio.wait((recording,))


def virtually(test) -> None:  # type: ignore[no-untyped-def]
    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        runner.run(test())


def test_a_recording_plays_as_it_was(tmp_path: Path) -> None:
    """In memory, each moment of the original is there again: uids, statuses, owners, custom kinds, at its time."""
    path = tmp_path / "recording"

    async def test() -> None:
        async with Cluster(clock="virtual", seed=1) as original:
            await original.settle()
            await recorded(original, path)
            pods = await original.list("pods", namespace="default")
            backups = list(await original.history("backup"))
        lines = list(lines_of(path))
        assert [line.verb for line in lines if line.resource == "backups"] == ["create", "delete"]
        assert lines == sorted(lines, key=lambda line: line.time)
        took = lines[-1].time - lines[0].time
        async with Cluster(clock="virtual", nodes=0, controllers=False, scheduler=False) as stage:
            began = stage.now
            assert await replay(lines, StoreStage(stage.world), stage.world.clock, speed=2) == (len(lines), 0)
            assert abs((stage.now - began) - took / 2) < timedelta(seconds=1)
            shown = await stage.list("pods", namespace="default")
            assert [without_version(pod) for pod in shown] == [without_version(pod) for pod in pods]
            deployed = await stage.get("deployment", "web")
            assert deployed["status"]["readyReplicas"] == 3
            assert without_version(next(iter(await stage.history("backup"))).object) == without_version(
                backups[0].object
            )

    virtually(test)


def without_version(obj: Object) -> Object:
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}}


def test_a_recording_plays_through_an_api(tmp_path: Path) -> None:
    """Objects are made by requests: with owners by their new uids, and statuses where the kind has them."""
    path = tmp_path / "recording"

    async def test() -> None:
        async with Cluster(clock="virtual", seed=1) as original:
            await original.settle()
            await recorded(original, path, excluded=("leases", "events"))
            uid = (await original.get("deployment", "web"))["metadata"]["uid"]
        async with Cluster(clock="virtual", nodes=0, controllers=False, scheduler=False) as stage:
            played, _ = await replay(lines_of(path), APIStage(stage.client), stage.world.clock, speed=0)
            assert played > 20
            deployed = await stage.get("deployment", "web")
            assert deployed["metadata"]["uid"] != uid
            assert deployed["status"]["readyReplicas"] == 3
            (replica_set,) = await stage.list("replicasets")
            assert replica_set["metadata"]["ownerReferences"][0]["uid"] == deployed["metadata"]["uid"]
            assert len(await stage.list("pods")) == 3
            assert await stage.list("backups") == []

    virtually(test)


def test_an_owner_that_is_not_there_is_left_out() -> None:
    """Else the garbage collector of the cluster that it is played into would remove the object at once."""
    owners = [{"kind": "A", "name": "a", "uid": "1"}, {"kind": "B", "name": "b", "uid": "2"}]
    obj = {"metadata": {"name": "x", "uid": "3", "ownerReferences": owners, "deletionTimestamp": "now"}}
    assert adapted(obj, {"2": "9"})["metadata"] == {"name": "x", "ownerReferences": [{**owners[1], "uid": "9"}]}
    assert "ownerReferences" not in adapted(obj, {})["metadata"]
    assert obj["metadata"]["uid"] == "3"


def test_a_recording_is_bounded(tmp_path: Path) -> None:
    """It ends when it has its size, with whole lines."""
    path = tmp_path / "recording"

    async def test() -> None:
        async with Cluster(clock="virtual", nodes=0, controllers=False, scheduler=False) as cluster:
            with path.open("wb") as file:
                recorder = Recorder(Client(cluster.client.transport), cluster.world.clock, file, 100_000)
                async with asyncio.timeout(1000):
                    recording = asyncio.ensure_future(recorder.run())
                    for number in range(100):
                        await cluster.apply(config_map("big", number=str(number), padding="x" * 5000))
                        await cluster.run_for(1)
                    await recording
            assert recorder.size_bytes == path.stat().st_size <= 100_000
            assert len(list(lines_of(path))) == recorder.lines > 10

    virtually(test)


def test_what_is_no_recording_is_told(tmp_path: Path) -> None:
    """A line that is cut short by a crash is passed over, one that is something else is named."""
    line = Line(datetime(2030, 1, 1, tzinfo=UTC), "create", "pods", {"kind": "Pod"}).encode()
    path = tmp_path / "recording"
    path.write_bytes(line + line[:20])
    assert [read.encode() for read in lines_of(path)] == [line]
    path.write_bytes(line + b"{}\n")
    with pytest.raises(BadRecording, match="line 2: not a recorded change"):
        list(lines_of(path))


def test_the_commands(tmp_path: Path) -> None:
    """`kaa record` writes what nobody else may read until it is interrupted; `kaa replay` shows it again."""
    path = tmp_path / "recording"
    with Cluster(nodes=0) as c:
        command = [*KAA, "record", str(path), "--kubeconfig", c.kubeconfig, "--exclude", "leases"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as recording:
            wait_for(lambda: path.exists() and b"kube-root-ca.crt" in path.read_bytes())
            c.apply(config_map("seen", a="1"))
            wait_for(lambda: b'"name":"seen"' in path.read_bytes())
            recording.send_signal(signal.SIGINT)
            said, _ = recording.communicate(timeout=20)
        assert recording.returncode == 0
        assert said.startswith("Recorded ")
    assert path.stat().st_mode & 0o077 == 0
    assert not any(line.resource == "leases" for line in lines_of(path))
    with Cluster(nodes=0, controllers=False, scheduler=False) as c:
        command = [*KAA, "replay", str(path), "--kubeconfig", c.kubeconfig, "--speed", "0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.startswith("Played ")
        assert c.get("cm", "seen")["data"] == {"a": "1"}
    with subprocess.Popen([*KAA, "replay", str(path), "--speed", "0"], stdout=subprocess.PIPE, text=True) as playing:
        assert playing.stdout is not None
        kubeconfig = Path(playing.stdout.readline().partition("=")[2].strip())
        assert "0 were not possible" in playing.stdout.readline()
        assert kubeconfig.exists()
        playing.terminate()
        playing.wait(20)
    assert not kubeconfig.exists()
    missing = subprocess.run(
        [*KAA, "record", str(path), "--kubeconfig", str(tmp_path / "gone")], capture_output=True, check=False
    )
    assert missing.returncode == 2
    home = {**os.environ, "KAA_HOME": str(tmp_path / "home")}
    unknown = subprocess.run(
        [*KAA, "record", str(tmp_path / "new"), "--name", "gone"], env=home, capture_output=True, text=True, check=False
    )
    assert 'no cluster "gone"' in unknown.stderr
    assert not (tmp_path / "new").exists()


def wait_for(holds, seconds: float = 30.0) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
