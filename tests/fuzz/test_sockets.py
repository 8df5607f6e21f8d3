"""What can go wrong below requests: heads that are none, bodies that do not end, connections that stay.

Connections are plain: TLS would only add its own refusals. 2,000 idle ones are opened, not more, because both ends are
in one process here.
"""

import asyncio
import json
import logging
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass

import pytest

from kaa.lib.clock import WallClock
from kaa.server.app import APIServer
from kaa.server.http import MAX_LINE_BYTES, HTTPServer
from kaa.server.request import MAX_BODY_BYTES
from kaa.store.sqlite import SQLiteStore

CONFIGMAPS = b"/api/v1/namespaces/default/configmaps"
IDLE_CONNECTIONS = 2000
SHORT_SECONDS = 0.3
PATIENCE_SECONDS = 0.5
ANSWER_SECONDS = 10.0
LOST_BYTES_EACH = 40 * 1024
"""Memory that an idle connection may cost; both its ends are in this process."""


@dataclass
class Serving:
    port: int

    async def send(self, data: bytes, *, patient: bool = False) -> tuple[int, bytes]:
        """Status and body of the answer to these bytes; status 0 when the connection is closed without one.

        Who is not patient hangs up when nothing has come for a while.
        """
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            reading = asyncio.ensure_future(reader.read())
            with closing(writer), suppress(ConnectionError):
                writer.write(data)
                await writer.drain()
                await asyncio.wait({reading}, timeout=ANSWER_SECONDS if patient else PATIENCE_SECONDS)
                if not reading.done():
                    writer.write_eof()
            try:
                answer = await reading
            except ConnectionError:
                return 0, b""
        head, _, body = answer.partition(b"\r\n\r\n")
        return (int(head.split(b" ")[1]), body) if head else (0, b"")

    async def still_serves(self) -> None:
        status, body = await self.send(request(b"GET", b"/api/v1/namespaces/default"))
        assert status == 200
        assert json.loads(body)["metadata"]["name"] == "default"


def request(method: bytes, path: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: a", b"Connection: close", *headers]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])


@asynccontextmanager
async def serving(directory, **limits: float) -> AsyncIterator[Serving]:
    clock = WallClock()
    store = await SQLiteStore.open(directory / "store", clock)
    server = APIServer(store, clock)
    await server.start()
    await server.writer.create("Namespace", {"metadata": {"name": "default"}})
    http = HTTPServer(server.handle, None, **limits)
    try:
        yield Serving(await http.start(["127.0.0.1"], 0))
    finally:
        await server.stop()
        await http.stop()
        await store.close()


def check(status: int, body: bytes) -> None:
    """A refusal, as a Status where there was a request to answer; or a connection that was closed."""
    assert status == 0 or status < 500, (status, body)
    if status >= 400 and body.startswith(b"{"):
        # What was sent behind the request may have got an answer of its own.
        answer, _ = json.JSONDecoder().raw_decode(body.decode())
        assert answer["kind"] == "Status"


HEADS = [
    b"\r\n" * 1000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS to a port that does not speak it
    b"GET",
    b"GET /\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x00\x01\x02 / HTTP/1.1\r\n\r\n",
    request(b"GET", b"/" + b"a" * (MAX_LINE_BYTES * 2)),
    request(b"GET", b"/" + b"a/" * 20_000),
    request(b"GET", b"/?" + b"a=b&" * 15_000),
    request(b"GET", b"/", b"", b"X: " + b"a" * (MAX_LINE_BYTES * 2)),
    request(b"GET", b"/", b"", *[b"X%d: a" % n for n in range(5_000)]),
    request(b"GET", b"/", b"", b"X : a", b"\x00: b"),
    request(b"GET", b"/api/v1/namespaces/%00/pods"),
    request(b"GET", b"/api/v1/namespaces/%2e%2e/%2e%2e/secrets"),
    request(b"GET", b"/api/v1/namespaces/%ff%fe/pods"),
    request(b"GET", b"/api/v1/namespaces/%zz/pods"),
    request(b"GET", b"//api//v1//..//pods"),
    request(b"GET", b"http://example.com/api/v1/pods"),
    request(b"GET", b"*"),
    request(b"OPTIONS", b"*"),
    request(b"CONNECT", b"example.com:443"),
    request(b"GET", b"/api/v1/pods?\xff\xfe=%ff&a=%"),
    request(b"GET", b"/", b"", b"Content-Length: -1"),
    request(b"POST", CONFIGMAPS, b"", b"Content-Length: 99999999999999999999"),
    request(b"POST", CONFIGMAPS, b"{}", b"Content-Length: 3"),
    request(b"POST", CONFIGMAPS, b"{}", b"Transfer-Encoding: chunked"),
    request(b"POST", CONFIGMAPS, b"", b"Transfer-Encoding: gzip"),
    request(b"POST", CONFIGMAPS, b"\x1f\x8b\x08" + b"\x00" * 50, b"Content-Encoding: gzip"),
    request(b"POST", CONFIGMAPS, b"", b"Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n",
    request(b"POST", CONFIGMAPS, b"", b"Transfer-Encoding: chunked") + b"ffffffffffffffffff\r\n{}\r\n",
    request(b"POST", CONFIGMAPS, b"", b"Transfer-Encoding: chunked") + b"2\r\n{}",
    request(b"POST", CONFIGMAPS, b"", b"Content-Length: 100") + b"{}",
    request(b"POST", CONFIGMAPS, b"", b"Expect: 200-ok", b"Content-Length: 2") + b"{}",
]


async def test_broken_heads_and_bodies(tmp_path, caplog):
    """Bytes that are no request, or half of one, are refused or hung up on; nobody else notices, nor does the log."""
    async with serving(tmp_path) as server:
        for data in HEADS:
            check(*await server.send(data))
        await server.still_serves()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


UPGRADES = [
    (b"Upgrade: websocket", b"Connection: Upgrade"),
    (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 99", b"Sec-WebSocket-Key: x"),
    (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: =="),
    (b"Upgrade: SPDY/3.1", b"Connection: Upgrade"),
    (b"Upgrade: SPDY/9", b"Connection: Upgrade", b"X-Stream-Protocol-Version: v9.channel.k8s.io"),
    (b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk"),
    (b"Upgrade: ", b"Connection: Upgrade"),
]


@pytest.mark.parametrize("headers", UPGRADES)
async def test_upgrades_that_are_none(tmp_path, headers):
    """A handshake without its parts, or with others, for what can be upgraded and for what cannot."""
    async with serving(tmp_path) as server:
        for path in (CONFIGMAPS, CONFIGMAPS + b"?watch=1&timeoutSeconds=1", b"/api/v1/namespaces/default/pods/a/exec"):
            lines = b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: a", *headers, b"", b""])
            check(*await server.send(lines + b"\xff" * 100))
        await server.still_serves()


async def test_a_body_that_does_not_come(tmp_path):
    """Whoever promises a body and does not send it gets a Status in the end, and his connection is closed."""
    async with serving(tmp_path, body_seconds=SHORT_SECONDS) as server:
        status, body = await server.send(request(b"POST", CONFIGMAPS, b"", b"Content-Length: 10") + b"{", patient=True)
        assert (status, json.loads(body)["reason"]) == (408, "Timeout")
        await server.still_serves()


async def test_a_head_that_does_not_come(tmp_path):
    """A connection without a whole head is closed after a while, however it is dripped."""
    async with serving(tmp_path, idle_seconds=SHORT_SECONDS) as server:
        for data in (b"", b"GET / HTTP/1.1\r\nHost"):
            assert await server.send(data, patient=True) == (0, b"")
        await server.still_serves()


async def test_a_body_that_is_too_large(tmp_path):
    """It is refused as soon as that is known, by its length or by what has come, and not kept."""
    async with serving(tmp_path) as server:
        body = b" " * (MAX_BODY_BYTES + 1)
        length = b"Content-Length: %d" % len(body)
        status, answer = await server.send(request(b"POST", CONFIGMAPS, b"", length), patient=True)
        assert (status, json.loads(answer)["reason"]) == (413, "RequestEntityTooLarge")
        chunk = b"%x\r\n%s\r\n" % (len(body), body)
        check(
            *await server.send(request(b"POST", CONFIGMAPS, b"", b"Transfer-Encoding: chunked") + chunk, patient=True)
        )
        await server.still_serves()


async def test_thousands_of_idle_connections(tmp_path):
    """They cost little memory each, and the server answers others meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * IDLE_CONNECTIONS + 500
    if hard < needed:
        pytest.skip(f"only {hard} open files are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        async with serving(tmp_path) as server:
            await server.still_serves()
            before = resident_bytes()
            opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(IDLE_CONNECTIONS)]
            await server.still_serves()
            assert resident_bytes() - before < LOST_BYTES_EACH * IDLE_CONNECTIONS
            for _, writer in opened:
                writer.close()
            await server.still_serves()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
