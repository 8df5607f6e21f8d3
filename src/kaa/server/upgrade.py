"""Passing an upgraded connection through: SPDY or WebSocket to the client, the same bytes to the kubelet or pod.

The backend is asked first. If it agrees (101), its answer goes to the client and from then on bytes flow both ways
until either side is done. If it refuses, its answer becomes an ordinary response: the client's connection stays
the server's, so that the client's next request on it cannot reach the backend with the server's own credentials.
"""

import asyncio
from collections.abc import Iterable, Mapping

from kaa.api.errors import APIError
from kaa.server.authentication import WEBSOCKET_BEARER
from kaa.server.authentication.credentials import header_values
from kaa.server.backends import BUFFER_BYTES, Backends, Target, unreachable
from kaa.server.request import Request, Response

ANSWER_SECONDS = 30.0
MAX_REFUSAL_BYTES = 64 * 1024
SWITCHING_PROTOCOLS = 101

NOT_FORWARDED = ("authorization", "content-length", "host", "transfer-encoding")
"""Headers that are the server's own business; so is all of `impersonate-*` and `x-remote-*`."""
NOT_FORWARDED_PREFIXES = ("impersonate-", "x-remote-")
WEBSOCKET_PROTOCOLS = "sec-websocket-protocol"
"""One of these may be a bearer token (see authentication), which stays here."""


def is_upgrade(request: Request) -> bool:
    """Whether the client wants to leave HTTP."""
    return "upgrade" in request.headers.get("connection", "").lower() and bool(request.headers.get("upgrade"))


def forwarded_headers(headers: Mapping[str, str], drop: Iterable[str] = ()) -> dict[str, str]:
    """What a backend may see of a client's headers."""
    dropped = {*NOT_FORWARDED, *drop}
    seen = {
        name: value
        for name, value in headers.items()
        if name not in dropped and not name.startswith(NOT_FORWARDED_PREFIXES)
    }
    if WEBSOCKET_PROTOCOLS in seen:
        protocols = header_values(seen, WEBSOCKET_PROTOCOLS)
        seen[WEBSOCKET_PROTOCOLS] = ", ".join(p for p in protocols if not p.startswith(WEBSOCKET_BEARER))
    return seen


async def pass_through(request: Request, backends: Backends, target: Target, path: str) -> Response:
    """Asks `target` for the upgrade and carries it out. Raises APIError if it cannot be reached."""
    if request.hijack is None:
        raise APIError("InternalError", "Internal error occurred: this transport cannot take a connection over")
    backend_reader, backend_writer = await backends.dial(target)
    try:
        backend_writer.write(_request_head(request, target, path))
        head = await _answer_head(backend_reader, target)
        status, headers = _parse_head(head)
        if status != SWITCHING_PROTOCOLS:
            return await _refusal(status, headers, backend_reader)
        reader, writer = await request.hijack()
        try:
            writer.write(head)
            await splice(reader, writer, backend_reader, backend_writer)
        finally:
            writer.close()
        return Response(status, hijacked=True)
    finally:
        backend_writer.close()


async def splice(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    other_reader: asyncio.StreamReader,
    other_writer: asyncio.StreamWriter,
) -> None:
    """Bytes both ways until both are at their end. Ends early if either connection breaks."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_pump(reader, other_writer), name="to backend")
        tasks.create_task(_pump(other_reader, writer), name="to client")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction. Its end is handed on: as a half close where there is such a thing, else (TLS) as a close."""
    try:
        while data := await reader.read(BUFFER_BYTES):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()
    except OSError:
        writer.close()  # a broken connection: the other direction sees its end, too


def _request_head(request: Request, target: Target, path: str) -> bytes:
    headers = {"host": f"{target.host}:{target.port}", **forwarded_headers(request.headers)}
    lines = [f"{request.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if request.method in ("POST", "PUT", "PATCH"):
        lines.append("content-length: 0")
    if any("\r" in line or "\n" in line for line in lines):
        raise APIError("BadRequest", "a header contains a line break")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


async def _answer_head(reader: asyncio.StreamReader, target: Target) -> bytes:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await reader.readuntil(b"\r\n\r\n")
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise unreachable(target, error) from None


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers, names in lower case."""
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise APIError("InternalError", "error dialing backend: the answer is not HTTP")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return int(parts[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _refusal(status: int, headers: Mapping[str, str], reader: asyncio.StreamReader) -> Response:
    """The backend's own words, as far as they are given with a length."""
    length = headers.get("content-length", "")
    body = b""
    if length.isdigit():
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                body = await reader.readexactly(min(int(length), MAX_REFUSAL_BYTES))
        except asyncio.IncompleteReadError as cut:
            body = cut.partial
        except (OSError, TimeoutError):
            body = b""
    return Response(status, body, headers.get("content-type", "text/plain; charset=utf-8"))
