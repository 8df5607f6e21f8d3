"""HTTP/1.1 over TLS for the server: aiohttp requests in, `handle`, responses out. Knows nothing of Kubernetes.

A log is written chunk by chunk, each flushed at once; when its client goes away the handler is cancelled and the stream
ends. Watches, which last long, leave aiohttp behind (see `http_streams`). Large bodies are compressed when the client
asks for it, and written in slices. `Hijack` hands a connection over as raw bytes (see `kaa.lib.hijack`).
"""

import asyncio
import errno
import logging
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from urllib.parse import parse_qsl, unquote

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from kaa.api.errors import APIError, bad_request
from kaa.lib.hijack import HIJACKED, hijack
from kaa.server.http_streams import Streams, chunk_of, close
from kaa.server.negotiation import respond_error, too_large
from kaa.server.request import MAX_BODY_BYTES, Outlet, Request, Response
from kaa.server.websocket import is_websocket, stream_messages

GZIP_FROM_BYTES = 128 * 1024
GZIP_LEVEL = 1
"""Bodies from this size on are compressed when asked for, as upstream: below it the CPU costs more than it saves."""

GZIP_WINDOW = 31
"""zlib's window bits for the gzip format."""

SLICE_BYTES = 256 * 1024
"""Larger bodies are written in pieces of this size."""

OUTLET_BYTES = 64 * 1024
"""How much may wait to be sent for a chunk to be added without waiting."""

MAX_LINE_BYTES = 64 * 1024
"""Of a request's first line, and of each header: selectors and tokens may be long. Beyond it the answer is 400."""

IDLE_SECONDS = 90.0
"""How long a connection may be silent between requests, as upstream's. The whole head of the first is due by then."""

HANDSHAKE_SECONDS = 10.0
"""How long a TLS handshake may take: one that is under way holds 50 KiB."""

BODY_SECONDS = 60.0
REQUEST_TIMEOUT = 408
"""How long a body may take to arrive, as upstream's limit for any request that does not last, and the answer then."""

LINGER_SECONDS = 2.0
"""How long the rest of a refused body is read and forgotten, so that its sender comes to read the refusal."""

BACKLOG = 1024
"""Connections that the kernel holds until they are accepted."""

STOP_SECONDS = 2.0
"""How long requests in flight may take when the server stops."""

Handle = Callable[[Request], Awaitable[Response]]


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether what aiohttp reports is worth a line: that somebody sent what is no HTTP is his fault, and answered."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


log = logging.getLogger(__name__)
log.addFilter(_is_ours)


class CannotListen(Exception):
    """An address is taken or not ours. The message is for a person."""


class HTTPServer:
    """Serves `handle` on any number of addresses."""

    def __init__(
        self,
        handle: Handle,
        tls: ssl.SSLContext | None,
        *,
        idle_seconds: float = IDLE_SECONDS,
        body_seconds: float = BODY_SECONDS,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._handle = handle
        self._stop_seconds = stop_seconds
        self._tls = tls
        self._body_seconds = body_seconds
        self._server = server = web.Server(
            self._answer,
            handler_cancellation=True,
            access_log=None,
            logger=log,
            keepalive_timeout=idle_seconds,
            lingering_time=LINGER_SECONDS,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            auto_decompress=False,  # upstream takes no compressed bodies, either
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=stop_seconds)
        self._streams = Streams(server)
        self._listeners: list[asyncio.Server] = []

    async def start(self, addresses: Sequence[str], port: int) -> int:
        """Listens, and returns the port (`port` 0: any that is free). Raises CannotListen."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        handshake = HANDSHAKE_SECONDS if self._tls is not None else None
        for address in addresses:
            try:
                listener = await loop.create_server(
                    self._server, address, port, ssl=self._tls, ssl_handshake_timeout=handshake, backlog=BACKLOG
                )
            except OSError as error:
                await self.stop()
                reason = "it is in use by another program" if error.errno == errno.EADDRINUSE else str(error.strerror)
                raise CannotListen(f"cannot listen on {address}:{port}: {reason}") from None
            self._listeners.append(listener)
            port = port or int(listener.sockets[0].getsockname()[1])
        return port

    async def stop(self) -> None:
        for listener in self._listeners:
            listener.close()
        await self._streams.stop(self._stop_seconds)
        await self._runner.cleanup()
        for listener in self._listeners:
            await listener.wait_closed()

    async def _answer(self, http_request: web.BaseRequest) -> web.StreamResponse:
        hijacked = False

        async def take_over() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            nonlocal hijacked
            hijacked = True
            return await hijack(http_request)

        try:
            body = await read_body(http_request, self._body_seconds)
        except APIError as error:
            refused = plain_response(respond_error(error))
            refused.force_close()  # the rest of the body is not read
            return refused
        response = await self._handle(request_of(http_request, body, take_over))
        if hijacked or response.hijacked:
            return HIJACKED
        if response.chunks is not None:
            if is_websocket(http_request):
                return await stream_messages(http_request, response, response.chunks)
            if response.outlet is not None and http_request.version >= HttpVersion11:
                return await self._stream_for_long(http_request, response, response.outlet, response.chunks)
            return await stream(http_request, response, response.chunks)
        if len(response.body) >= GZIP_FROM_BYTES and "gzip" in http_request.headers.get("accept-encoding", ""):
            response = await compressed(response)
        if len(response.body) > SLICE_BYTES and http_request.method != "HEAD":
            return await write_slices(http_request, response)
        return plain_response(response)

    async def _stream_for_long(
        self, request: web.BaseRequest, response: Response, outlet: Outlet, chunks: AsyncIterator[bytes]
    ) -> web.StreamResponse:
        try:
            transport = self._streams.begin(request, response.status, headers_of(response), chunks)
        except ConnectionError:
            await close(chunks)
        else:
            outlet.write = chunk_writer(transport)
        return HIJACKED


async def read_body(request: web.BaseRequest, seconds: float) -> bytes:
    """The whole body. Raises RequestEntityTooLarge as soon as it is known to be, Timeout, BadRequest if broken."""
    if not request.body_exists:
        return b""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise too_large()
    try:
        async with asyncio.timeout(seconds):
            return await _read_chunks(request)
    except TimeoutError:
        why = "the body of the request did not arrive in time"
        raise APIError("Timeout", why, code=REQUEST_TIMEOUT) from None
    except web.RequestPayloadError as error:
        raise bad_request(f"the body of the request cannot be read: {error}") from None


async def _read_chunks(request: web.BaseRequest) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise too_large()
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def request_of(
    request: web.BaseRequest,
    body: bytes,
    take_over: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]],
) -> Request:
    path, _, query = request.raw_path.partition("?")
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        # A header that comes again means a list, as one that has commas.
        headers[lower] = f"{headers[lower]},{value}" if lower in headers else value
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    return Request(
        request.method,
        unquote(path),
        parse_qsl(query, keep_blank_values=True) if query else [],
        headers,
        body,
        tls.getpeercert(True) if tls is not None else None,
        peer[0] if peer else "",
        take_over,
        raw_query=query,
        raw_uri=request.raw_path,
    )


def headers_of(response: Response) -> CIMultiDict[str]:
    headers = CIMultiDict(response.headers)
    headers["Content-Type"] = response.content_type
    headers.setdefault("Cache-Control", "no-cache, private")
    return headers


def plain_response(response: Response) -> web.Response:
    return web.Response(status=response.status, body=response.body, headers=headers_of(response))


async def write_slices(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    """A large body, piece by piece: TLS would else hold it all encrypted beside the plain one."""
    sliced = web.StreamResponse(status=response.status, headers=headers_of(response))
    sliced.content_length = len(response.body)
    view = memoryview(response.body)
    try:
        await sliced.prepare(request)
        for start in range(0, len(view), SLICE_BYTES):
            await sliced.write(view[start : start + SLICE_BYTES])
        await sliced.write_eof()
    except ConnectionError:
        pass  # the client has gone
    return sliced


async def stream(request: web.BaseRequest, response: Response, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    streamed = web.StreamResponse(status=response.status, headers=headers_of(response))
    streamed.enable_chunked_encoding()
    try:
        await streamed.prepare(request)
        async for chunk in chunks:
            await streamed.write(chunk)
        await streamed.write_eof()
    except ConnectionError:
        pass  # the client has gone: that is how most watches end
    finally:
        await close(chunks)
    return streamed


def chunk_writer(transport: asyncio.Transport) -> Callable[[bytes], bool]:
    """Writes a chunk of the body straight to the connection, unless its client reads too slowly."""

    def write(chunk: bytes) -> bool:
        if transport.get_write_buffer_size() > OUTLET_BYTES or transport.is_closing():
            return False
        transport.write(chunk_of(chunk))
        return True

    return write


async def compressed(response: Response) -> Response:
    """The response with its body in gzip, made in a thread: zlib lets others run meanwhile."""
    body = await asyncio.to_thread(_gzip, response.body)
    headers = {**response.headers, "content-encoding": "gzip", "vary": "Accept-Encoding"}
    return Response(response.status, body, response.content_type, headers)


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    return compressor.compress(body) + compressor.flush()
