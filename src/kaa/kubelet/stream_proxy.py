"""exec, attach and port-forward: the client's upgraded connection, passed on to the runtime's streaming server.

The runtime speaks the protocols (SPDY, WebSocket); the kubelet only carries bytes, and the head of the request once.
"""

import asyncio
from urllib.parse import urlsplit

from aiohttp import web

from kaa.lib.hijack import HIJACKED, hijack

BUFFER_BYTES = 64 * 1024
NOT_FORWARDED = frozenset(("host", "content-length", "transfer-encoding", "authorization"))


async def pass_through(request: web.Request, url: str) -> web.StreamResponse:
    """`url` is what CRI's Exec, Attach or PortForward has answered."""
    if "upgrade" not in request.headers.get("Connection", "").lower():
        return web.Response(status=400, text="Upgrade request required")
    target = urlsplit(url)
    await request.read()
    try:
        runtime_reader, runtime_writer = await asyncio.open_connection(target.hostname, target.port or 80)
    except OSError as error:
        return web.Response(status=502, text=f"error dialing the container runtime: {error}")
    try:
        reader, writer = await hijack(request)
        path = f"{target.path}?{target.query}" if target.query else target.path
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in NOT_FORWARDED]
        lines = [f"{request.method} {path} HTTP/1.1", f"Host: {target.netloc}", *(f"{n}: {v}" for n, v in headers)]
        body = ["Content-Length: 0"] if request.method in ("POST", "PUT") else []
        runtime_writer.write(("\r\n".join([*lines, *body]) + "\r\n\r\n").encode("latin-1"))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, runtime_writer))
                group.create_task(_pump(runtime_reader, writer))
        finally:
            writer.close()
    finally:
        runtime_writer.close()
    return HIJACKED


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction; its end is handed on, as a half close where the connection has such a thing."""
    try:
        while data := await reader.read(BUFFER_BYTES):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()
    except OSError:
        writer.close()  # broken: the other direction sees its end, too
