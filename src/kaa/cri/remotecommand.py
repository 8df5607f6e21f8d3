"""Kubernetes' remotecommand: five channels between a client and a process, over a WebSocket or SPDY.

Channels: 0 stdin, 1 stdout, 2 stderr, 3 error (at the end, one Status object), 4 resize (`{"Width":..,"Height":..}`).
WebSocket: a message begins with the channel's number; in v5 `[255, n]` ends channel n. Before v4 the error channel has
the plain message of a failure, and nothing of a success. In `base64...` messages are text: the number as a digit, then
base64. SPDY: a stream a channel, named by its header `streamtype`. Sources: KEP-4006 and the `remotecommand` constants.
"""

import asyncio
import base64
import contextlib
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import orjson
from aiohttp import WSMsgType, web

from kaa.cri.spdy_connection import SpdyConnection, SpdyStream

FIRST_PROTOCOL = "channel.k8s.io"
"""What a client speaks that names no protocol."""
WEBSOCKET_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    FIRST_PROTOCOL,
    "base64.channel.k8s.io",
)
SPDY_PROTOCOLS = ("v4.channel.k8s.io",)

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

STREAM_TYPES = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}
STREAMS_WAIT_SECONDS = 30.0
"""How long a SPDY client may take to open all the streams it asked for, as upstream's."""

INPUT_LIMIT = 16
"""Pieces of input held unread; more make the client wait."""


class Session(Protocol):
    """What a process sees of its client. Writing to one that is gone raises ConnectionError."""

    async def read_input(self) -> bytes:
        """The next piece of standard input; b"" at its end, and when the client is gone."""
        ...

    async def write(self, channel: int, data: bytes) -> None:
        """To STDOUT or STDERR."""
        ...

    async def next_size(self) -> tuple[int, int]:
        """(width, height) of the client's terminal, whenever it changes."""
        ...

    async def gone(self) -> None:
        """Returns when the client has gone."""
        ...

    async def finish(self, status: Mapping[str, Any]) -> None:
        """Sends the Status object and ends the exchange."""
        ...


def success() -> dict[str, Any]:
    return {"metadata": {}, "status": "Success"}


def exit_status(code: int) -> dict[str, Any]:
    """The Status of a process that ended with this exit code."""
    if code == 0:
        return success()
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit code {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure(message: str) -> dict[str, Any]:
    return {"metadata": {}, "status": "Failure", "reason": "InternalError", "message": message, "code": 500}


def terminal_size(data: bytes) -> tuple[int, int] | None:
    try:
        size = orjson.loads(data)
        return int(size["Width"]), int(size["Height"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


class _Inbox:
    """What has come from the client and waits to be taken."""

    def __init__(self) -> None:
        self.input: asyncio.Queue[bytes] = asyncio.Queue(INPUT_LIMIT)
        self.input_ended = False
        self.sizes: asyncio.Queue[tuple[int, int]] = asyncio.Queue(1)  # only the latest matters
        self.gone = asyncio.Event()

    async def read_input(self) -> bytes:
        if self.input_ended and self.input.empty():
            return b""
        return await self.input.get()

    async def put_input(self, data: bytes) -> None:
        """b"" ends the input."""
        if self.input_ended:
            return
        self.input_ended = not data
        await self.input.put(data)

    def put_size(self, data: bytes) -> None:
        if (size := terminal_size(data)) is not None:
            if self.sizes.full():
                self.sizes.get_nowait()
            self.sizes.put_nowait(size)

    def client_gone(self) -> None:
        self.gone.set()
        self.input_ended = True
        while not self.input.empty():
            self.input.get_nowait()
        self.input.put_nowait(b"")


def _binary(text: bytes) -> bytes:
    """A message in base64 as one in binary; b"" for what is neither."""
    try:
        return bytes((int(text[:1]),)) + base64.b64decode(text[1:], validate=True)
    except ValueError:
        return b""


class WebSocketSession:
    """`run` reads the socket and must run beside whoever uses the session."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        protocol = socket.ws_protocol or FIRST_PROTOCOL
        self._socket = socket
        self._is_text = "base64." in protocol
        self._has_status = protocol[0] == "v"
        self._inbox = _Inbox()

    async def run(self) -> None:
        try:
            async for message in self._socket:
                if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                    data = message.data if isinstance(message.data, bytes) else message.data.encode()
                    await self._received(_binary(data) if self._is_text else data)
        finally:
            self._inbox.client_gone()

    async def _received(self, data: bytes) -> None:
        match data[:1]:
            case b"\x00" if len(data) > 1:
                await self._inbox.put_input(data[1:])
            case b"\x04":
                self._inbox.put_size(data[1:])
            case b"\xff" if data[1:2] == b"\x00":
                await self._inbox.put_input(b"")

    async def read_input(self) -> bytes:
        return await self._inbox.read_input()

    async def write(self, channel: int, data: bytes) -> None:
        if self._is_text:
            await self._socket.send_str(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self._socket.send_bytes(bytes((channel,)) + data)

    async def next_size(self) -> tuple[int, int]:
        return await self._inbox.sizes.get()

    async def gone(self) -> None:
        await self._inbox.gone.wait()

    async def finish(self, status: Mapping[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):
            if self._has_status:
                await self.write(ERROR, orjson.dumps(status))
            elif status["status"] != "Success":
                await self.write(ERROR, status["message"].encode())
            await self._socket.close()


class SpdySession:
    """The same over SPDY streams. `accept` waits for those that the request announced."""

    def __init__(self, connection: SpdyConnection, streams: Mapping[int, SpdyStream]) -> None:
        self._connection = connection
        self._streams = streams
        self._inbox = _Inbox()

    @classmethod
    async def accept(cls, connection: SpdyConnection, wanted: Collection[int]) -> "SpdySession":
        """Raises TimeoutError or ConnectionError when they do not come."""
        streams: dict[int, SpdyStream] = {}
        async with asyncio.timeout(STREAMS_WAIT_SECONDS):
            while (stream := await connection.accept()) is not None:
                streams[STREAM_TYPES.get(stream.headers.get("streamtype", ""), -1)] = stream
                if streams.keys() >= set(wanted):
                    return cls(connection, streams)
        raise ConnectionResetError("the client went before it had opened its streams")

    async def run(self) -> None:
        """Moves input and sizes in, until the client is gone."""
        async with asyncio.TaskGroup() as tasks:
            if STDIN in self._streams:
                tasks.create_task(self._copy_input(self._streams[STDIN]))
            if RESIZE in self._streams:
                tasks.create_task(self._copy_sizes(self._streams[RESIZE]))
            while await self._connection.accept() is not None:
                continue  # a stream too many is ignored
            self._inbox.client_gone()

    async def _copy_input(self, stream: SpdyStream) -> None:
        while data := await stream.read():
            await self._inbox.put_input(data)
        if not self._inbox.gone.is_set():
            await self._inbox.put_input(b"")

    async def _copy_sizes(self, stream: SpdyStream) -> None:
        while data := await stream.read():
            self._inbox.put_size(data)

    async def read_input(self) -> bytes:
        return await self._inbox.read_input()

    async def write(self, channel: int, data: bytes) -> None:
        if channel in self._streams:
            await self._streams[channel].write(data)

    async def next_size(self) -> tuple[int, int]:
        return await self._inbox.sizes.get()

    async def gone(self) -> None:
        await self._inbox.gone.wait()

    async def finish(self, status: Mapping[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):
            await self._streams[ERROR].write(orjson.dumps(status))
            for stream in self._streams.values():
                await stream.finish()
