"""Lists and watches that carry only metadata, for whoever needs every object of every kind but not what is in it.

A `Transport` over another that asks for PartialObjectMetadata; a server without that form answers with whole objects,
which do as well.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from kaa.client.rest import Client
from kaa.client.transport import Query, Response, ResponseStream, Transport

LIST_FORM = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
WATCH_FORM = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"


class MetadataTransport:
    """Every `request` is a list, every `stream` a watch: that is all that a cache asks."""

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
            method,
            path,
            query=query,
            headers={**(headers or {}), "accept": LIST_FORM},
            body=body,
            timeout_seconds=timeout_seconds,
        )

    def stream(
        self, method: str, path: str, *, query: Query = (), headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AbstractAsyncContextManager[ResponseStream]:
        return self._transport.stream(
            method, path, query=query, headers={**(headers or {}), "accept": WATCH_FORM}, body=body
        )

    async def close(self) -> None:
        """The transport below belongs to whoever made it."""


def metadata_client(client: Client) -> Client:
    return Client(MetadataTransport(client.transport), client.catalog)
