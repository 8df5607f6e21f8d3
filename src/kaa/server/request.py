"""What passes through the server: a Request from whatever transport, and the Response that answers it.

Transports (`http.py` over TLS, `client/` in process) build a Request and carry out the Response; everything between
is the same. `handle(request) -> Response` is the server's whole surface.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from kaa.api.objects import Object
from kaa.api.resource import Resource

if TYPE_CHECKING:
    from kaa.server.audit import Record

MAX_BODY_BYTES = 3 * 1024 * 1024
"""The largest request body, as upstream's: 3 MiB; beyond it the answer is 413."""


@dataclass(frozen=True, slots=True)
class User:
    """Who asks. `extra` holds e.g. the credential id. Groups include system:authenticated or system:unauthenticated."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))

Hijack: TypeAlias = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Takes the connection over as raw bytes, after an Upgrade request; nothing has been answered yet then.

The reader begins with what came after the request's head. Only a real socket has one.
"""


@dataclass(slots=True)
class Request:
    """One request as it came in. Header names are lower case; `query` keeps order and repeats; `path` is unquoted."""

    method: str
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    client_certificate_der: bytes | None = None  # the peer's, not yet verified against the client CA
    client_address: str = ""
    hijack: Hijack | None = None
    user: User = ANONYMOUS  # set by authentication; in-process transports may set it themselves
    raw_query: str = ""  # as it came, for proxying
    raw_uri: str = ""  # path and query as they came, for the audit log
    audit: "Record | None" = None  # what is told of it in the audit log, if anything is
    answer_headers: dict[str, str] = field(default_factory=dict)  # of its answer, whatever that is

    def parameter(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        for key, value in self.query:
            if key == name:
                return value
        return default


def _cannot_write(chunk: bytes) -> bool:
    return False


@dataclass(slots=True)
class Outlet:
    """A stream's short way out, past its iterator: for bytes that come while the iterator is waited for.

    Whoever carries out the response may set `write`: it writes the bytes at once, or says that it cannot.
    """

    write: Callable[[bytes], bool] = _cannot_write


@dataclass(slots=True)
class Response:
    """`chunks`, when given, is a body of unknown length (a watch, a log); else `body` is all of it.

    `outlet`, when given, is where bytes may come out that `chunks` would else yield.
    `hijacked` says that the handler has taken the connection over and answered by itself.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    chunks: AsyncIterator[bytes] | None = None
    outlet: Outlet | None = None
    hijacked: bool = False

    def with_headers(self, headers: Mapping[str, str]) -> "Response":
        """A copy with these, too: answers that are always the same are shared."""
        more = {**self.headers, **headers}
        return Response(self.status, self.body, self.content_type, more, self.chunks, self.outlet, self.hijacked)


@dataclass(slots=True)
class Attributes:
    """What a request wants, for authorization and admission. Never changed after it was made.

    `verb` is the API verb (get, list, watch, create, update, patch, delete, deletecollection, impersonate, ...) for a
    resource, and the lower-case HTTP method for a path that is no resource. `resource` is None for those.
    """

    user: User
    verb: str
    group: str = ""
    version: str = ""
    plural: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    is_resource: bool = False
    resource: Resource | None = None


@dataclass(slots=True)
class AdmissionRequest:
    """One write under admission. `object` may be changed in place by the mutating pass; `old` never.

    `operation` is CREATE, UPDATE, DELETE or CONNECT. `object` is None for DELETE, `old` None for CREATE.
    """

    attributes: Attributes
    resource: Resource
    operation: str
    object: Object | None
    old: Object | None
    options: Mapping[str, Any] = field(default_factory=dict)
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
