"""Byte pipes: one shape for a hijacked connection and for bytes that travel in WebSocket messages."""

import asyncio
from typing import Protocol

from aiohttp import WSMsgType, web

READ_BYTES = 32 * 1024


class BytePipe(Protocol):
    """`read` gives b"" at the peer's end; `write` returns once the peer is keeping up. Both raise ConnectionError.

    `close` is for a connection of our own; a WebSocket ends with the handler that made it.
    """

    async def read(self) -> bytes: ...
    async def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class SocketPipe:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        return await self._reader.read(READ_BYTES)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


class WebSocketPipe:
    """The bytes of binary messages, one after another; how they are cut means nothing."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                if message.data:
                    return bytes(message.data)
            elif message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return b""

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    def close(self) -> None:
        return
