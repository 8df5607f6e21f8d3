"""A transport over another that puts headers of its own on all that passes.

`impersonating`: one client speaks as somebody else, as far as it may `impersonate` that user and its groups; many
clients of different users can so share the connections of one.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from kaa.client.transport import Query, Response, ResponseStream, Transport


class WithHeaders:
    """`on_stream` are for streams, where they differ. `close` leaves the transport below open: it is its owner's."""

    def __init__(
        self, transport: Transport, on_request: Mapping[str, str], on_stream: Mapping[str, str] | None = None
    ) -> None:
        self._transport = transport
        self._on_request = on_request
        self._on_stream = on_request if on_stream is None else on_stream

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
        all_headers = {**(headers or {}), **self._on_request}
        return await self._transport.request(
            method, path, query=query, headers=all_headers, body=body, timeout_seconds=timeout_seconds
        )

    def stream(
        self, method: str, path: str, *, query: Query = (), headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AbstractAsyncContextManager[ResponseStream]:
        all_headers = {**(headers or {}), **self._on_stream}
        return self._transport.stream(method, path, query=query, headers=all_headers, body=body)

    async def close(self) -> None:
        return None


def impersonating(transport: Transport, user: str, groups: tuple[str, ...]) -> WithHeaders:
    """`groups`: one at least."""
    return WithHeaders(transport, {"impersonate-user": user, "impersonate-group": ",".join(groups)})
