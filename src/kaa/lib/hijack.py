"""Takes a connection over from an aiohttp server as raw bytes, for what isn't HTTP after its head: SPDY, tunnels.

    async def handler(request):
        reader, writer = await hijack(request)
        writer.write(b"HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: SPDY/3.1\\r\\n\\r\\n")
        ...                      # until the exchange is over
        return HIJACKED

Nothing has been answered when `hijack` returns; the 101 (or the refusal) is the handler's to write. It works on plain
and TLS sockets, on asyncio's loop and uvloop's. The connection is closed when the handler returns; when the peer
closes it, the reader sees the end of file. Bytes that the peer has sent right behind a WebSocket request come first;
a SPDY client is silent until it has read the 101.

`detach` takes it for longer than the handler: aiohttp forgets the connection, and `attach` may give it back later.
"""

import asyncio

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_protocol import RequestHandler

READ_LIMIT_BYTES = 64 * 1024
"""Reading from the socket pauses beyond twice this much unread."""


class _TakenOver(asyncio.StreamReaderProtocol):
    """Gets the socket's callbacks instead of aiohttp's protocol, which is told only of the end."""

    def __init__(self, reader: asyncio.StreamReader, replaced: RequestHandler) -> None:
        super().__init__(reader)
        self._replaced = replaced

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # aiohttp's server counts its connections: without this it would keep the handler for ever.
        self._replaced.connection_lost(exc)


class _Hijacked(web.StreamResponse):
    """What a handler returns to aiohttp when there is nothing left to answer."""

    @property
    def keep_alive(self) -> bool:
        return False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


HIJACKED: web.StreamResponse = _Hijacked()


async def hijack(request: web.BaseRequest) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The connection of `request`, whose body must have been read. Raises ConnectionError if the peer has gone."""
    transport = request.transport
    protocol = request.protocol
    if transport is None:
        raise ConnectionResetError("the connection is closed")
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READ_LIMIT_BYTES, loop=loop)
    taken_over = _TakenOver(reader, protocol)
    transport.set_protocol(taken_over)
    taken_over.connection_made(transport)
    leftover, protocol._message_tail = protocol._message_tail, b""
    if leftover:
        reader.feed_data(leftover)
    if protocol._reading_paused or protocol._buffer_paused:
        transport.resume_reading()
    return reader, asyncio.StreamWriter(transport, taken_over, reader, loop)


def detach(request: web.BaseRequest, protocol: asyncio.Protocol) -> asyncio.Transport:
    """Gives the connection of `request` to `protocol`; the handler is to return HIJACKED, and nothing is closed then.

    The body must have been read. Raises ConnectionError if the peer has gone.
    """
    transport, handler = request.transport, request.protocol
    if transport is None or handler._manager is None:
        raise ConnectionResetError("the connection is closed")
    transport.set_protocol(protocol)
    handler.transport = None  # or else it would be closed
    handler.keep_alive(False)
    handler._parser = None  # the two hold each other, and would wait for the garbage collector
    handler._manager.connection_lost(handler)
    return transport


def attach(transport: asyncio.Transport, server: web.Server) -> None:
    """Lets an aiohttp server wait for the next request on a connection that was detached."""
    handler = server()
    transport.set_protocol(handler)
    handler.connection_made(transport)
