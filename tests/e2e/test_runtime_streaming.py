"""The runtime's streaming protocols, spoken by small clients over real connections to real containers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import orjson
import pytest

from kaa.cri.remotecommand import CLOSE, ERROR, RESIZE, STDERR, STDIN, STDOUT
from kaa.cri.runtime import Runtime, RuntimeConfig, open_runtime
from kaa.cri.spdy import DataReceived, SpdyFraming
from kaa.lib.clock import WallClock
from tests.fakes.node import Node, container_config, node

V5 = "v5.channel.k8s.io"


class Place:
    """A runtime with one pod on it."""

    def __init__(self, place: Node, runtime: Runtime, sandbox_id: str, config: dict[str, object]) -> None:
        self.node, self.runtime, self.sandbox_id, self._config = place, runtime, sandbox_id, config

    async def start(self, *command: str, **more: object) -> str:
        config = container_config(f"c{self.node.pods}", *command, **more)
        self.node.pods += 1
        request = {"pod_sandbox_id": self.sandbox_id, "config": config, "sandbox_config": self._config}
        container = str((await self.runtime.create_container(request))["container_id"])
        await self.runtime.start_container({"container_id": container})
        return container

    async def exec_url(self, container: str, *cmd: str, **options: bool) -> str:
        request = {"container_id": container, "cmd": list(cmd), "stdout": True, "stderr": True} | options
        return str((await self.runtime.exec(request))["url"])


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    with node() as made:
        runtime, images = open_runtime(RuntimeConfig(made.root, made.run), made.network, WallClock())
        await images.load_archive(made.archive)
        running = asyncio.create_task(runtime.run())
        config = made.sandbox_config()
        sandbox_id = (await runtime.run_pod_sandbox({"config": config}))["pod_sandbox_id"]
        yield Place(made, runtime, sandbox_id, config)
        await runtime.remove_pod_sandbox({"pod_sandbox_id": sandbox_id})
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def to_end(socket: aiohttp.ClientWebSocketResponse) -> tuple[bytes, bytes, dict[str, object]]:
    """(stdout, stderr, Status) of all that still comes."""
    received = {STDOUT: b"", STDERR: b"", ERROR: b""}
    async with asyncio.timeout(10):
        async for message in socket:
            received[message.data[0]] += message.data[1:]
    return received[STDOUT], received[STDERR], orjson.loads(received[ERROR])


async def test_exec_over_a_websocket(place: Place, http: aiohttp.ClientSession) -> None:
    """Protects kubectl exec: input with its end, both outputs, and the exit code in the Status."""
    container = await place.start("sleep", "100")
    url = await place.exec_url(container, "sh", "-c", "cat; echo err >&2; exit 5", stdin=True)
    async with http.ws_connect(url, protocols=[V5]) as socket:
        assert socket.protocol == V5
        await socket.send_bytes(bytes((STDIN,)) + b"hello ")
        await socket.send_bytes(bytes((STDIN,)) + b"world")
        await socket.send_bytes(bytes((CLOSE, STDIN)))
        stdout, stderr, status = await to_end(socket)
    assert (stdout, stderr) == (b"hello world", b"err\n")
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"] == {"causes": [{"reason": "ExitCode", "message": "5"}]}


async def test_much_output_arrives_whole(place: Place, http: aiohttp.ClientSession) -> None:
    """Protects kubectl cp: what a command wrote just before its end is not cut off."""
    container = await place.start("sleep", "100")
    url = await place.exec_url(container, "head", "-c", "5000000", "/dev/zero")
    async with http.ws_connect(url, protocols=[V5]) as socket:
        stdout, _, status = await to_end(socket)
    assert (len(stdout), status["status"]) == (5_000_000, "Success")


async def test_a_terminal_and_its_size(place: Place, http: aiohttp.ClientSession) -> None:
    """Protects kubectl exec -it: a terminal inside, of the client's size, also after that changes."""
    container = await place.start("sleep", "100")
    url = await place.exec_url(container, "sh", "-c", "read x; stty size; read x", stdin=True, tty=True)
    async with http.ws_connect(url, protocols=[V5]) as socket:
        await socket.send_bytes(bytes((RESIZE,)) + b'{"Width":91,"Height":17}')
        await asyncio.sleep(0.5)
        await socket.send_bytes(bytes((STDIN,)) + b"\n")
        await asyncio.sleep(0.5)
        await socket.send_bytes(bytes((STDIN,)) + b"\n")
        stdout, _, status = await to_end(socket)
    assert b"17 91" in stdout
    assert status["status"] == "Success"


async def test_a_command_that_does_not_exist(place: Place, http: aiohttp.ClientSession) -> None:
    """Protects the message that kubectl exec shows."""
    container = await place.start("sleep", "100")
    async with http.ws_connect(await place.exec_url(container, "nope"), protocols=[V5]) as socket:
        _, stderr, status = await to_end(socket)
    assert stderr == b""
    assert 'exec: "nope": executable file not found in $PATH' in str(status["message"])


async def test_a_url_is_good_once(place: Place, http: aiohttp.ClientSession) -> None:
    """Protects against a second user of a token."""
    container = await place.start("sleep", "100")
    url = await place.exec_url(container, "true")
    async with http.ws_connect(url, protocols=[V5]) as socket:
        await to_end(socket)
    async with http.get(url) as again:
        assert again.status == 404


async def test_a_command_ends_with_its_client(place: Place, http: aiohttp.ClientSession) -> None:
    """Protects the node: no process stays when a client vanishes."""
    container = await place.start("sleep", "100")
    async with http.ws_connect(await place.exec_url(container, "sleep", "4321"), protocols=[V5]):
        await asyncio.sleep(0.5)

    async def processes() -> bytes:
        cmd = ["sh", "-c", "cat /proc/[0-9]*/cmdline"]
        return bytes((await place.runtime.exec_sync({"container_id": container, "cmd": cmd}))["stdout"])

    async with asyncio.timeout(10):
        while True:
            if b"sleep\x004321" not in await processes():
                break
            await asyncio.sleep(0.05)
    assert not list(Path(place.node.run, "containers", container).glob("exec-*"))


async def test_attach(place: Place, http: aiohttp.ClientSession) -> None:
    """Protects kubectl attach and run -i: the first process gets the input and its end, the client the output."""
    container = await place.start("sh", "-c", "cat; echo done", stdin=True, stdin_once=True)
    request = {"container_id": container, "stdin": True, "stdout": True, "stderr": True}
    url = (await place.runtime.attach(request))["url"]
    async with http.ws_connect(url, protocols=[V5]) as socket:
        await socket.send_bytes(bytes((STDIN,)) + b"typed\n")
        await asyncio.sleep(0.2)
        await socket.send_bytes(bytes((CLOSE, STDIN)))
        stdout, _, status = await to_end(socket)
    assert stdout == b"typed\ndone\n"
    assert status["status"] == "Success"


class SpdyClient:
    """A client of one connection: writes streams, and keeps what comes by stream."""

    def __init__(self) -> None:
        self.framing = SpdyFraming(client=True)
        self.received: dict[int, bytes] = {}
        self.finished: set[int] = set()

    def take(self, data: bytes) -> None:
        for event in self.framing.receive(data):
            if isinstance(event, DataReceived):
                self.received[event.stream_id] = self.received.get(event.stream_id, b"") + event.data
                if event.finished:
                    self.finished.add(event.stream_id)


async def spdy_connect(
    url: str, headers: Mapping[str, str]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    parts = urlsplit(url)
    assert parts.hostname
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    writer.write((head + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode())
    return reader, writer, await reader.readuntil(b"\r\n\r\n")


async def test_exec_over_spdy(place: Place) -> None:
    """Protects older clients, and the kubelet API's other users: the same protocol over SPDY streams."""
    container = await place.start("sleep", "100")
    url = await place.exec_url(container, "sh", "-c", "cat; echo err >&2; exit 5", stdin=True)
    reader, writer, head = await spdy_connect(url, {"X-Stream-Protocol-Version": "v4.channel.k8s.io"})
    assert head.startswith(b"HTTP/1.1 101")
    assert b"X-Stream-Protocol-Version: v4.channel.k8s.io" in head
    client, ids = SpdyClient(), {}
    for name in ("error", "stdin", "stdout", "stderr"):
        ids[name], frame = client.framing.open_stream({"streamType": name})
        writer.write(frame)
    writer.write(client.framing.data(ids["stdin"], b"hello", finish=True))
    async with asyncio.timeout(10):
        while ids["error"] not in client.finished:
            client.take(await reader.read(65536))
    writer.close()
    assert (client.received[ids["stdout"]], client.received[ids["stderr"]]) == (b"hello", b"err\n")
    assert orjson.loads(client.received[ids["error"]])["details"]["causes"][0]["message"] == "5"


async def forward_once(client: SpdyClient, request_id: int, port: int) -> tuple[int, int, bytes]:
    """The error and data streams of one forwarded connection, and the bytes that open them."""
    headers = {"port": str(port), "requestID": str(request_id)}
    error, first = client.framing.open_stream(headers | {"streamType": "error"})
    data, second = client.framing.open_stream(headers | {"streamType": "data"})
    return error, data, first + client.framing.data(error, b"", finish=True) + second


async def test_port_forward_through_a_websocket(place: Place, http: aiohttp.ClientSession) -> None:
    """Protects kubectl port-forward: connections in the pod's network, and an error for a port nobody listens on."""
    await place.start("sh", "-c", "while true; do nc -l -p 8080 -e cat; done")
    await asyncio.sleep(0.3)
    url = (await place.runtime.port_forward({"pod_sandbox_id": place.sandbox_id, "port": [8080]}))["url"]
    client = SpdyClient()
    async with http.ws_connect(url, protocols=["SPDY/3.1+portforward.k8s.io"]) as socket:
        _, data, opening = await forward_once(client, 0, 8080)
        refused, _, second = await forward_once(client, 1, 9999)
        await socket.send_bytes(opening + client.framing.data(data, b"echo me") + second)
        async with asyncio.timeout(10):
            while client.received.get(data) != b"echo me" or refused not in client.finished:
                client.take(await socket.receive_bytes())
        await socket.send_bytes(client.framing.data(data, b"", finish=True))
        async with asyncio.timeout(10):
            while data not in client.finished:
                client.take(await socket.receive_bytes())
    assert b"connect: connection refused" in client.received[refused]


async def test_port_forward_over_spdy(place: Place) -> None:
    """Protects clients that speak SPDY themselves."""
    await place.start("nc", "-l", "-p", "8080", "-e", "echo", "from the pod")
    await asyncio.sleep(0.3)
    url = (await place.runtime.port_forward({"pod_sandbox_id": place.sandbox_id}))["url"]
    reader, writer, head = await spdy_connect(url, {"X-Stream-Protocol-Version": "portforward.k8s.io"})
    assert head.startswith(b"HTTP/1.1 101")
    client = SpdyClient()
    _, data, opening = await forward_once(client, 0, 8080)
    writer.write(opening)
    async with asyncio.timeout(10):
        while data not in client.finished:
            client.take(await reader.read(65536))
    writer.close()
    assert client.received[data] == b"from the pod\n"
