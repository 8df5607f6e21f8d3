"""`python -m bench.scale`: thousands of simulated nodes and pods through the real API server. Needs root.

A cluster of processes of its own (`kaa up --simulated-nodes`), TLS and all; this program is a client beside it. It
writes its section of docs/BENCHMARKS.md and leaves the others alone.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson
from tests.e2e.running import RunningCluster, new_cluster

from bench.report import BENCHMARKS, SCALE_HEADING, machine, with_section
from bench.target import cpu_seconds
from kaa.api.objects import Object, condition, name_of
from kaa.client.http import HTTPTransport
from kaa.client.kubeconfig import load_kubeconfig
from kaa.client.rest import Client

NODES = 5_000
DEPLOYMENTS = 20
REPLICAS = 500
LIMIT_SECONDS = 600.0
NODES_LIMIT, PODS_LIMIT, DELETED_LIMIT = 60, 60, 90

PODS_LEFT_SECONDS = 0.25
"""Between looks at how many pods are left."""


@dataclass(frozen=True, slots=True)
class Phase:
    """`cpu` and `memory_bytes` (PSS) by component; CPU is that of this phase, memory that at its end."""

    seconds: float
    cpu: dict[str, float]
    memory_bytes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Found:
    nodes_ready: Phase
    pods_running: Phase
    pods_deleted: Phase


class Scale:
    def __init__(self, cluster: RunningCluster, client: Client) -> None:
        self._cluster = cluster
        self._client = client
        self._cpu: dict[str, float] = {}

    def phase(self, began: float) -> Phase:
        """What has been used since the last one."""
        seconds = time.perf_counter() - began
        before, self._cpu = self._cpu, self._cpu_now()
        used = {name: value - before.get(name, 0.0) for name, value in self._cpu.items()}
        memory = {c["name"]: c["memory_bytes"] for c in self._components()}
        return Phase(seconds, used, memory)

    def _components(self) -> list[dict[str, Any]]:
        return [c for c in self._cluster.status()["components"] if c["pid"]]

    def _cpu_now(self) -> dict[str, float]:
        return {c["name"]: cpu_seconds(c["pid"]) for c in self._components()}

    async def until(self, kind: str, value: Callable[[Object], int], wanted: int, namespace: str | None = None) -> None:
        """Follows a collection until its objects' values come to so much together."""
        listed = await self._client.list(kind, namespace)
        values = {name_of(obj): value(obj) for obj in listed.items}
        total = sum(values.values())
        watch = self._client.watch_lines(kind, namespace, resource_version=listed.resource_version)
        async with asyncio.timeout(LIMIT_SECONDS):
            while total != wanted:
                event = orjson.loads(await anext(watch))
                if event["type"] == "BOOKMARK":
                    continue
                name = name_of(event["object"])
                new = 0 if event["type"] == "DELETED" else value(event["object"])
                total += new - values.get(name, 0)
                values[name] = new

    async def nodes_ready(self) -> None:
        await self.until("Node", lambda node: int(_is_ready(node)), NODES)

    async def deploy(self) -> None:
        for number in range(DEPLOYMENTS):
            await self._client.create(deployment(f"web-{number}"))
        await self.until("Deployment", _ready_replicas, DEPLOYMENTS * REPLICAS, "default")

    async def delete(self) -> None:
        for number in range(DEPLOYMENTS):
            await self._client.delete("Deployment", f"web-{number}", "default")
        path = self._client.resource("Pod").path("default")
        async with asyncio.timeout(LIMIT_SECONDS):
            while True:
                if not (await self._client.call("GET", path, query=[("limit", "1")]))["items"]:
                    return
                await asyncio.sleep(PODS_LEFT_SECONDS)


def _is_ready(node: Object) -> bool:
    """As the scheduler sees it: with no taint left of the time before."""
    found = condition((node.get("status") or {}).get("conditions"), "Ready")
    return found is not None and found["status"] == "True" and not node["spec"].get("taints")


def _ready_replicas(found: Object) -> int:
    return int((found.get("status") or {}).get("readyReplicas", 0))


def deployment(name: str) -> Object:
    labels = {"app": name}
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    container = {"name": "web", "image": "example.com/web:1", "resources": resources}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


async def measure(cluster: RunningCluster, say: Callable[[str], None]) -> Found:
    """Brings the cluster up, and leaves it up."""
    began = time.perf_counter()
    cluster.kaa("up", "--name", cluster.name, "--isolated", "--simulated-nodes", str(NODES))
    async with _client(cluster) as client:
        scale = Scale(cluster, client)
        await scale.nodes_ready()
        nodes = scale.phase(began)
        say(f"{NODES} nodes Ready: {nodes.seconds:.1f} s")
        began = time.perf_counter()
        await scale.deploy()
        pods = scale.phase(began)
        say(f"{DEPLOYMENTS * REPLICAS} pods Running: {pods.seconds:.1f} s")
        began = time.perf_counter()
        await scale.delete()
        deleted = scale.phase(began)
        say(f"deleted: {deleted.seconds:.1f} s")
        return Found(nodes, pods, deleted)


@asynccontextmanager
async def _client(cluster: RunningCluster) -> AsyncIterator[Client]:
    client = Client(HTTPTransport.from_config(load_kubeconfig(cluster.directory / "kubeconfig")))
    try:
        yield client
    finally:
        await client.close()


def section(found: Found, load: tuple[float, float]) -> Iterator[str]:
    pods = DEPLOYMENTS * REPLICAS
    yield f"Written by `make bench-scale` on {datetime.now(UTC):%Y-%m-%d}. {machine()}."
    yield f"Load of the machine (one minute) {load[0]:.1f} before the run, {load[1]:.1f} after it."
    yield ""
    yield f"`kaa up --simulated-nodes {NODES}`: API server on SQLite, controllers with scheduler, and the nodes'"
    yield "process, over TLS; the client beside them. The limits are kwok's own for its simulated nodes."
    yield f"{DEPLOYMENTS} Deployments of {REPLICAS} pods each. CPU in seconds, memory (PSS) at the end: API server /"
    yield "controllers with scheduler / nodes."
    yield ""
    yield "| | seconds | limit | CPU | memory |"
    yield "|---|---|---|---|---|"
    for name, phase, limit in (
        (f"{NODES} nodes Ready, from `kaa up` on", found.nodes_ready, NODES_LIMIT),
        (f"{pods} pods of Deployments Running and Ready", found.pods_running, PODS_LIMIT),
        (f"{pods} pods deleted with their Deployments", found.pods_deleted, DELETED_LIMIT),
    ):
        cpu = " / ".join(f"{phase.cpu.get(part, 0.0):.1f}" for part in PARTS)
        memory = " / ".join(f"{phase.memory_bytes.get(part, 0) / 1e6:.0f}" for part in PARTS)
        yield f"| {name} | {phase.seconds:.1f} | {limit} | {cpu} | {memory} MB |"


PARTS = ("apiserver", "controllers", "simulated-nodes")


@click.command()
@click.option("--output", type=click.Path(path_type=Path), default=BENCHMARKS, show_default=True)
def main(output: Path) -> None:
    """Measure how fast thousands of simulated nodes and pods come and go."""
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="kaa-bench-") as directory:
        cluster = new_cluster("scale", Path(directory))
        try:
            found = asyncio.run(measure(cluster, click.echo))
        finally:
            cluster.down()
    text = "\n".join(section(found, (load_before, os.getloadavg()[0])))
    output.write_text(with_section(output.read_text(), SCALE_HEADING, text))
    click.echo(text)


if __name__ == "__main__":
    main()
