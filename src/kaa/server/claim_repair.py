"""Claims and Services in step again, whatever was done to either by hand: see `claims`.

Every write of a Service takes its claims along, so there is nothing to do as long as nobody deletes an IPAddress, and
nobody writes a Service past the API. Of two Services with one number, the older has it; the other one is told of in
the log, for only its owner can say what it shall have instead.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import orjson

from kaa.api.objects import Object, name_of, namespace_of
from kaa.api.resource import Catalog
from kaa.lib.clock import Clock
from kaa.server.claims import ADDRESSES, ALLOCATOR, FAMILY, MANAGED_BY, NODE_PORTS, claim_value, claims_of, reference_to
from kaa.server.entries import Entry
from kaa.server.storage import decode, prefix_of
from kaa.server.watch_cache import WatchCache
from kaa.store.store import Compare, Delete, Operation, Put, Store, StoreFailed

log = logging.getLogger(__name__)

REPAIR_SECONDS = 30.0
"""Between two looks. Where nothing of either kind has changed, there is nothing to look at."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One as it is in the store. `marked`: it is labelled as ours, as node ports always are."""

    revision: int
    parent: Object
    marked: bool


@dataclass(frozen=True, slots=True)
class Make:
    key: str
    service: Object


@dataclass(frozen=True, slots=True)
class Remove:
    """A claim that is nobody's, or not as it should be: then it is made anew by the next look."""

    key: str
    revision: int


def repairs(services: Iterable[Object], claims: Mapping[str, Claim]) -> Iterator[Make | Remove]:
    """What is to be done, given all Services and all claims of one moment."""
    owners: dict[str, Object] = {}
    for service in sorted(services, key=lambda s: (s["metadata"]["creationTimestamp"], namespace_of(s), name_of(s))):
        for key in claims_of(service):
            owner = owners.setdefault(key, service)
            if owner is not service:
                log.error(
                    "%s is of two Services, %s/%s and %s/%s: recreate the second",
                    key.rpartition("/")[2],
                    namespace_of(owner),
                    name_of(owner),
                    namespace_of(service),
                    name_of(service),
                )
    for key, service in owners.items():
        claim = claims.get(key)
        if claim is None:
            yield Make(key, service)
        elif not claim.marked or claim.parent != reference_to(service):
            yield Remove(key, claim.revision)
    for key, claim in claims.items():
        if claim.marked and key not in owners:
            yield Remove(key, claim.revision)


class ClaimRepair:
    def __init__(self, store: Store, cache: WatchCache, catalog: Catalog, clock: Clock) -> None:
        self._store = store
        self._cache = cache
        self._clock = clock
        self._services = catalog.named("Service")
        self._seen: tuple[int, ...] = ()

    async def run(self) -> None:
        """Looks again and again, until cancelled."""
        while True:
            await self._clock.sleep(REPAIR_SECONDS)
            try:
                await self.look()
            except StoreFailed as error:
                log.warning("claims of Services cannot be repaired: %s", error)

    async def look(self) -> None:
        """Repairs what there is to repair, once."""
        seen = tuple(self._cache.at(prefix).changed for prefix in (prefix_of(self._services), ADDRESSES, NODE_PORTS))
        if seen == self._seen:
            return
        services = [decode(self._services, entry.item) for entry in self._cache.kind(self._services).select()]
        # Nothing is awaited in between: both are of one moment.
        for repair in list(repairs(services, self._claims())):
            log.warning("claim %s is repaired: %s", repair.key, type(repair).__name__.lower())
            compares, operation = self._carry_out(repair)
            await self._store.txn(compares, (operation,))  # one that has lost a race is looked at again
        self._seen = seen

    def _claims(self) -> dict[str, Claim]:
        return {
            prefix + entry.key: claim_of(prefix, entry)
            for prefix in (ADDRESSES, NODE_PORTS)
            for entry in self._cache.at(prefix).select()
        }

    def _carry_out(self, repair: Make | Remove) -> tuple[tuple[Compare, ...], Operation]:
        if isinstance(repair, Remove):
            return (Compare(repair.key, repair.revision),), Delete(repair.key)
        key = f"{prefix_of(self._services)}{namespace_of(repair.service)}/{name_of(repair.service)}"
        unchanged = Compare(key, int(repair.service["metadata"]["resourceVersion"]))
        return (Compare(repair.key, 0), unchanged), Put(
            repair.key, claim_value(repair.key, repair.service, self._clock)
        )


def claim_of(prefix: str, entry: Entry) -> Claim:
    obj = orjson.loads(entry.item)
    family = "IPv6" if ":" in entry.name else "IPv4"
    marked = prefix == NODE_PORTS or (entry.labels.get(MANAGED_BY), entry.labels.get(FAMILY)) == (ALLOCATOR, family)
    return Claim(entry.revision, (obj.get("spec") or {}).get("parentRef") or {}, marked)
