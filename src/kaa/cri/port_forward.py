"""Port forwarding over SPDY (`portforward.k8s.io`): for each connection of the client an error and a data stream.

Both carry the headers `port` and `requestid`, which pairs them. A real pod's port is dialled on its own loopback, by
a thread inside of its network namespace; the socket it makes stays in there, wherever it is used.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kaa.cri.linux.namespaces import in_namespace
from kaa.cri.spdy_connection import SpdyConnection, SpdyStream

PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = f"SPDY/3.1+{PROTOCOL}"

DIAL_TIMEOUT_SECONDS = 10.0
PAIRS_LIMIT = 64
"""Halves of pairs whose other stream has not come yet."""

READ_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Pod:
    """Whose ports are forwarded. `dial` makes a connection to one, or raises OSError; `place` is where, for errors."""

    sandbox_id: str
    place: str
    dial: Callable[[int], Awaitable[socket.socket]]


def pod_in(netns_path: str, sandbox_id: str) -> Pod:
    """A pod with a network namespace."""
    return Pod(sandbox_id, f'namespace "{netns_path}"', lambda port: in_namespace(netns_path, lambda: dial(port)))


async def forward(connection: SpdyConnection, pod: Pod) -> None:
    """Serves a client until it is gone; whatever is still open then is closed."""
    halves: dict[str, SpdyStream] = {}
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(connection.run())
        while (stream := await connection.accept()) is not None:
            request_id = stream.headers.get("requestid", "")
            other = halves.pop(request_id, None)
            if other is None:
                if len(halves) >= PAIRS_LIMIT:
                    halves.pop(next(iter(halves)))
                halves[request_id] = stream
                continue
            by_type = {s.headers.get("streamtype"): s for s in (stream, other)}
            if by_type.keys() >= {"data", "error"}:
                tasks.create_task(_serve(by_type["data"], by_type["error"], pod))
        reading.cancel()


async def _serve(data: SpdyStream, error: SpdyStream, pod: Pod) -> None:
    try:
        port = data.headers.get("port", "")
        try:
            dialled = await pod.dial(int(port))
        except (OSError, ValueError) as e:
            where = f"failed to connect to localhost:{port} inside {pod.place}"
            why = f"dial tcp4 127.0.0.1:{port}: connect: {reason(e)}"
            await error.write(f"error forwarding port {port} to pod {pod.sandbox_id}, uid : {where}: {why}".encode())
            return
        reader, writer = await asyncio.open_connection(sock=dialled)
        try:
            async with asyncio.TaskGroup() as tasks:
                outward = tasks.create_task(_to_client(reader, data))
                inward = tasks.create_task(_to_pod(data, writer))
                await outward  # once the pod has said all, there is no use in what the client would still say
                inward.cancel()
        finally:
            writer.close()
    except (ConnectionError, BaseExceptionGroup):
        return
    finally:
        await data.finish()
        await error.finish()


def dial(port: int) -> socket.socket:
    """A connection to the port on this namespace's loopback, IPv4 first. Blocks; raises OSError."""
    try:
        return socket.create_connection(("127.0.0.1", port), DIAL_TIMEOUT_SECONDS)
    except OSError as first:
        try:
            return socket.create_connection(("::1", port), DIAL_TIMEOUT_SECONDS)
        except OSError:
            raise first from None


def reason(error: Exception) -> str:
    """What Go's net package calls the error."""
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "i/o timeout"
    return os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)


async def _to_client(reader: asyncio.StreamReader, data: SpdyStream) -> None:
    while piece := await reader.read(READ_BYTES):
        await data.write(piece)
    await data.finish()


async def _to_pod(data: SpdyStream, writer: asyncio.StreamWriter) -> None:
    while piece := await data.read():
        writer.write(piece)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
