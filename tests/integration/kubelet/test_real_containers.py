"""The kubelet on the real runtime: real containers, volumes, logs, hooks and restarts; the API in this process."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.node import IMAGE, Node, node

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.client.rest import Client
from kaa.cri.runtime import RuntimeConfig, open_runtime
from kaa.kubelet.log_reader import LogOptions, read_log
from kaa.kubelet.loop import Kubelet
from kaa.kubelet.options import KubeletOptions
from kaa.lib.clock import WallClock

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(os.geteuid() != 0, reason="real containers need root")]

WAIT_SECONDS = 30.0


class Bench:
    def __init__(self, client: Client, place: Node) -> None:
        self.client, self.place, self.clock = client, place, WallClock()
        self.kubelet: Kubelet | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Kubelet]:
        """Runtime and kubelet, over the same directories each time."""
        runtime, images = open_runtime(RuntimeConfig(self.place.root, self.place.run), self.place.network, self.clock)
        await images.load_archive(self.place.archive)
        root = self.place.directory / "kubelet"
        options = KubeletOptions("n1", "172.30.0.2", root, cgroup_root=f"{self.place.cgroup}/kubepods")
        kubelet = Kubelet(self.client, runtime, images, self.clock, options)
        tasks = [asyncio.create_task(runtime.run()), asyncio.create_task(kubelet.run())]
        try:
            yield kubelet
        finally:
            for task in reversed(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def create(self, script: str, name: str = "web", spec: Object | None = None, **container: Any) -> None:
        box = {
            "name": "a",
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "command": ["/bin/sh", "-c", script],
            **container,
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": "x"}},
            "spec": {"nodeName": "n1", "containers": [box], "terminationGracePeriodSeconds": 1, **(spec or {})},
        }
        await self.client.create(pod)

    async def until(self, holds: Callable[[Object], Any], name: str = "web") -> Object:
        pod: Object = {}
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not holds(pod := await self.client.get("Pod", name, "default")):
                    await self.clock.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"waited in vain; the status is {pod.get('status')}")
        return pod

    async def delete(self, name: str = "web") -> None:
        await self.client.delete("Pod", name, "default")
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    await self.client.get("Pod", name, "default")
                except APIError as error:
                    if error.reason == "NotFound":
                        return
                    raise
                await self.clock.sleep(0.05)

    async def log(self, kubelet: Kubelet, name: str = "web") -> str:
        worker = kubelet.worker_named("default", name)
        assert worker is not None
        path = Path(worker.seen.containers[0].log_path)
        return b"".join([chunk async for chunk in read_log(path, LogOptions(), self.clock, lambda: False)]).decode()


@pytest.fixture
async def bench(client: Client) -> AsyncIterator[Bench]:
    with node() as place:
        yield Bench(client, place)


def phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


def state(pod: Object) -> Object:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    found: Object = statuses[0].get("state") or {}
    return found


def restarts(pod: Object) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    return int(statuses[0].get("restartCount", 0))


async def test_a_container_sees_what_its_pod_says(bench: Bench) -> None:
    """Environment, files, hosts, resolver, limits and termination message reach a real process."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}}
    await bench.client.create({**config, "data": {"k": "from the map"}})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}}
    await bench.client.create({**secret, "data": {"p": "aHVzaA=="}})
    script = "; ".join(
        [
            "echo $MODE $IP",
            "cat /c/k; echo",
            "cat /s/p; echo",
            "cat /etc/hosts /etc/resolv.conf",
            "id -u",
            "echo done > /dev/termination-log",
        ]
    )
    async with bench.running() as kubelet:
        await bench.create(
            script,
            spec={
                "restartPolicy": "Never",
                "volumes": [
                    {"name": "c", "configMap": {"name": "c"}},
                    {"name": "s", "secret": {"secretName": "s"}},
                    {"name": "e", "emptyDir": {}},
                ],
            },
            env=[
                {"name": "MODE", "value": "test"},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
            volumeMounts=[
                {"name": "c", "mountPath": "/c"},
                {"name": "s", "mountPath": "/s", "readOnly": True},
                {"name": "e", "mountPath": "/e"},
            ],
            securityContext={"runAsUser": 101},
            resources={"limits": {"cpu": "500m", "memory": "32Mi"}},
        )
        pod = await bench.until(lambda p: phase(p) in ("Succeeded", "Failed"))
        log = await bench.log(kubelet)
        assert phase(pod) == "Succeeded", (pod["status"], log)
        assert state(pod)["terminated"]["message"] == "done\n"
        lines = log.splitlines()
        assert lines[0] == f"test {pod['status']['podIP']}"
        assert lines[1:3] == ["from the map", "hush"]
        assert "# Kubernetes-managed hosts file." in lines
        assert f"{pod['status']['podIP']}\tweb" in lines
        assert lines[-1] == "101"
        await bench.delete()


async def test_restart_of_everything_keeps_the_container(bench: Bench) -> None:
    """Kubelet and runtime end and come back: the same container runs on, and the pod says the same of it."""
    async with bench.running():
        await bench.create("sleep 1000")
        before = await bench.until(lambda p: "running" in state(p))
    async with bench.running():
        await bench.clock.sleep(1)
        after = await bench.until(lambda p: "running" in state(p))
        assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
        await bench.delete()
    assert list((bench.place.directory / "kubelet" / "pods").iterdir()) == []


async def test_hooks_run_and_the_end_is_graceful(bench: Bench) -> None:
    """postStart before readiness, preStop before SIGTERM, and the grace period is not used up for nothing."""
    lifecycle = {
        "postStart": {"exec": {"command": ["/bin/sh", "-c", "echo post >> /e/log"]}},
        "preStop": {"exec": {"command": ["/bin/sh", "-c", "echo pre >> /e/log"]}},
    }
    script = "trap 'echo term >> /e/log; exit 0' TERM; while true; do sleep 0.1; done"
    host = bench.place.directory / "shared"
    host.mkdir()
    async with bench.running():
        await bench.create(
            script,
            spec={"volumes": [{"name": "e", "hostPath": {"path": str(host)}}], "terminationGracePeriodSeconds": 20},
            lifecycle=lifecycle,
            volumeMounts=[{"name": "e", "mountPath": "/e"}],
        )
        await bench.until(lambda p: "running" in state(p))
        begun = bench.clock.monotonic()
        await bench.delete()
        assert bench.clock.monotonic() - begun < 10
    assert (host / "log").read_text() == "post\npre\nterm\n"


async def test_a_command_that_does_not_exist(bench: Bench) -> None:
    """The container waits as RunContainerError or CrashLoopBackOff, and what was wrong is told."""
    async with bench.running():
        await bench.create("", command=["/no/such/file"])
        reasons = ("RunContainerError", "CrashLoopBackOff")
        await bench.until(lambda p: state(p).get("waiting", {}).get("reason") in reasons)
        await bench.clock.sleep(1)
        messages = [event["message"] for event in (await bench.client.list("Event", "default")).items]
        assert any("/no/such/file" in message for message in messages), messages
        await bench.delete()


async def test_failing_liveness_restarts(bench: Bench) -> None:
    """A real exec probe that fails ends the container; the next one has a restart count."""
    probe = {"exec": {"command": ["/bin/sh", "-c", "exit 1"]}, "periodSeconds": 1, "failureThreshold": 1}
    async with bench.running():
        await bench.create("sleep 1000", livenessProbe=probe)
        pod = await bench.until(lambda p: restarts(p) >= 1)
        assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
        await bench.delete()
