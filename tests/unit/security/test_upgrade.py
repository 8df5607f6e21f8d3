"""Passing bytes through, on both event loops: half closes are handed on, breaks end both sides."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from kaa.server.request import Request
from kaa.server.upgrade import forwarded_headers, is_upgrade, splice

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]

BOTH_LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


async def listen(serve: Serve) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    return server, port


async def through(backend: Serve, client: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
    """Runs a client against a backend with a splice between; the splice must have ended when the client has."""
    behind, backend_port = await listen(backend)
    ended = asyncio.Event()

    async def middle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", backend_port)
        try:
            await splice(reader, writer, other_reader, other_writer)
        finally:
            writer.close()
            other_writer.close()
            ended.set()

    front, port = await listen(middle)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        result = await client(reader, writer)
        writer.close()
        await ended.wait()
    for server in (front, behind):
        server.close()
        await server.wait_closed()
    return result


@BOTH_LOOPS
def test_a_half_close_is_handed_on(run: Run) -> None:
    """A client that has sent everything still gets the answer: `kubectl cp` depends on it."""

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(len(await reader.read())).encode())
        await writer.drain()
        writer.close()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"x" * 1_000_000)
        writer.write_eof()
        return await reader.read()

    assert run(through(backend, client)) == b"1000000"


@BOTH_LOOPS
def test_a_broken_client_ends_the_backend(run: Run) -> None:
    """A backend that never stops sending is let go of when nobody reads."""

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except OSError:
            writer.close()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        first = await reader.readexactly(10)
        writer.transport.abort()
        return first

    assert run(through(backend, client)) == b"x" * 10


def test_what_a_backend_may_see() -> None:
    """Neither credentials nor claims about who is asking leave the server."""
    headers = {"authorization": "x", "x-remote-user": "root", "impersonate-user": "y", "host": "z", "x-kept": "1"}
    assert forwarded_headers(headers) == {"x-kept": "1"}
    assert forwarded_headers(headers, ["x-kept"]) == {}
    protocols = {"sec-websocket-protocol": "v5.channel.k8s.io,base64url.bearer.authorization.k8s.io.c2VjcmV0"}
    assert forwarded_headers(protocols) == {"sec-websocket-protocol": "v5.channel.k8s.io"}


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"connection": "Upgrade", "upgrade": "SPDY/3.1"}, True),
        ({"connection": "keep-alive, upgrade", "upgrade": "websocket"}, True),
        ({"connection": "keep-alive"}, False),
        ({"connection": "upgrade"}, False),
    ],
)
def test_what_is_an_upgrade(headers: dict[str, str], wanted: bool) -> None:
    """Both headers are needed."""
    assert is_upgrade(Request("GET", "/", headers=headers)) is wanted
