"""A Transport that calls the server in the same process: no socket, no TLS, no encoding but the body's."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import unquote, urlencode

from kaa.client.transport import Query, TransportError
from kaa.client.transport import Response as ClientResponse
from kaa.lib.deadlines import Deadlines
from kaa.server.request import ANONYMOUS, Request, Response, User

Handle = Callable[[Request], Awaitable[Response]]


class InProcessTransport:
    """Requests as `user`, who is taken at his word; ANONYMOUS is authenticated by the headers like anybody else."""

    def __init__(self, handle: Handle, user: User = ANONYMOUS) -> None:
        self._handle = handle
        self._user = user
        self._deadlines = Deadlines()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_seconds: float = 30.0,
    ) -> ClientResponse:
        try:
            with self._deadlines.within(timeout_seconds):
                response = await self._handle(self._request(method, path, query, headers, body))
                if response.chunks is None:
                    return ClientResponse(response.status, _headers(response), response.body)
                return ClientResponse(response.status, _headers(response), await _joined(response.chunks))
        except TimeoutError:
            raise TransportError(f"{method} {path}: no answer in {timeout_seconds} seconds") from None

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, query: Query = (), headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AsyncIterator["InProcessStream"]:
        response = await self._handle(self._request(method, path, query, headers, body))
        chunks = response.chunks if response.chunks is not None else _once(response.body)
        try:
            yield InProcessStream(response, chunks)
        finally:
            await _close(chunks)

    async def close(self) -> None:
        self._deadlines.close()

    def _request(self, method: str, path: str, query: Query, headers: Mapping[str, str] | None, body: bytes) -> Request:
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        raw_query = urlencode(query) if query else ""
        return Request(method, unquote(path), list(query), lower, body, user=self._user, raw_query=raw_query)


class InProcessStream:
    def __init__(self, response: Response, chunks: AsyncIterator[bytes]) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = _headers(response)
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks


def _headers(response: Response) -> Mapping[str, str]:
    return {"content-type": response.content_type, **response.headers}


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _joined(chunks: AsyncIterator[bytes]) -> bytes:
    try:
        return b"".join([chunk async for chunk in chunks])
    finally:
        await _close(chunks)


async def _close(chunks: AsyncIterator[bytes]) -> None:
    """Ends a generator now, not when it is collected: what it holds (a watch, a connection) ends with it."""
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()
