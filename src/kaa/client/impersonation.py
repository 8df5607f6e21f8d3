"""A transport on which one client speaks as somebody else, as far as it may `impersonate` that user and its groups.

Many clients of different users can so share the connections of one.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from kaa.client.transport import Query, Response, ResponseStream, Transport


class Impersonating:
    """`groups`: one at least. `close` leaves the shared transport open: it is its owner's."""

    def __init__(self, transport: Transport, user: str, groups: tuple[str, ...]) -> None:
        self._transport = transport
        self._claims = {"impersonate-user": user, "impersonate-group": ",".join(groups)}

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
        claimed = {**(headers or {}), **self._claims}
        return await self._transport.request(
            method, path, query=query, headers=claimed, body=body, timeout_seconds=timeout_seconds
        )

    def stream(
        self, method: str, path: str, *, query: Query = (), headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AbstractAsyncContextManager[ResponseStream]:
        claimed = {**(headers or {}), **self._claims}
        return self._transport.stream(method, path, query=query, headers=claimed, body=body)

    async def close(self) -> None:
        return None
