"""The API server under measurement: any that a kubeconfig names, or one of Kaa's that is started for it.

What counts is the CPU time of the server's processes: noise on the machine hardly moves it. The client is the same for
every server, and its own CPU is never counted; latency is what it sees, on a machine that both share.
"""

import asyncio
import multiprocessing
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from kaa.api.objects import Object
from kaa.client.http import ssl_context
from kaa.client.kubeconfig import ClientConfig
from kaa.cluster.certificates import ADMIN, ensure_pki, make_client, read_pair
from kaa.cluster.uvloop_runner import run_until_signal
from kaa.lib.clock import WallClock
from kaa.server.main import ServerOptions, run_apiserver

JSON = "application/json"
START_SECONDS = 20.0
ROUNDS = 5
"""In which the operations of a row are done; a row's number is a multiple of it."""

ANY_TIME = aiohttp.ClientTimeout(None)


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of one kind of work, as its client saw them."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Latency":
        ordered = sorted(seconds)
        return cls(ordered[len(ordered) // 2], ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)])


@dataclass(frozen=True, slots=True)
class Cost:
    """One operation: the server's CPU seconds (None: its processes are not known), and the latency."""

    cpu_seconds: float | None
    latency: Latency


@dataclass(frozen=True, slots=True)
class Target:
    """A server as seen from outside. Without `pids` there is latency, but neither CPU nor memory."""

    config: ClientConfig
    session: aiohttp.ClientSession
    pids: Sequence[int]

    def cpu_seconds(self) -> float:
        return sum(threads_cpu_seconds(pid) for pid in self.pids)

    def resident_bytes(self) -> int:
        return sum(resident_bytes(pid) for pid in self.pids)

    async def send(self, method: str, path: str, body: Object | None = None, content_type: str = JSON) -> bytes:
        data = orjson.dumps(body) if body is not None else None
        headers = {"content-type": content_type, "accept": JSON, "accept-encoding": "identity"}
        async with self.session.request(method, self.config.server + path, data=data, headers=headers) as answer:
            content = await answer.read()
            assert answer.status < 300, content
            return content

    async def watch(self, path: str, resource_version: str) -> aiohttp.ClientResponse:
        """A watch of what comes after that version. The caller closes it."""
        url = f"{self.config.server}{path}?watch=true&resourceVersion={resource_version}"
        return await self.session.get(url, headers={"accept": JSON}, timeout=ANY_TIME)

    async def resource_version(self, path: str) -> str:
        """Of a collection, now."""
        version: str = orjson.loads(await self.send("GET", path))["metadata"]["resourceVersion"]
        return version

    async def cost(self, times: int, work: Callable[[int], Awaitable[object]]) -> Cost:
        """Of so many operations, one after the other, in rounds."""
        rounds: list[float] = []
        latencies: list[float] = []
        each = times // ROUNDS
        for start in range(0, times, each):
            before = self.cpu_seconds()
            for index in range(start, start + each):
                began = time.perf_counter()
                await work(index)
                latencies.append(time.perf_counter() - began)
            rounds.append((self.cpu_seconds() - before) / each)
        return self.cost_of(rounds, latencies)

    def cost_of(self, rounds: list[float], latencies: list[float]) -> Cost:
        """CPU is that of the cheapest round: what else happens on the machine only adds to it."""
        return Cost(min(rounds) if self.pids else None, Latency.of(latencies))


def threads_cpu_seconds(pid: int) -> float:
    """Of the threads that the process has now, to the nanosecond."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def cpu_seconds(pid: int) -> float:
    """Of the process and of the children that it has waited for, to a hundredth of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) * 1024


@asynccontextmanager
async def connected(config: ClientConfig, pids: Sequence[int]) -> AsyncIterator[Target]:
    """The server of a kubeconfig: CPU and memory are those of `pids`, its processes on this machine."""
    connector = aiohttp.TCPConnector(ssl=ssl_context(config) or False, limit=0)
    headers = {"authorization": f"Bearer {config.token}"} if config.token else {}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield Target(config, session, pids)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def serve(directory: str, port: int) -> None:
    options = ServerOptions(data_dir=Path(directory), secure_port=port)
    run_until_signal(lambda: run_apiserver(options, WallClock()))


@asynccontextmanager
async def started(directory: Path) -> AsyncIterator[Target]:
    """A server of Kaa's in a process of its own: SQLite store, TLS, client certificates, RBAC, admission."""
    clock, port = WallClock(), free_port()
    pki = ensure_pki(directory, ["127.0.0.1"], clock)
    admin = make_client(read_pair(pki, "ca"), ADMIN, clock.now(), clock.random)
    config = ClientConfig(
        server=f"https://127.0.0.1:{port}",
        ca=(pki / "ca.crt").read_bytes(),
        client_certificate=admin.certificate,
        client_key=admin.key,
    )
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(str(directory), port))
    process.start()
    assert process.pid is not None
    try:
        async with connected(config, [process.pid]) as target:
            await ready(target)
            yield target
    finally:
        process.terminate()
        await asyncio.to_thread(process.join)


async def ready(target: Target) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                await target.send("GET", "/readyz")
                return
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)
