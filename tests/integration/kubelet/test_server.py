"""The kubelet's HTTP API over TLS: who may use it, and what it answers."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from kaa.client.rest import Client
from kaa.cluster.certificates import Identity, ensure_node_serving, ensure_pki, make_client, read_pair
from kaa.cluster.simulation.images import Images
from kaa.cluster.simulation.simulated_nodes import NodeSize, SimulatedHost
from kaa.cri.simulated import SimulatedRuntime
from kaa.kubelet.loop import Kubelet
from kaa.kubelet.options import KubeletOptions
from kaa.lib.clock import WallClock


class LoggingRuntime(SimulatedRuntime):
    """Containers write one line when they start; exec is served by a small streaming server."""

    stream_url = ""

    def __init__(self, clock: WallClock) -> None:
        super().__init__(clock)
        self.execs: list[dict[str, Any]] = []

    async def start_container(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = await super().start_container(request)
        status = (await self.container_status(request))["status"]
        Path(status["log_path"]).write_text("2030-01-01T00:00:00.000000001Z stdout F hello\n")
        return answer

    async def exec(self, request: dict[str, Any]) -> dict[str, Any]:
        self.execs.append(request)
        return {"url": self.stream_url}


class Bench:
    def __init__(self, base: str, pki: Path, runtime: LoggingRuntime, client: Client) -> None:
        self.base, self.pki, self.runtime, self.client = base, pki, runtime, client

    def context(self, identity: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        context.check_hostname = False
        if identity:
            context.load_cert_chain(self.pki / f"{identity}.crt", self.pki / f"{identity}.key")
        return context

    async def until_running(self) -> None:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"nodeName": "n1", "containers": [{"name": "a", "image": "app:1"}]},
        }
        await self.client.create(pod)
        async with asyncio.timeout(10):
            while ((await self.client.get("Pod", "web", "default")).get("status") or {}).get("phase") != "Running":
                await WallClock().sleep(0.05)

    async def get(self, path: str, identity: str | None = "apiserver-kubelet-client") -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.base + path, ssl=self.context(identity)) as answer,
        ):
            return answer.status, await answer.text()


@asynccontextmanager
async def bench_in(directory: Path, client: Client) -> AsyncIterator[Bench]:
    clock = WallClock()
    pki = ensure_pki(directory, ["127.0.0.1"], clock)
    ensure_node_serving(pki, pki, "n1", ["127.0.0.1"], clock)
    stranger = make_client(read_pair(pki, "ca"), Identity("somebody"), clock.now(), clock.random)
    (pki / "somebody.crt").write_bytes(stranger.certificate)
    (pki / "somebody.key").write_bytes(stranger.key)
    runtime = LoggingRuntime(clock)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = KubeletOptions(
        "n1",
        "127.0.0.1",
        directory / "kubelet",
        serving_cert=pki / "kubelet.crt",
        serving_key=pki / "kubelet.key",
        client_ca=pki / "ca.crt",
        port=port,
        capacity={"cpu": "2", "memory": "4Gi"},
    )
    kubelet = Kubelet(
        client, runtime, runtime.images, clock, options, SimulatedHost("n1", NodeSize(), directory, Images())
    )
    task = asyncio.create_task(kubelet.run())
    try:
        bench = Bench(f"https://127.0.0.1:{port}", pki, runtime, client)
        await bench.until_running()
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def bench(client: Client, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_in(tmp_path, client) as made:
        yield made


async def test_only_the_api_server_is_served(bench: Bench) -> None:
    """No certificate is 401, somebody else's of the same authority is 403."""
    assert (await bench.get("/healthz"))[0] == 200
    assert (await bench.get("/healthz", None))[0] == 401
    assert (await bench.get("/healthz", "somebody"))[0] == 403


async def test_logs(bench: Bench) -> None:
    """A running container's log; what is not there is refused with upstream's texts."""
    assert await bench.get("/containerLogs/default/web/a") == (200, "hello\n")
    status, text = await bench.get("/containerLogs/default/web/a?previous=true")
    assert (status, text) == (400, 'previous terminated container "a" in pod "web" not found')
    assert (await bench.get("/containerLogs/default/none/a"))[0] == 404
    assert (await bench.get("/containerLogs/default/web/a?tailLines=x"))[0] == 400


async def test_following_a_log_ends_with_the_container(bench: Bench) -> None:
    """`kubectl logs -f` comes back when there is nothing more to come."""
    following = asyncio.create_task(bench.get("/containerLogs/default/web/a?follow=true"))
    await asyncio.sleep(0.3)
    assert not following.done()
    container = (await bench.runtime.list_containers({}))["containers"][0]
    bench.runtime.exit(container["id"], 0)
    async with asyncio.timeout(5):
        assert await following == (200, "hello\n")


async def test_pods_and_statistics(bench: Bench) -> None:
    """The other read-only paths answer for the pod that runs."""
    _, pods = await bench.get("/pods")
    assert [pod["metadata"]["name"] for pod in orjson.loads(pods)["items"]] == ["web"]
    _, summary = await bench.get("/stats/summary")
    assert orjson.loads(summary)["pods"][0]["podRef"]["name"] == "web"
    _, metrics = await bench.get("/metrics/resource")
    tags = 'container="a",namespace="default",pod="web"'
    assert f"container_memory_working_set_bytes{{{tags}}} 1000000" in metrics
    assert "kubelet_running_pods 1" in (await bench.get("/metrics"))[1]


async def test_exec_passes_bytes_both_ways(bench: Bench) -> None:
    """The upgraded connection is the runtime's: its answer, then bytes in both directions, then the end."""

    async def runtime_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"POST /exec/token HTTP/1.1\r\n")
        assert b"X-Stream-Protocol-Version: v5.channel.k8s.io" in head
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
        while data := await reader.read(100):
            writer.write(data.upper())
        writer.close()

    server = await asyncio.start_server(runtime_stream, "127.0.0.1", 0)
    bench.runtime.stream_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/exec/token"
    host, port = bench.base.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=bench.context("apiserver-kubelet-client"))
    path = "/exec/default/web/a?command=cat&command=x&input=1&output=1&error=1&tty=1"
    upgrade = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v5.channel.k8s.io\r\n"
    writer.write(f"POST {path} HTTP/1.1\r\nHost: n1\r\n{upgrade}Content-Length: 0\r\n\r\n".encode())
    async with asyncio.timeout(5):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"HELLO"
    writer.close()
    server.close()
    (request,) = bench.runtime.execs
    assert request["cmd"] == ["cat", "x"]
    assert (request["stdin"], request["stdout"], request["stderr"], request["tty"]) == (True, True, False, True)
    assert (await bench.get("/exec/default/web/none?command=x&output=1"))[0] == 404
