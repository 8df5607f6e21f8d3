"""The link between one component and the API server: where the network would be.

A `Link` is a Transport around another one. As long as nothing is done to it, it passes everything on.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from kaa.client.transport import Query, Response, ResponseStream, Transport


class Link:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

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
        return await self._transport.request(
            method, path, query=query, headers=headers, body=body, timeout_seconds=timeout_seconds
        )

    def stream(
        self, method: str, path: str, *, query: Query = (), headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AbstractAsyncContextManager[ResponseStream]:
        return self._transport.stream(method, path, query=query, headers=headers, body=body)

    async def close(self) -> None:
        await self._transport.close()
