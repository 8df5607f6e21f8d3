"""What a request costs the API server in CPU time, beside what upstream's costs (API server and etcd, v1.37.2).

    python bench/api_server.py

The server is a process of its own: SQLite store, TLS, client certificates, RBAC, admission. Only its CPU time counts,
which noise on the machine hardly moves.
"""

import asyncio
import multiprocessing
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
import uvloop

from kaa.api.objects import Object
from kaa.cluster.certificates import ADMIN, ensure_pki, make_client, read_pair
from kaa.cluster.uvloop_runner import run_until_signal
from kaa.lib.clock import WallClock
from kaa.server.main import ServerOptions, run_apiserver

JSON = "application/json"
PORT = 17643
PODS = 5000
WATCHERS = 500

UPSTREAM = {
    "GET a pod": "358-417 us",
    "LIST 5,000 pods": "138 ms",
    "LIST one page of 500": "15-20 ms",
    "create a pod": "1.3-1.5 ms",
    "merge-patch a ConfigMap": "1.0-1.1 ms",
    "apply a ConfigMap": "1.2-1.3 ms",
    "a watch event to one of 500": "25-27 us",
    "resident, idle": "305 + 42 MB",
}


def pod(index: int) -> Object:
    """About what a controller makes: 3.3 KB once it has its defaults and service-account volume."""
    return {
        "metadata": {"name": f"pod-{index}", "labels": {"app": "web", "tier": "front"}},
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": "registry.example.com/team/web:1.2.3",
                    "ports": [{"containerPort": 8080, "name": "http"}],
                    "env": [{"name": f"VARIABLE_{n}", "value": "x" * 24} for n in range(12)],
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                    "livenessProbe": {"httpGet": {"path": "/alive", "port": "http"}},
                }
            ],
        },
    }


def serve(directory: str) -> None:
    options = ServerOptions(data_dir=Path(directory), secure_port=PORT)
    run_until_signal(lambda: run_apiserver(options, WallClock()))


@dataclass(slots=True)
class Server:
    """The server's process, as seen from outside."""

    pid: int
    session: aiohttp.ClientSession

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024

    async def send(
        self, method: str, path: str, body: Object | None = None, content_type: str = "application/json"
    ) -> bytes:
        data = orjson.dumps(body) if body is not None else None
        headers = {"content-type": content_type, "accept": JSON}
        url = f"https://127.0.0.1:{PORT}{path}"
        async with self.session.request(method, url, data=data, headers=headers) as answer:
            content = await answer.read()
            assert answer.status < 300, content
            return content

    async def cost(self, times: int, work: Callable[[int], Awaitable[object]]) -> float:
        """Seconds of the server's CPU for each of so many requests."""
        before = self.cpu_seconds()
        for index in range(times):
            await work(index)
        return (self.cpu_seconds() - before) / times


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Server]:
    clock = WallClock()
    pki = ensure_pki(directory, ["127.0.0.1"], clock)
    admin = make_client(read_pair(pki, "ca"), ADMIN, clock.now(), clock.random)
    (directory / "admin.pem").write_bytes(admin.certificate + admin.key)
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(directory / "admin.pem")
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(str(directory),))
    process.start()
    assert process.pid is not None
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        server = Server(process.pid, session)
        async with asyncio.timeout(20):
            while True:
                try:
                    await server.send("GET", "/readyz")
                    break
                except aiohttp.ClientError:
                    await clock.sleep(0.05)
        try:
            yield server
        finally:
            process.terminate()
            await asyncio.to_thread(process.join)


async def watch_cost(server: Server) -> float:
    """CPU of one event for one watcher, when 500 watch the same."""
    ready = asyncio.Semaphore(0)
    events = 100

    async def follow() -> None:
        url = f"https://127.0.0.1:{PORT}/api/v1/namespaces/default/secrets?watch=true"
        async with server.session.get(url, timeout=aiohttp.ClientTimeout(None)) as answer:
            ready.release()
            left = events
            while left:
                await answer.content.readline()
                left -= 1

    tasks = [asyncio.create_task(follow()) for _ in range(WATCHERS)]
    for _ in range(WATCHERS):
        await ready.acquire()
    before = server.cpu_seconds()
    for index in range(events):
        body: Object = {"metadata": {"name": f"s-{index}"}, "stringData": {"k": "v" * 400}}
        await server.send("POST", "/api/v1/namespaces/default/secrets", body)
    await asyncio.gather(*tasks)
    return (server.cpu_seconds() - before) / (events * WATCHERS)


async def measure(server: Server) -> dict[str, str]:
    namespaced = "/api/v1/namespaces/default"
    found = {"resident, idle": f"{server.resident_mb():.0f} MB"}
    await server.send("POST", f"{namespaced}/serviceaccounts", {"metadata": {"name": "default"}})
    await server.send("POST", f"{namespaced}/configmaps", {"metadata": {"name": "c"}, "data": {"k": "v"}})
    seconds = await server.cost(PODS, lambda i: server.send("POST", f"{namespaced}/pods", pod(i)))
    found["create a pod"] = f"{seconds * 1e6:.0f} us"
    seconds = await server.cost(5000, lambda i: server.send("GET", f"{namespaced}/pods/pod-{i % PODS}"))
    found["GET a pod"] = f"{seconds * 1e6:.0f} us"
    seconds = await server.cost(50, lambda i: server.send("GET", "/api/v1/pods"))
    found["LIST 5,000 pods"] = f"{seconds * 1e3:.1f} ms"
    seconds = await server.cost(200, lambda i: server.send("GET", "/api/v1/pods?limit=500"))
    found["LIST one page of 500"] = f"{seconds * 1e3:.2f} ms"
    merge = "application/merge-patch+json"
    seconds = await server.cost(
        2000, lambda i: server.send("PATCH", f"{namespaced}/configmaps/c", {"data": {"k": str(i)}}, merge)
    )
    found["merge-patch a ConfigMap"] = f"{seconds * 1e6:.0f} us"
    apply = "application/apply-patch+yaml"
    applied: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}}
    seconds = await server.cost(
        2000,
        lambda i: server.send(
            "PATCH", f"{namespaced}/configmaps/applied?fieldManager=bench", {**applied, "data": {"k": str(i)}}, apply
        ),
    )
    found["apply a ConfigMap"] = f"{seconds * 1e6:.0f} us"
    found["a watch event to one of 500"] = f"{await watch_cost(server) * 1e6:.1f} us"
    return found


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with running(Path(directory)) as server:
            found = await measure(server)
    print(f"{'CPU of the server':30}{'Kaa':>12}{'upstream':>16}")
    for row, upstream in UPSTREAM.items():
        print(f"{row:30}{found[row]:>12}{upstream:>16}")


if __name__ == "__main__":
    uvloop.run(main())
