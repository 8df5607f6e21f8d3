"""`kill -9` of the API server in the middle of 1,000 concurrent writes, again and again.

Each round a real `kaa apiserver` is killed when some of the writes have been answered, and started anew. Then every
write that was answered must be there as it was answered; every other one must be there whole or not at all; and a
watch that takes up where it was cut must have seen each change once, in order, with none left out.

KAA_CRASHES=20 makes it twenty rounds a store (`make crash`).
"""

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.etcd_server import etcd_server, free_port, needs_etcd

from kaa.client.http import ssl_context
from kaa.client.kubeconfig import load_kubeconfig

CRASHES = int(os.environ.get("KAA_CRASHES", "2"))
WRITES = 1000
CONNECTIONS = 150  # below the server's limit of writes in flight
START_SECONDS = 30.0
CATCH_UP_SECONDS = 20.0

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


@asynccontextmanager
async def on_sqlite(directory: Path) -> AsyncIterator[list[str]]:
    yield []


@asynccontextmanager
async def on_etcd(directory: Path) -> AsyncIterator[list[str]]:
    async with etcd_server(directory) as url:
        yield ["--etcd-servers", url]


@asynccontextmanager
async def in_memory(directory: Path) -> AsyncIterator[list[str]]:
    pytest.skip("memory: the store lives as long as its process, so there is nothing to come back to")
    yield []


class Server:
    """The API server as a process, and clients of it that know nothing of crashes."""

    def __init__(self, directory: Path, arguments: list[str]) -> None:
        self.directory = directory
        self.port = free_port()
        self.arguments = ["--data-dir", str(directory), "--secure-port", str(self.port), *arguments]
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        program = [sys.executable, "-c", "from kaa.cli.main import main; main()", "apiserver", *self.arguments]
        with (self.directory / "apiserver.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(*program, stdout=log, stderr=log)
        async with asyncio.timeout(START_SECONDS):
            while not await self._is_ready():
                assert self.process.returncode is None, (self.directory / "apiserver.log").read_text()[-3000:]
                await asyncio.sleep(0.05)

    async def _is_ready(self) -> bool:
        kubeconfig = self.directory / "admin.kubeconfig"
        if not kubeconfig.exists():
            return False
        async with self.session() as session:
            try:
                async with session.get("/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

    def session(self, connections: int = 1) -> aiohttp.ClientSession:
        tls = ssl_context(load_kubeconfig(self.directory / "admin.kubeconfig"))
        connector = aiohttp.TCPConnector(limit=connections, ssl=tls)
        return aiohttp.ClientSession(f"https://127.0.0.1:{self.port}", connector=connector)

    async def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


@dataclass
class Write:
    """One write. `revision` is what the server answered: the object's; None if it answered nothing."""

    method: str
    name: str
    content: str
    acknowledged: bool = False
    revision: str = ""


class Observer:
    """A watch that goes on where it was cut. It keeps what it has been told, and what follows from that."""

    def __init__(self, server: Server, revision: str, state: dict[str, tuple[str, str]]) -> None:
        self.server = server
        self.revision = revision
        self.state = dict(state)
        self.told: dict[str, str] = {}  # revision -> name
        self._progress = asyncio.Event()

    async def run(self) -> None:
        while True:
            try:
                await self._watch()
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)

    async def _watch(self) -> None:
        query = {"watch": "1", "resourceVersion": self.revision, "allowWatchBookmarks": "true"}
        async with self.server.session() as session, session.get(CONFIGMAPS, params=query) as answer:
            if answer.status != 200:  # not ready yet
                return
            async for line in answer.content:
                if line.endswith(b"\n"):  # else cut by the crash
                    self._take(json.loads(line))

    def _take(self, event: dict[str, Any]) -> None:
        obj, type_ = event["object"], event["type"]
        assert type_ != "ERROR", f"the watch could not go on from {self.revision}: {obj}"
        revision, name = obj["metadata"]["resourceVersion"], obj["metadata"].get("name", "")
        if type_ == "BOOKMARK":
            assert int(revision) >= int(self.revision)
        else:
            assert int(revision) > int(self.revision), f"{type_} {name}: {revision} told after {self.revision}"
            assert (type_ == "ADDED") == (name not in self.state), f"{type_} {name}: a change is missing before it"
            self.told[revision] = name
            if type_ == "DELETED":
                del self.state[name]
            else:
                self.state[name] = content_of(obj), revision
        self.revision = revision
        self._progress.set()

    async def until(self, state: dict[str, tuple[str, str]]) -> None:
        """Returns when what it has been told amounts to that."""
        async with asyncio.timeout(CATCH_UP_SECONDS):
            while self.state != state:
                self._progress.clear()
                await self._progress.wait()


def content_of(obj: dict[str, Any]) -> str:
    """What was written; every part of an object says the same."""
    data = obj["data"]
    assert data["copy"] == data["content"]
    assert data["fill"] == data["content"] * 100
    return str(data["content"])


def writes_of(round_: int, state: dict[str, tuple[str, str]], rng: random.Random) -> Iterator[Write]:
    """A quarter updates, a quarter deletions, as far as there are objects; the rest creations. One write an object."""
    names = rng.sample(sorted(state), min(len(state), WRITES // 2))
    for i in range(WRITES):
        content = f"{round_}.{i}."
        if i < len(names):
            yield Write("PUT" if i % 2 else "DELETE", names[i], content)
        else:
            yield Write("POST", f"c-{round_}-{i}", content)


async def write_until_killed(server: Server, writes: list[Write], answers: int) -> None:
    """Sends all at once, and kills the server when that many have been answered."""
    enough = asyncio.Event()
    answered = 0

    async def send(session: aiohttp.ClientSession, write: Write) -> None:
        nonlocal answered
        path = CONFIGMAPS if write.method == "POST" else f"{CONFIGMAPS}/{write.name}"
        data = {"content": write.content, "copy": write.content, "fill": write.content * 100}
        body = {"metadata": {"name": write.name}, "data": data} if write.method != "DELETE" else None
        try:
            async with session.request(write.method, path, json=body) as answer:
                obj = await answer.json()
        except (aiohttp.ClientError, ValueError):
            return
        assert answer.status in (200, 201), obj
        write.acknowledged = True
        if write.method != "DELETE":
            write.revision = obj["metadata"]["resourceVersion"]
        answered += 1
        if answered >= answers:
            enough.set()

    async def kill() -> None:
        await enough.wait()
        await server.kill()

    async with server.session(CONNECTIONS) as session, asyncio.TaskGroup() as tasks:
        tasks.create_task(kill())
        for write in writes:
            tasks.create_task(send(session, write))


async def listed(server: Server) -> tuple[str, dict[str, tuple[str, str]]]:
    """The revision, and name -> (content, resourceVersion)."""
    async with server.session() as session, session.get(CONFIGMAPS) as answer:
        found = await answer.json()
    items = found["items"]
    state = {item["metadata"]["name"]: (content_of(item), item["metadata"]["resourceVersion"]) for item in items}
    return found["metadata"]["resourceVersion"], state


def check_write(write: Write, before: tuple[str, str] | None, after: tuple[str, str] | None) -> None:
    """Acknowledged: there, as it was answered. Else: there, or as before, and nothing between."""
    if write.acknowledged:
        wanted = None if write.method == "DELETE" else (write.content, write.revision)
        assert after == wanted, f"acknowledged {write} is lost"
    elif after != before:
        assert after is None if write.method == "DELETE" else after is not None and after[0] == write.content, write


@pytest.mark.parametrize("store", [on_sqlite, pytest.param(on_etcd, marks=needs_etcd), in_memory])
async def test_no_answered_write_is_lost_and_no_watch_has_a_gap(tmp_path: Path, store: Any) -> None:
    """What `kubectl` was told is true after a power cut, and informers go on without a new list."""
    rng = random.Random(7)
    opened: AbstractAsyncContextManager[list[str]] = store(tmp_path)
    async with opened as arguments:
        server = Server(tmp_path, arguments)
        try:
            await server.start()
            revision, state = await listed(server)
            observer = Observer(server, revision, state)
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(observer.run())
                for round_ in range(CRASHES):
                    writes = list(writes_of(round_, state, rng))
                    await write_until_killed(server, writes, rng.randrange(50, WRITES - 200))
                    assert not all(write.acknowledged for write in writes)
                    before = state
                    await server.start()
                    revision, state = await listed(server)
                    for write in writes:
                        check_write(write, before.get(write.name), state.get(write.name))
                    await observer.until(state)
                    for write in writes:
                        assert not write.revision or observer.told[write.revision] == write.name
                watching.cancel()
        finally:
            await server.kill()
