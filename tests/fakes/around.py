"""A transport around another, for tests of what passes between a client and a server."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from kaa.client.transport import Query, Response, ResponseStream, Transport


class Around:
    """Passes everything on. What differs is in `request`."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_seconds: float = 30.0,
    ) -> Response:
        return await self._inner.request(
            method, path, query=query, headers=headers, body=body, timeout_seconds=timeout_seconds
        )

    def stream(
        self, method: str, path: str, *, query: Query = (), headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AbstractAsyncContextManager[ResponseStream]:
        return self._inner.stream(method, path, query=query, headers=headers, body=body)

    async def close(self) -> None:
        await self._inner.close()
