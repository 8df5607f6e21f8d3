"""The seams of the request chain: what the server core asks of security, and what it offers in return.

Every request passes authentication -> authorization -> (for writes) admission -> registry -> store. The core owns
the ends; the middle parts are Protocols, so that they can be read, tested and replaced one by one:

    def secure(core: Core) -> Chain:
        return Chain(Certificates(core.reader), RBAC(core.reader), AdmissionChain(PLUGINS, core.reader))

    server = APIServer(store, clock, secure=secure)

`Core` is given when the server is made, before its caches are filled: read through it when asked, not at once.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from kaa.api.objects import Object
from kaa.api.resource import Catalog, Resource
from kaa.lib.clock import Clock
from kaa.server.request import AdmissionRequest, Attributes, Request, Response, User


class Authenticator(Protocol):
    async def authenticate(self, request: Request) -> User | None:
        """Who asks; None when the request carries no credentials at all (it is then anonymous).

        Raises APIError Unauthorized for credentials that are wrong.
        """
        ...


class Authorizer(Protocol):
    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        """Whether it is allowed, and why (not), which is "" unless there is something worth adding to the 403."""
        ...


class Admission(Protocol):
    async def mutate(self, request: AdmissionRequest) -> None:
        """May change `request.object` in place; runs before validation. Raises APIError to refuse."""
        ...

    async def validate(self, request: AdmissionRequest) -> None:
        """Runs on the final, valid object. Raises APIError to refuse; adds to `request.warnings`."""
        ...

    def release(self, request: AdmissionRequest, committed: bool) -> None:
        """Called once for each request that `mutate` was called for, when its outcome is known.

        What was set aside for it (quota) is given back if it was not committed. A write that lost a race is tried
        again: with a new request.
        """
        ...


class Reader(Protocol):
    """Reads the watch cache, at once and without copying: what comes back is not to be modified."""

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """`kind` is named as in `Catalog.named`."""
        ...

    def list(self, kind: str, namespace: str | None = None, fields: Mapping[str, str] | None = None) -> list[Object]:
        """`fields` are selectable fields and their values: what differs is not even decoded."""
        ...

    def revision(self, kind: str) -> int:
        """The revision of the kind's last change: what is derived from its objects is good until it moves."""
        ...


class Writer(Protocol):
    """Writes as the server itself: no HTTP, no admission, no authorization; validated and defaulted like all writes.

    Answers and errors are those of the API: AlreadyExists, NotFound, Conflict, Invalid.
    """

    async def create(self, kind: str, obj: Object) -> Object: ...

    async def update(self, kind: str, obj: Object, subresource: str = "") -> Object:
        """With `metadata.resourceVersion` only if it is still that."""
        ...

    async def delete(self, kind: str, name: str, namespace: str = "", *, uid: str = "") -> None: ...


Handler: TypeAlias = Callable[[Request, Attributes, Resource], Awaitable[Response]]
"""Answers a request that the registry does not: a connect subresource (exec, proxy, token) or a virtual kind.

It is called after authorization, and does its own admission where there is any. Body and answer: `decode_object`
in `bodies`, `respond` in `negotiation`.
"""


@dataclass(slots=True)
class Core:
    """What the server offers to the parts of its chain."""

    clock: Clock
    catalog: Catalog
    reader: Reader
    writer: Writer
    is_taken: Callable[[str], bool]  # whether there is something at a store key


@dataclass(slots=True)
class Chain:
    """The parts of the chain that are not the core's.

    `subresources` is keyed by (kind, subresource) as in ("Pod", "exec"); `virtual` by kind, for kinds that are
    answered and never stored, as TokenReview; `paths` are asked in turn for what is no resource. `started` is awaited
    once the caches are filled, before the server is ready: bootstrap objects are made there. `background` runs until
    the server stops.
    """

    authenticator: Authenticator
    authorizer: Authorizer
    admission: Admission
    subresources: Mapping[tuple[str, str], Handler] = field(default_factory=dict)
    virtual: Mapping[str, Handler] = field(default_factory=dict)
    paths: Sequence[Callable[[Request], Response | None]] = ()
    started: Callable[[], Awaitable[None]] | None = None
    background: Callable[[], Coroutine[object, object, None]] | None = None


SecureBy: TypeAlias = Callable[[Core], Chain]


class TrustEverybody:
    """No security at all, for tests and simulations whose clients live in the same process."""

    async def authenticate(self, request: Request) -> User | None:
        return User("system:admin", ("system:masters", "system:authenticated"))

    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        return True, ""

    async def mutate(self, request: AdmissionRequest) -> None:
        return None

    async def validate(self, request: AdmissionRequest) -> None:
        return None

    def release(self, request: AdmissionRequest, committed: bool) -> None:
        return None


def trust_everybody(core: Core) -> Chain:
    trust = TrustEverybody()
    return Chain(trust, trust, trust)
