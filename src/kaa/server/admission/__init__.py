"""What happens to a write between authorization and the store: first what may change it, then what may refuse it.

`PLUGINS` is the whole list, in upstream's order. Addresses and ports of Services are chosen after it, before
validation; quota is the very last check, and gives back what a failed write has taken.
"""

from collections.abc import Sequence
from typing import Protocol

from kaa.server.admission.certificates import CERTIFICATES
from kaa.server.admission.default_ingress_class import DEFAULT_INGRESS_CLASS
from kaa.server.admission.default_toleration_seconds import DEFAULT_TOLERATION_SECONDS
from kaa.server.admission.limit_ranger import LIMIT_RANGER
from kaa.server.admission.namespace_lifecycle import NAMESPACE_LIFECYCLE
from kaa.server.admission.node_restriction import NODE_RESTRICTION
from kaa.server.admission.plugin import Context, Hook, Plugin
from kaa.server.admission.pod_security import POD_SECURITY, POD_SECURITY_LABELS
from kaa.server.admission.priority import PRIORITY
from kaa.server.admission.resource_quota import ResourceQuota
from kaa.server.admission.runtime_class import RUNTIME_CLASS
from kaa.server.admission.service_account import SERVICE_ACCOUNT
from kaa.server.admission.storage import DEFAULT_STORAGE_CLASS, STORAGE_OBJECT_IN_USE_PROTECTION
from kaa.server.admission.taint_nodes import TAINT_NODES_BY_CONDITION
from kaa.server.request import AdmissionRequest

PLUGINS: tuple[Plugin, ...] = (
    NAMESPACE_LIFECYCLE,
    LIMIT_RANGER,
    SERVICE_ACCOUNT,
    NODE_RESTRICTION,
    TAINT_NODES_BY_CONDITION,
    POD_SECURITY,
    POD_SECURITY_LABELS,
    *PRIORITY,
    DEFAULT_TOLERATION_SECONDS,
    DEFAULT_STORAGE_CLASS,
    STORAGE_OBJECT_IN_USE_PROTECTION,
    RUNTIME_CLASS,
    *CERTIFICATES,
    DEFAULT_INGRESS_CLASS,
)


SORTS_KEPT = 4096
"""Kinds, operations and subresources whose plugins are known at a time; beyond it they are looked for anew."""


class Reservation(Protocol):
    """Something that is chosen for a write: an address, a port."""

    async def reserve(self, request: AdmissionRequest) -> None:
        """May fill the object in. Raises APIError when there is nothing left."""
        ...


class Check(Protocol):
    """A check that is no plugin upstream either, but part of a kind's storage: RBAC's escalation check."""

    async def validate(self, request: AdmissionRequest) -> None: ...


class AdmissionChain:
    """The `Admission` of the chain."""

    def __init__(
        self,
        context: Context,
        plugins: Sequence[Plugin] = PLUGINS,
        reservations: Sequence[Reservation] = (),
        checks: Sequence[Check] = (),
        quota: ResourceQuota | None = None,
    ) -> None:
        self._context = context
        self._plugins = tuple(plugins)
        self._hooks: dict[tuple[str, str, str, str], tuple[list[Hook], list[Hook]]] = {}
        self._reservations = tuple(reservations)
        self._checks = tuple(checks)
        self._quota = quota

    async def mutate(self, request: AdmissionRequest) -> None:
        mutating, _ = self._hooks_for(request)
        for hook in mutating:
            await hook(request, self._context)
        for reservation in self._reservations:
            await reservation.reserve(request)

    async def validate(self, request: AdmissionRequest) -> None:
        _, validating = self._hooks_for(request)
        for hook in validating:
            await hook(request, self._context)
        for check in self._checks:
            await check.validate(request)
        if self._quota is not None:
            await self._quota.validate(request)

    def _hooks_for(self, request: AdmissionRequest) -> tuple[list[Hook], list[Hook]]:
        """The mutating and the validating hooks that look at requests like this; worked out once for each sort."""
        resource = request.resource
        sort = (resource.group, resource.kind, request.operation, request.attributes.subresource)
        hooks = self._hooks.get(sort)
        if hooks is None:
            if len(self._hooks) >= SORTS_KEPT:
                self._hooks.clear()
            looking = [plugin for plugin in self._plugins if plugin.looks_at(request)]
            mutating = [plugin.mutate for plugin in looking if plugin.mutate is not None]
            validating = [plugin.validate for plugin in looking if plugin.validate is not None]
            hooks = self._hooks[sort] = (mutating, validating)
        return hooks

    def release(self, request: AdmissionRequest, committed: bool) -> None:
        if self._quota is not None:
            self._quota.release(request, committed)
