"""Streams that go on for long, mostly in silence: watches. They leave aiohttp behind.

What aiohttp keeps of a request while it is answered (tasks, parser, headers) would be two thirds of an idle watch's
memory. So the head is written, the connection is detached, and one task follows the stream; when it has ended, aiohttp
gets the connection back for the next request.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time

from kaa.lib.hijack import attach, detach

log = logging.getLogger(__name__)

LAST_CHUNK = b"0\r\n\r\n"


def chunk_of(data: bytes) -> bytes:
    """As it stands in a body with chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def close(chunks: AsyncIterator[bytes]) -> None:
    """Ends a stream that may have more to say."""
    aclose = getattr(chunks, "aclose", None)
    if aclose is not None:
        await aclose()


class _Connection(asyncio.Protocol):
    """The socket's callbacks while a stream has it."""

    __slots__ = ("_free", "has_spoken", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.has_spoken = False  # its client has sent something, which nobody has read
        self._free: asyncio.Future[None] | None = None  # while the client reads too slowly

    def data_received(self, data: bytes) -> None:
        self.has_spoken = True

    def pause_writing(self) -> None:
        self._free = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._free is not None and not self._free.done():
            self._free.set_result(None)
        self._free = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self.task is not None:
            self.task.cancel()

    async def drain(self) -> None:
        """Until there is room for another chunk."""
        if self._free is not None:
            await self._free


class Streams:
    """Those of one HTTP server."""

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self, request: web.BaseRequest, status: int, headers: Mapping[str, str], chunks: AsyncIterator[bytes]
    ) -> asyncio.Transport:
        """Answers with a body of chunks, from now on by itself. Raises ConnectionError if the client has gone."""
        connection = _Connection()
        transport = detach(request, connection)
        # OpenSSL has the client's certificate; here it is spelled out a second time.
        spelled_out = transport.get_extra_info("peercert")
        if spelled_out:
            spelled_out.clear()
        transport.write(_head(status, headers))
        connection.task = asyncio.get_running_loop().create_task(self._follow(transport, connection, chunks))
        self._tasks.add(connection.task)
        connection.task.add_done_callback(self._tasks.discard)
        return transport

    async def _follow(
        self, transport: asyncio.Transport, connection: _Connection, chunks: AsyncIterator[bytes]
    ) -> None:
        try:
            try:
                async for chunk in chunks:
                    transport.write(chunk_of(chunk))
                    await connection.drain()
            finally:
                await close(chunks)
        except asyncio.CancelledError:
            transport.abort()  # mostly it has gone already: that is how most watches end
        except Exception:
            # The edge, as in `APIServer.handle`: a fault of ours ends one stream, loudly, and not as if it were over.
            log.exception("a stream failed")
            transport.abort()
        else:
            connection.task = None
            transport.write(LAST_CHUNK)
            self._give_back(transport, connection)

    def _give_back(self, transport: asyncio.Transport, connection: _Connection) -> None:
        if connection.has_spoken or transport.is_closing():
            transport.close()
        else:
            attach(transport, self._server)

    async def stop(self, seconds: float) -> None:
        """Lets streams that are ending do so, and ends the others."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} OK", f"Date: {rfc822_formatted_time()}", "Transfer-Encoding: chunked"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("utf-8")
