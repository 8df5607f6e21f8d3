"""A hijacked connection is raw bytes both ways, and leaves nothing behind in aiohttp's server."""

import asyncio

import pytest
import uvloop
from aiohttp import web

from kaa.lib.hijack import HIJACKED, hijack


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    reader, writer = await hijack(request)
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()
    return HIJACKED


async def exchange(upgrade: str, behind_head: bytes) -> bytes:
    server = web.Server(echo)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\nContent-Length: 0\r\n\r\n"
    writer.write(head.encode() + behind_head)
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101")
    writer.write(b"raw bytes")
    writer.write_eof()
    echoed = await reader.read()
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.01)
    assert server.connections == []
    await runner.cleanup()
    return echoed


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_bytes_pass_both_ways_until_the_peer_ends(run):
    """SPDY's case: silent until the 101, then anything at all, on both event loops."""
    assert run(exchange("SPDY/3.1", b"")) == b"raw bytes"


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_what_came_behind_the_head_is_read_first(run):
    """A WebSocket client may send frames at once; none of them may be lost."""
    assert run(exchange("websocket", b"early ")) == b"early raw bytes"
