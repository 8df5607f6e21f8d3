"""What a whole one-node cluster with real containers costs: to start, to idle, and to run pods. Needs root.

The cluster is called `bench`, has a home of its own, no way out of the machine, and is gone afterwards.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from tests.e2e.running import IMAGE, RunningCluster, load_image, new_cluster

from bench.target import Latency, Target, connected, cpu_seconds
from kaa.api.objects import Object
from kaa.client.kubeconfig import load_kubeconfig

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
SINGLE_PODS = 10
REPLICAS = 30
DEPLOYMENTS_MEASURED = 3
SETTLE_SECONDS = 3.0
"""After the cluster is up, before it counts as idle."""
IDLE_SECONDS = 10.0

WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    up_seconds: float
    idle_pss_bytes: int
    idle_cpu_cores: float
    pod_running: Latency
    deployment_ready_seconds: float
    deployment_cpu_seconds: float
    deployment_deleted_seconds: float


def measure() -> Found:
    with tempfile.TemporaryDirectory(prefix="kaa-bench-") as directory:
        cluster = new_cluster("bench", Path(directory))
        began = time.perf_counter()
        try:
            cluster.up()
            up_seconds = time.perf_counter() - began
            load_image(cluster, Path(directory))
            return asyncio.run(_measure(cluster, up_seconds))
        finally:
            cluster.down()


async def _measure(cluster: RunningCluster, up_seconds: float) -> Found:
    components = cluster.status()["components"]
    pids = [component["pid"] for component in components]
    async with connected(load_kubeconfig(cluster.directory / "kubeconfig"), pids) as target:
        await _until(target, ACCOUNTS, lambda accounts: "default" in accounts)
        await asyncio.sleep(SETTLE_SECONDS)
        before = target.cpu_seconds()
        await asyncio.sleep(IDLE_SECONDS)
        idle_cpu_cores = (target.cpu_seconds() - before) / IDLE_SECONDS
        idle_pss_bytes = sum(component["memory_bytes"] for component in cluster.status()["components"])
        running = [await _pod_running(target, f"single-{index}") for index in range(SINGLE_PODS)]
        deployed = sorted([await _deployment(target, f"many-{index}") for index in range(DEPLOYMENTS_MEASURED)])
    ready, cpu, deleted = deployed[DEPLOYMENTS_MEASURED // 2]
    return Found(up_seconds, idle_pss_bytes, idle_cpu_cores, Latency.of(running), ready, cpu, deleted)


async def _pod_running(target: Target, name: str) -> float:
    """Seconds from the request until the API says Running; the pod is gone again afterwards."""
    began = time.perf_counter()
    await target.send("POST", PODS, {"metadata": {"name": name}, "spec": _pod_spec()})
    await _until(target, PODS, lambda pods: pods[name].get("status", {}).get("phase") == "Running")
    seconds = time.perf_counter() - began
    await target.send("DELETE", f"{PODS}/{name}")
    await _until(target, PODS, lambda pods: name not in pods)
    return seconds


async def _deployment(target: Target, name: str) -> tuple[float, float, float]:
    """Seconds until all replicas are Ready, CPU seconds of all components until then, seconds until all are gone."""
    labels = {"app": name}
    spec: Object = {
        "replicas": REPLICAS,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": _pod_spec()},
    }
    before, began = _cpu(target.pids), time.perf_counter()
    await target.send("POST", DEPLOYMENTS, {"metadata": {"name": name}, "spec": spec})
    await _until(target, DEPLOYMENTS, lambda found: found[name].get("status", {}).get("readyReplicas") == REPLICAS)
    ready, cpu = time.perf_counter() - began, _cpu(target.pids) - before
    began = time.perf_counter()
    await target.send("DELETE", f"{DEPLOYMENTS}/{name}")
    await _until(target, PODS, lambda pods: not pods)
    return ready, cpu, time.perf_counter() - began


def _pod_spec() -> Object:
    """A container that only waits, and ends when it is asked to, as a pause container does."""
    script = "trap 'exit 0' TERM; sleep 1000000 & wait"
    return {"containers": [{"name": "pause", "image": IMAGE, "command": ["sh", "-c", script]}]}


def _cpu(pids: Sequence[int]) -> float:
    """Of the components and of the programs they ran, not of the containers."""
    return sum(cpu_seconds(pid) for pid in pids)


async def _until(target: Target, path: str, done: Callable[[dict[str, Any]], bool]) -> None:
    """Follows a collection, by name, until it is as wanted."""
    listed = orjson.loads(await target.send("GET", path))
    objects = {item["metadata"]["name"]: item for item in listed["items"]}
    async with asyncio.timeout(WAIT_SECONDS):
        watch = await target.watch(path, listed["metadata"]["resourceVersion"])
        async with watch:
            while not done(objects):
                event = orjson.loads(await watch.content.readline())
                name = event["object"]["metadata"]["name"]
                objects.pop(name, None)
                if event["type"] != "DELETED":
                    objects[name] = event["object"]
