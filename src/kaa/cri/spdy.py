"""SPDY/3.1 framing, as far as Kubernetes uses it: bytes in, events out; calls in, bytes out. No I/O.

A connection carries *streams*, each opened by the client with headers (an odd id) and answered; both sides then send
data on it, and each ends its half with FIN. Headers are compressed, all of one direction in one zlib stream that
starts with a dictionary known to both. Kubernetes' peers never wait for WINDOW_UPDATE and send none, so there is no
flow control here but the connection's own.

    connection = SpdyFraming()
    for event in connection.receive(data): ...
    writer.write(connection.reply(event.stream_id))
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

VERSION = 3
FRAME_LIMIT_BYTES = 1 << 20
"""The largest frame taken; peers copy in pieces of 32 KiB."""

HEADERS_LIMIT_BYTES = 64 * 1024
SEND_BYTES = 32 * 1024
"""The largest data frame sent."""

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_REST = (
    b"100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    b"203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    b"403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    b"Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    b"chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    b"publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(w)) + w.replace("_", " ").encode() for w in _WORDS.split(" ")) + _REST
"""What both sides' header compression begins with (SPDY/3, section 2.6.10.1)."""

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY, _HEADERS = 1, 2, 3, 6, 7, 8
_FIN = 1
_STREAM_ID = 0x7FFF_FFFF


class SpdyError(Exception):
    """The peer does not speak SPDY/3.1, or says too much at once. The connection is to be closed."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    stream_id: int
    headers: Mapping[str, str]
    finished: bool


@dataclass(frozen=True, slots=True)
class StreamReplied:
    stream_id: int
    headers: Mapping[str, str]
    finished: bool


@dataclass(frozen=True, slots=True)
class DataReceived:
    stream_id: int
    data: bytes
    finished: bool


@dataclass(frozen=True, slots=True)
class StreamReset:
    stream_id: int


@dataclass(frozen=True, slots=True)
class PingReceived:
    """`answer` is what to send back."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The peer opens no more streams."""


Event: TypeAlias = StreamOpened | StreamReplied | DataReceived | StreamReset | PingReceived | GoingAway


class SpdyFraming:
    """One side of a connection. `client` decides whose streams have odd ids."""

    def __init__(self, *, client: bool = False) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._next_stream_id = 1 if client else 2
        self._parity = 1 if client else 0

    # Receiving.

    def receive(self, data: bytes) -> Iterator[Event]:
        """The events of all frames that are complete now. Raises SpdyError."""
        self._buffer += data
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            flags, length = second >> 24, second & 0xFF_FFFF
            if length > FRAME_LIMIT_BYTES:
                raise SpdyError(f"a frame of {length} bytes")
            if len(self._buffer) < 8 + length:
                return
            payload = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            if first >> 31:
                event = self._control(first >> 16 & 0x7FFF, first & 0xFFFF, flags, payload)
            else:
                event = DataReceived(first & _STREAM_ID, payload, bool(flags & _FIN))
            if event is not None:
                yield event

    def _control(self, version: int, kind: int, flags: int, payload: bytes) -> Event | None:
        if version != VERSION:
            raise SpdyError(f"SPDY version {version}")
        finished = bool(flags & _FIN)
        try:
            if kind == _GOAWAY:
                return GoingAway()
            number = _number(payload)
            if kind == _SYN_STREAM:
                return StreamOpened(number & _STREAM_ID, self._decompress(payload[10:]), finished)
            if kind == _SYN_REPLY:
                return StreamReplied(number & _STREAM_ID, self._decompress(payload[4:]), finished)
            if kind == _RST_STREAM:
                return StreamReset(number & _STREAM_ID)
            if kind == _PING:
                # An answer has the parity of who asked. We ask nothing, so ours would be a stray one.
                return None if number % 2 == self._parity else PingReceived(_frame(_PING, 0, payload[:4]))
            if kind == _HEADERS:
                self._decompress(payload[4:])  # nobody sends more headers, but the decompressor must see all of them
            return None  # SETTINGS and WINDOW_UPDATE change nothing here
        except struct.error as e:
            raise SpdyError(f"a frame of type {kind} is too short") from e

    def _decompress(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, HEADERS_LIMIT_BYTES)
        except zlib.error as e:
            raise SpdyError(f"headers are damaged: {e}") from e
        if self._inflate.unconsumed_tail:
            raise SpdyError("headers are too long")
        headers: dict[str, str] = {}
        position = 4
        for _ in range(_number(plain)):
            parts = []
            for _ in range(2):
                length = _number(plain, position)
                position += 4
                parts.append(plain[position : position + length].decode(errors="replace"))
                position += length
            headers[parts[0].lower()] = parts[1].split("\0")[0]
        return headers

    # Sending.

    def open_stream(self, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """A new stream's id, and the frame that opens it."""
        stream_id = self._next_stream_id
        self._next_stream_id += 2
        return stream_id, _frame(_SYN_STREAM, 0, struct.pack(">IIH", stream_id, 0, 0) + self._compress(headers))

    def reply(self, stream_id: int, headers: Mapping[str, str] | None = None) -> bytes:
        return _frame(_SYN_REPLY, 0, struct.pack(">I", stream_id) + self._compress(headers or {}))

    def data(self, stream_id: int, data: bytes, *, finish: bool = False) -> bytes:
        """Data frames; with `finish` the last one ends our half of the stream."""
        pieces = [data[start : start + SEND_BYTES] for start in range(0, len(data), SEND_BYTES)] or [b""]
        frames = []
        for index, piece in enumerate(pieces):
            last = finish and index == len(pieces) - 1
            frames.append(struct.pack(">II", stream_id, (_FIN if last else 0) << 24 | len(piece)) + piece)
        return b"".join(frames)

    def _compress(self, headers: Mapping[str, str]) -> bytes:
        plain = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for part in (name.lower().encode(), value.encode()):
                plain += struct.pack(">I", len(part)) + part
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _number(data: bytes, position: int = 0) -> int:
    number: int = struct.unpack_from(">I", data, position)[0]
    return number


def _frame(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(payload)) + payload
