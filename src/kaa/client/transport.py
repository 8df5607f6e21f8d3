"""The Transport: how a client reaches an API server. One of Kaa's narrow waists.

`HTTPTransport` speaks TLS to any Kubernetes API server; the in-process transport calls our server's handler with no
socket, so that a whole cluster can live in one event loop. A transport knows nothing of objects: paths, headers and
bytes. It carries the credentials it was made with.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ResponseStream(Protocol):
    """An answer whose body comes in chunks, e.g. a watch. Ends as the server ends it; TransportError if cut."""

    status: int
    headers: Mapping[str, str]

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class TransportError(Exception):
    """No answer: refused, reset, timed out, TLS failed. Whether the request took effect is not known."""


class Transport(Protocol):
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
        """One request, whole answer, whatever its status. `path` begins with "/" and is already quoted."""
        ...

    def stream(
        self, method: str, path: str, *, query: Query = (), headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AbstractAsyncContextManager[ResponseStream]:
        """A request whose answer is read in chunks; leaving the context ends it. Raises TransportError on entry."""
        ...

    async def close(self) -> None: ...
