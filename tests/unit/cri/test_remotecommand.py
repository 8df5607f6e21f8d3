"""The WebSocket forms of remotecommand, each as its clients expect it, over a real connection."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.test_utils import TestServer

from kaa.cri.remotecommand import STDERR, STDOUT, WEBSOCKET_PROTOCOLS, WebSocketSession, exit_status


async def echo(request: web.Request) -> web.WebSocketResponse:
    """A process that says its first input on both outputs and ends with the code in the query."""
    socket = web.WebSocketResponse(protocols=WEBSOCKET_PROTOCOLS)
    await socket.prepare(request)
    session = WebSocketSession(socket)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(session.run())
        data = await session.read_input()
        await session.write(STDOUT, data)
        await session.write(STDERR, data)
        await session.finish(exit_status(int(request.query["code"])))
        reading.cancel()
    return socket


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    application = web.Application()
    application.router.add_get("/", echo)
    async with TestServer(application) as server:
        yield server


async def messages(
    server: TestServer, protocols: tuple[str, ...], code: int, *, first: bytes | str
) -> list[bytes | str]:
    async with (
        ClientSession() as http,
        http.ws_connect(server.make_url(f"/?code={code}"), protocols=protocols) as socket,
    ):
        assert (socket.protocol or "") == "".join(protocols)
        await (socket.send_str(first) if isinstance(first, str) else socket.send_bytes(first))
        received = []
        async with asyncio.timeout(5):
            async for message in socket:
                assert message.type is (WSMsgType.TEXT if isinstance(first, str) else WSMsgType.BINARY)
                received.append(message.data)
        return received


async def test_from_v4_on_the_end_is_a_status(server: TestServer) -> None:
    """kubectl takes the exit code from it."""
    *outputs, end = await messages(server, ("v4.channel.k8s.io",), 5, first=b"\x00hi")
    assert outputs == [b"\x01hi", b"\x02hi"]
    assert isinstance(end, bytes)
    assert json.loads(end[1:])["details"]["causes"] == [{"reason": "ExitCode", "message": "5"}]


@pytest.mark.parametrize("protocols", [("channel.k8s.io",), ()])
async def test_before_v4_only_a_failure_is_told(server: TestServer, protocols: tuple[str, ...]) -> None:
    """Old clients show what comes on the error channel, and would show a success too. Naming nothing means this."""
    assert await messages(server, protocols, 0, first=b"\x00hi") == [b"\x01hi", b"\x02hi"]
    *_, end = await messages(server, protocols, 5, first=b"\x00hi")
    assert end == b"\x03command terminated with non-zero exit code: exit code 5"


async def test_base64_is_text(server: TestServer) -> None:
    """For clients such as browsers that do not take binary messages."""
    coded = base64.b64encode(b"hi").decode()
    assert await messages(server, ("base64.channel.k8s.io",), 0, first=f"0{coded}") == [f"1{coded}", f"2{coded}"]
