"""ResourceQuota: a namespace may not have more than its quotas say.

What is used is counted from the cached objects, not read from the quota's status, which follows later. Writes under way
are counted, too: from the check until their outcome is known, and after that until the cache shows the object. So
two creations at once cannot both take the last place.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kaa.api.objects import Object, name_of
from kaa.api.quantity import parse_quantity
from kaa.api.quota import ZERO, Amounts, is_about, total, unspecified, usage
from kaa.api.resource import Resource
from kaa.lib.clock import Clock
from kaa.server.admission.plugin import CREATE, UPDATE, created, name_in, refused
from kaa.server.chain import Reader
from kaa.server.request import AdmissionRequest

COUNTED = ("", "resize")
"""Subresources through which an object may come to use more; "" is the object itself."""

SETTLE_SECONDS = 5.0
"""How long a committed object may take to show in the cache before it is given up on."""


@dataclass(slots=True)
class Pending:
    """What a write will add to what its namespace uses."""

    resource: Resource
    namespace: str
    name: str
    obj: Object
    adds: Amounts
    until: float | None = None  # once committed: monotonic seconds


class ResourceQuota:
    """The last check of a write, and the account of those under way."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._pending: dict[int, Pending] = {}  # by the request's identity
        self._settling: list[Pending] = []

    async def validate(self, request: AdmissionRequest) -> None:
        """Raises Forbidden: `exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2`."""
        namespace = request.attributes.namespace
        if request.operation not in (CREATE, UPDATE) or request.attributes.subresource not in COUNTED or not namespace:
            return
        quotas = self._reader.list("ResourceQuota", namespace)
        if not quotas:
            return
        obj, resource = created(request), request.resource
        before = usage(request.old, resource) if request.old is not None else {}
        adds = {
            name: more for name, amount in usage(obj, resource).items() if (more := amount - before.get(name, ZERO))
        }
        adds = {name: more for name, more in adds.items() if more > ZERO}
        for quota in quotas:
            if adds and is_about(quota, obj, resource):
                self._check(request, quota, adds)
        self._pending[id(request)] = Pending(resource, namespace, name_in(request), obj, adds)

    def release(self, request: AdmissionRequest, committed: bool) -> None:
        pending = self._pending.pop(id(request), None)
        if pending is not None and committed and request.operation == CREATE and not request.dry_run:
            pending.name = name_in(request)
            pending.until = self._clock.monotonic() + SETTLE_SECONDS
            self._settling.append(pending)

    def _check(self, request: AdmissionRequest, quota: Object, adds: Amounts) -> None:
        hard: dict[str, str] = quota["spec"].get("hard") or {}
        limited = {name: more for name, more in adds.items() if name in hard}
        if request.resource.kind == "Pod" and request.operation == CREATE:
            missing = unspecified(created(request), hard)
            if missing:
                raise refused(request, f"failed quota: {name_of(quota)}: must specify {missing}")
        if not limited:
            return
        used = total([self._stored(quota, request, limited), *self._under_way(quota, request.attributes.namespace)])
        over = sorted(
            name for name, more in limited.items() if used.get(name, ZERO) + more > parse_quantity(hard[name])
        )
        if over:
            asked, had, most = (
                ",".join(f"{name}={amounts.get(name, ZERO)}" for name in over)
                for amounts in (limited, used, {name: parse_quantity(hard[name]) for name in over})
            )
            raise refused(
                request, f"exceeded quota: {name_of(quota)}, requested: {asked}, used: {had}, limited: {most}"
            )

    def _stored(self, quota: Object, request: AdmissionRequest, limited: Amounts) -> Amounts:
        """What the namespace's objects of the request's kind use of what is limited."""
        resource = request.resource
        objects = self._reader.list(f"{resource.kind}.{resource.group}".rstrip("."), request.attributes.namespace)
        return total(
            [
                {name: amount for name, amount in usage(obj, resource).items() if name in limited}
                for obj in objects
                if is_about(quota, obj, resource)
            ]
        )

    def _under_way(self, quota: Object, namespace: str) -> Iterator[Amounts]:
        now = self._clock.monotonic()
        self._settling = [p for p in self._settling if (p.until or 0) > now and not self._is_seen(p)]
        for pending in [*self._pending.values(), *self._settling]:
            if pending.namespace == namespace and is_about(quota, pending.obj, pending.resource):
                yield pending.adds

    def _is_seen(self, pending: Pending) -> bool:
        kind = f"{pending.resource.kind}.{pending.resource.group}".rstrip(".")
        return self._reader.get(kind, pending.name, pending.namespace) is not None
