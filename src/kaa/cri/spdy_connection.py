"""SPDY streams over a byte pipe, for asyncio: the server's side.

    while (stream := await connection.accept()) is not None: ...

One task (`run`) reads the connection and hands data to streams. A stream holds a bounded number of pieces: when its
reader is slow the whole connection waits, which is all the flow control that Kubernetes' SPDY has.
"""

import asyncio
from collections.abc import Mapping

from kaa.cri.pipes import BytePipe
from kaa.cri.spdy import (
    DataReceived,
    Event,
    GoingAway,
    PingReceived,
    SpdyError,
    SpdyFraming,
    StreamOpened,
    StreamReplied,
    StreamReset,
)

PIECES_LIMIT = 16
"""Data frames a stream holds unread."""

STREAMS_LIMIT = 256
"""Streams open at a time: a port-forward takes two a connection."""


class SpdyStream:
    def __init__(self, connection: "SpdyConnection", stream_id: int, headers: Mapping[str, str]) -> None:
        self.id = stream_id
        self.headers = headers
        self._connection = connection
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(PIECES_LIMIT)
        self._remote_finished = False
        self._local_finished = False

    async def read(self) -> bytes:
        """The next piece; b"" once the peer has ended its half, or the connection is gone."""
        if self._remote_finished and self._pieces.empty():
            return b""
        return await self._pieces.get()

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError when the stream or the connection has ended."""
        if self._local_finished:
            raise ConnectionResetError("the stream has ended")
        if data:
            await self._connection.send_data(self.id, data)

    async def finish(self) -> None:
        """Ends our half. Twice is once, and so is on a connection that is gone."""
        if not self._local_finished:
            self._local_finished = True
            try:
                await self._connection.send_data(self.id, b"", finish=True)
            except ConnectionError:
                return
            self._forget_if_done()

    async def received(self, data: bytes, *, finished: bool) -> None:
        """Called by the connection."""
        if data:
            await self._pieces.put(data)
        if finished and not self._remote_finished:
            self._remote_finished = True
            await self._pieces.put(b"")
            self._forget_if_done()

    def aborted(self) -> None:
        """Called by the connection when the peer has reset the stream or is gone: what is unread is dropped."""
        self._remote_finished = self._local_finished = True
        while not self._pieces.empty():
            self._pieces.get_nowait()
        self._pieces.put_nowait(b"")

    def _forget_if_done(self) -> None:
        if self._remote_finished and self._local_finished:
            self._connection.forget(self.id)


class SpdyConnection:
    def __init__(self, pipe: BytePipe) -> None:
        self._pipe = pipe
        self._framing = SpdyFraming()
        self._streams: dict[int, SpdyStream] = {}
        self._opened: asyncio.Queue[SpdyStream | None] = asyncio.Queue(STREAMS_LIMIT + 1)
        self._sending = asyncio.Lock()  # frames of one connection follow one another, and headers share a compressor
        self._closed = False

    async def run(self) -> None:
        """Reads until the peer closes, then closes. Raises SpdyError when it does not speak SPDY."""
        try:
            while data := await self._pipe.read():
                for event in self._framing.receive(data):
                    await self._handle(event)
        except ConnectionError:
            return  # the same as an end
        finally:
            self._end()
            self._pipe.close()

    def _end(self) -> None:
        self._closed = True
        for stream in list(self._streams.values()):
            stream.aborted()
        self._streams.clear()
        if not self._opened.full():
            self._opened.put_nowait(None)

    async def _handle(self, event: Event) -> None:
        match event:
            case StreamOpened():
                if len(self._streams) >= STREAMS_LIMIT:
                    raise SpdyError(f"more than {STREAMS_LIMIT} streams")
                stream = SpdyStream(self, event.stream_id, event.headers)
                self._streams[event.stream_id] = stream
                async with self._sending:
                    await self._pipe.write(self._framing.reply(event.stream_id))
                if event.finished:
                    await stream.received(b"", finished=True)
                self._opened.put_nowait(stream)
            case DataReceived():
                if found := self._streams.get(event.stream_id):
                    await found.received(event.data, finished=event.finished)
            case StreamReset():
                if found := self._streams.pop(event.stream_id, None):
                    found.aborted()
            case PingReceived():
                async with self._sending:
                    await self._pipe.write(event.answer)
            case StreamReplied() | GoingAway():
                return

    async def accept(self) -> SpdyStream | None:
        """The next stream that the peer opens; None when it is gone."""
        return await self._opened.get()

    async def send_data(self, stream_id: int, data: bytes, *, finish: bool = False) -> None:
        async with self._sending:
            if self._closed:
                raise ConnectionResetError("the connection has ended")
            await self._pipe.write(self._framing.data(stream_id, data, finish=finish))

    def forget(self, stream_id: int) -> None:
        self._streams.pop(stream_id, None)
