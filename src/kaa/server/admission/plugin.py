"""What an admission plugin is: a row that says which writes it looks at, and what it does with them.

`mutate` may change `request.object` in place, before validation; `validate` sees the final object. Either refuses by
raising `refused(request, why)`. A plugin reads the cache through its `Context`, and has no state of its own.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kaa.api.errors import APIError, Cause, qualified
from kaa.api.objects import Object
from kaa.lib.clock import Clock
from kaa.server.chain import Authorizer, Reader
from kaa.server.request import AdmissionRequest


@dataclass(frozen=True, slots=True)
class Context:
    """What plugins may ask."""

    reader: Reader
    authorizer: Authorizer
    clock: Clock


Hook = Callable[[AdmissionRequest, Context], Awaitable[None]]

CREATE, UPDATE, DELETE = "CREATE", "UPDATE", "DELETE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One row. `kinds` are (group, kind) pairs; empty means every kind. A subresource is looked at only if named."""

    name: str
    kinds: frozenset[tuple[str, str]] = frozenset()
    operations: frozenset[str] = frozenset({CREATE})
    subresources: frozenset[str] = frozenset({""})
    mutate: Hook | None = None
    validate: Hook | None = None

    def looks_at(self, request: AdmissionRequest) -> bool:
        resource = request.resource
        return (
            request.operation in self.operations
            and request.attributes.subresource in self.subresources
            and (not self.kinds or (resource.group, resource.kind) in self.kinds)
        )


POD = frozenset({("", "Pod")})


def name_in(request: AdmissionRequest) -> str:
    """The object's name, or what it will begin with, or what stands for neither in messages."""
    metadata: Object = (request.object or request.old or {}).get("metadata") or {}
    return request.attributes.name or metadata.get("name") or metadata.get("generateName") or "Unknown"


def refused(request: AdmissionRequest, why: str, *, cause: Cause | None = None) -> APIError:
    """Forbidden: `pods "x" is forbidden: <why>`."""
    resource, name = request.resource, name_in(request)
    message = f'{qualified(resource.name, resource.group)} "{name}" is forbidden: {why}'
    causes = [cause] if cause else []
    return APIError("Forbidden", message, causes=causes, name=name, group=resource.group, kind=resource.name)


def created(request: AdmissionRequest) -> Object:
    """The object of a CREATE or UPDATE."""
    assert request.object is not None
    return request.object


def spec_of(request: AdmissionRequest) -> Object:
    """Its spec. An object that has none gets an empty one: admission comes before validation."""
    obj = created(request)
    if not obj.get("spec"):
        obj["spec"] = {}
    spec: Object = obj["spec"]
    return spec
