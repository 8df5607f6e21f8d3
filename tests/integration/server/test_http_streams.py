"""Long streams leave aiohttp and come back: what their clients see of it is HTTP as ever."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
import uvloop

from kaa.server.http import HTTPServer
from kaa.server.request import Outlet, Request, Response

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


class Source:
    """A handler whose streams say what `said` gets, until it is told to end or fail."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.open = 0
        self.outlet = Outlet()

    async def handle(self, request: Request) -> Response:
        if request.path != "/stream":
            return Response(200, request.path.encode())
        self.outlet = Outlet()
        return Response(200, chunks=self.chunks(), outlet=self.outlet)

    async def chunks(self) -> AsyncIterator[bytes]:
        self.open += 1
        try:
            while (said := await self.said.get()) is not None:
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            self.open -= 1


@asynccontextmanager
async def serving(source: Source) -> AsyncIterator[int]:
    http = HTTPServer(source.handle, None)
    try:
        yield await http.start(["127.0.0.1"], 0)
    finally:
        await http.stop()


async def a_connection_is_used_again() -> None:
    source = Source()
    async with serving(source) as port, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        peers = set()
        for _ in range(3):
            async with session.get(f"http://127.0.0.1:{port}/stream") as answer:
                assert answer.connection is not None
                assert answer.connection.transport is not None
                peers.add(answer.connection.transport.get_extra_info("sockname"))
                assert answer.status == 200
                assert answer.headers["Transfer-Encoding"] == "chunked"
                assert answer.headers["Content-Type"] == "application/json"
                source.said.put_nowait(b"one\n")
                assert await answer.content.readline() == b"one\n"
                while not source.outlet.write(b"two\n"):  # noqa: ASYNC110 - it may be after the first is sent
                    await asyncio.sleep(0)
                assert await answer.content.readline() == b"two\n"
                source.said.put_nowait(None)
                assert await answer.read() == b""
            async with session.get(f"http://127.0.0.1:{port}/next") as answer:
                assert await answer.read() == b"/next"
        assert len(peers) == 1
    assert source.open == 0


async def a_client_that_goes_ends_its_stream() -> None:
    source = Source()
    async with serving(source) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET % b"stream")
        await until(lambda: source.open == 1)
        writer.close()
        await until(lambda: source.open == 0)


async def a_client_that_speaks_meanwhile_is_hung_up_on() -> None:
    source = Source()
    async with serving(source) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET % b"stream")
        await until(lambda: source.open == 1)
        writer.write(GET % b"next")
        await asyncio.sleep(0.05)
        source.said.put_nowait(None)
        answer = await reader.read()
        assert answer.endswith(b"0\r\n\r\n")
        assert b"/next" not in answer
        writer.close()


async def a_slow_client_is_waited_for() -> None:
    source = Source()
    async with serving(source) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
        writer.write(GET % b"stream")
        await until(lambda: source.open == 1)
        for _ in range(200):
            source.said.put_nowait(b"x" * 100_000)
        await asyncio.sleep(0.2)
        left = source.said.qsize()
        assert left > 50, "what is not read must not pile up in the server"
        assert not source.outlet.write(b"y")
        source.said.put_nowait(None)
        total = 0
        while data := await reader.read(1 << 20):
            total += len(data)
            if data.endswith(b"0\r\n\r\n"):
                break
        assert total > 200 * 100_000
        writer.close()


async def a_stream_that_fails_does_not_look_ended() -> None:
    source = Source()
    async with serving(source) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET % b"stream")
        source.said.put_nowait(b"one\n")
        source.said.put_nowait(RuntimeError("ours"))
        answer = b""
        with suppress(ConnectionResetError):
            answer = await reader.read()
        assert not answer.endswith(b"0\r\n\r\n")
        writer.close()


async def the_server_stops_with_streams_open() -> None:
    source = Source()
    async with serving(source) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET % b"stream")
        await until(lambda: source.open == 1)
    assert source.open == 0
    writer.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what is waited for is in another task, without an event
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    "scene",
    [
        a_connection_is_used_again,
        a_client_that_goes_ends_its_stream,
        a_client_that_speaks_meanwhile_is_hung_up_on,
        a_slow_client_is_waited_for,
        the_server_stops_with_streams_open,
    ],
)
def test_streams(run, scene) -> None:
    """What the scene's name says, on both event loops."""
    run(scene())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_failing(run, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours is told in the log, and to the client by a broken connection."""
    with caplog.at_level(logging.ERROR):
        run(a_stream_that_fails_does_not_look_ended())
    assert "a stream failed" in caplog.text
