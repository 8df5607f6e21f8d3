"""The registry: create, update and delete of any kind, between admission and the store.

A write is a loop around one compare-and-set: read the current entry, work out the new object, let admission see it,
validate, and put it where the key still has the revision that was read. Who lost a race works it out again from the
newer object; a caller who named a resourceVersion is told of the Conflict instead, since what it means is "only if
it is still this".

    written = await registry.update(PODS, "default", "a", lambda old: patch(old), write)
    with_head(PODS, written.item)                            # the bytes of the answer
"""

import asyncio
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from kaa.api.errors import already_exists, conflict, not_found
from kaa.api.objects import Object, copy_object
from kaa.api.resource import Resource
from kaa.lib.clock import Clock, rfc3339
from kaa.server import strategy
from kaa.server.chain import Admission
from kaa.server.claims import ClaimLost, claim_change, makes_claims
from kaa.server.deletion import DeleteOptions, Mark, Pending, Remove, decide, may_be_removed
from kaa.server.entries import Entry
from kaa.server.field_managers import Tracker
from kaa.server.object_meta import (
    GENERATE_NAME_TRIES,
    before_create,
    check_identity,
    count_generation,
    generated_name,
    must_specify_version,
    put_managed_fields,
    same_but_for_times,
    settle_namespace,
)
from kaa.server.request import AdmissionRequest, Attributes, User
from kaa.server.storage import METADATA, decode, encode, item_of, key_of
from kaa.server.watch_cache import WatchCache
from kaa.store.store import Compare, Delete, Operation, Put, Store, StoreFailed, Transaction

UPDATE_TRIES = 32
"""Races that an update may lose before its caller gets the Conflict."""

EVENT_TTL_SECONDS = 3600
EVENT_LEASE_SHARED_SECONDS = 60
"""Events live an hour; those made within a minute share a lease and so may live a minute longer."""

SERVER = User("system:apiserver", ("system:masters", "system:authenticated"))


@dataclass(slots=True)
class Write:
    """The circumstances of one write. Without `admission` it is the server's own; without `tracker` nobody's."""

    attributes: Attributes
    admission: Admission | None = None
    dry_run: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    tracker: Tracker | None = None


@dataclass(slots=True)
class Written:
    """What a write has left: the item as it is served, and whether it made or removed the object."""

    item: bytes
    created: bool = False
    removed: bool = False


Change = Callable[[Object], Object]
"""The new object, given the current one (a copy, which may be changed). Called again for each try."""

Make = Callable[[], Object]
"""Makes the new object, whatever the current one is. Called again for each try, which may change what it gets."""


class Registry:
    """`outdated` holds store keys that an update writes anew even when it changes nothing."""

    def __init__(self, store: Store, cache: WatchCache, clock: Clock, outdated: Container[str] = ()) -> None:
        self._store = store
        self._cache = cache
        self._outdated = outdated
        self._clock = clock
        self._event_lease = 0
        self._event_lease_until = 0.0

    async def entry(self, resource: Resource, namespace: str, name: str) -> Entry:
        """The object as of now. Raises NotFound."""
        await self._cache.caught_up()
        entry: Entry | None = self._cache.kind(resource).entries.get(key_of(resource, namespace, name))
        if entry is None:
            raise not_found(resource.name, resource.group, name)
        return entry

    async def create(self, resource: Resource, namespace: str, obj: Object, write: Write) -> Written:
        """Makes the object; `obj` is the caller's no more. Raises AlreadyExists, Invalid, what admission raises."""
        settle_namespace(obj, resource, namespace)
        if write.tracker is not None:
            write.tracker.track(None, obj)
        metadata = obj["metadata"]
        prefix = "" if metadata.get("name") else metadata.get("generateName") or ""
        if not prefix:
            written = await self._create(resource, namespace, obj, write)
        else:
            for _ in range(GENERATE_NAME_TRIES):
                metadata["name"] = generated_name(prefix, self._clock.random)
                # What was filled in for one name must not stay for the next.
                written = await self._create(resource, namespace, copy_object(obj), write)
                if written is not None:
                    break
        if written is None:
            raise already_exists(resource.name, resource.group, metadata["name"])
        return written

    async def _create(self, resource: Resource, namespace: str, obj: Object, write: Write) -> Written | None:
        """None if the name is taken. Who was slower in taking an address or a port is given another, if any will do."""
        if not makes_claims(resource):
            return await self._try_to_create(resource, namespace, obj, write)
        for _ in range(UPDATE_TRIES):
            try:
                return await self._try_to_create(resource, namespace, copy_object(obj), write)
            except ClaimLost:
                await self._cache.caught_up()
        raise conflict(resource.name, resource.group, obj["metadata"]["name"])

    async def _try_to_create(self, resource: Resource, namespace: str, obj: Object, write: Write) -> Written | None:
        """One try; None if the name is taken. Raises ClaimLost."""
        admission = self._admission_request(resource, write, "CREATE", obj, None)
        committed = False
        try:
            if write.admission is not None:
                await write.admission.mutate(admission)
            before_create(obj, resource, uid=self._clock.uuid(), created=rfc3339(self._clock.now()))
            strategy.prepare_for_create(resource, obj)
            strategy.validate(resource, obj, None)
            if write.admission is not None:
                await write.admission.validate(admission)
            name = obj["metadata"]["name"]
            key = resource.storage_prefix + key_of(resource, namespace, name)
            stored = encode(resource, obj)
            if write.dry_run:
                await self._cache.caught_up()
                taken = key_of(resource, namespace, name) in self._cache.kind(resource).entries
                return None if taken else Written(_dry_item(stored), created=True)
            lease = await self._lease_of(resource)
            claims = claim_change(resource, None, obj, self._clock)
            self._foretell(resource, key, stored, obj)
            transaction = await self._store.txn(
                (Compare(key, 0), *claims.compares), (Put(key, stored, lease), *claims.operations)
            )
            committed = transaction.succeeded
            if committed:
                return Written(item_of(stored, transaction.revision), created=True)
            if transaction.current[0] is None:
                raise ClaimLost
            return None
        except (asyncio.CancelledError, StoreFailed):
            committed = True  # not known: what was set aside may be in use
            raise
        finally:
            if write.admission is not None:
                write.admission.release(admission, committed)

    async def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Change,
        write: Write,
        *,
        subresource: str = "",
    ) -> Written:
        """Replaces the object by what `change` makes of it."""

        def make(entry: Entry) -> Object:
            return change(decode(resource, entry.item))

        return await self._rewrite(resource, namespace, name, make, write, subresource)

    async def replace(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        make: Make,
        write: Write,
        *,
        subresource: str = "",
        must_specify: bool = False,
    ) -> Written:
        """Replaces the object by what `make` makes. `must_specify` refuses one without resourceVersion."""

        def checked(entry: Entry) -> Object:
            new = make()
            if must_specify and not new["metadata"].get("resourceVersion"):
                raise must_specify_version(resource, name)
            return new

        return await self._rewrite(resource, namespace, name, checked, write, subresource)

    async def _rewrite(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        make: Callable[[Entry], Object],
        write: Write,
        subresource: str,
    ) -> Written:
        for _ in range(UPDATE_TRIES):
            entry = await self.entry(resource, namespace, name)
            old = decode(resource, entry.item)
            new = make(entry)
            version = new["metadata"].get("resourceVersion")
            check_identity(new, old, resource)
            if version and version != old["metadata"]["resourceVersion"]:
                raise conflict(resource.name, resource.group, name)
            if write.tracker is not None:
                write.tracker.track(old, new)
            admission = self._admission_request(resource, write, "UPDATE", new, old)
            written = await self._update(resource, entry, admission, write, subresource)
            if written is not None:
                return written
        raise conflict(resource.name, resource.group, name)

    async def _update(
        self, resource: Resource, entry: Entry, admission: AdmissionRequest, write: Write, subresource: str
    ) -> Written | None:
        """One try; None if the object has changed meanwhile, or a number that it takes has been taken."""
        committed = False
        new, old = admission.object, admission.old
        assert new is not None
        assert old is not None
        owned = new["metadata"].get("managedFields")
        try:
            if write.admission is not None:
                await write.admission.mutate(admission)
            strategy.prepare_for_update(resource, subresource, new, old)
            put_managed_fields(new, owned)
            count_generation(new, old, resource, subresource)
            strategy.validate(resource, new, old, subresource)
            if write.admission is not None:
                await write.admission.validate(admission)
            # Whoever gave no resourceVersion has changed nothing by it.
            new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            removed = may_be_removed(new, resource)
            key = resource.storage_prefix + entry.key
            if same_but_for_times(new, old) and not removed and key not in self._outdated:
                return Written(entry.item)
            stored = encode(resource, new)
            if write.dry_run:
                return Written(item_of(stored, entry.revision), removed=removed)
            operation: Operation = Delete(key) if removed else Put(key, stored, await self._lease_of(resource))
            claims = claim_change(resource, old, None if removed else new, self._clock)
            if not removed:
                self._foretell(resource, key, stored, new)
            transaction = await self._store.txn(
                (Compare(key, entry.revision), *claims.compares), (operation, *claims.operations)
            )
            committed = transaction.succeeded
            return Written(item_of(stored, transaction.revision), removed=removed) if committed else None
        except (asyncio.CancelledError, StoreFailed):
            committed = True  # not known: what was set aside may be in use
            raise
        finally:
            if write.admission is not None:
                write.admission.release(admission, committed)

    async def delete(
        self, resource: Resource, namespace: str, name: str, options: DeleteOptions, write: Write
    ) -> Written:
        """Removes or marks the object. Raises NotFound, Conflict when a precondition does not hold."""
        dry_run = write.dry_run or options.dry_run
        for _ in range(UPDATE_TRIES):
            entry = await self.entry(resource, namespace, name)
            old = decode(resource, entry.item)
            admission = self._admission_request(resource, write, "DELETE", None, old)
            committed = False
            try:
                if write.admission is not None:
                    await write.admission.mutate(admission)
                    await write.admission.validate(admission)
                decision = decide(old, resource, options, self._clock.now())
                if isinstance(decision, Pending):
                    return Written(entry.item)
                if isinstance(decision, Mark) and decision.object == old:
                    return Written(entry.item)
                if dry_run:
                    return Written(entry.item, removed=isinstance(decision, Remove))
                transaction, item = await self._carry_out(resource, entry, old, decision)
                committed = transaction.succeeded and isinstance(decision, Remove)
                if transaction.succeeded:
                    return Written(item, removed=committed)
            finally:
                # Cancelled, it is not known whether the object is gone: then what it held is not free yet.
                if write.admission is not None:
                    write.admission.release(admission, committed)
        raise conflict(resource.name, resource.group, name)

    async def _carry_out(
        self, resource: Resource, entry: Entry, old: Object, decision: Remove | Mark
    ) -> tuple[Transaction, bytes]:
        key = resource.storage_prefix + entry.key
        unchanged = (Compare(key, entry.revision),)
        if isinstance(decision, Remove):
            claims = claim_change(resource, old, None, self._clock)
            return await self._store.txn(unchanged, (Delete(key), *claims.operations)), entry.item
        stored = encode(resource, decision.object)
        self._foretell(resource, key, stored, decision.object)
        transaction = await self._store.txn(unchanged, (Put(key, stored),))
        return transaction, item_of(stored, transaction.revision)

    def _foretell(self, resource: Resource, key: str, stored: bytes, obj: Object) -> None:
        """Spares the cache decoding what is about to be written."""
        if resource.to_storage is None:
            self._cache.foretell(key, stored, obj)

    def _admission_request(
        self, resource: Resource, write: Write, operation: str, new: Object | None, old: Object | None
    ) -> AdmissionRequest:
        return AdmissionRequest(
            write.attributes, resource, operation, new, old, write.options, write.dry_run, write.warnings
        )

    async def _lease_of(self, resource: Resource) -> int:
        """The lease that ends an Event; other kinds stay until they are deleted."""
        if resource.kind != "Event":
            return 0
        now = self._clock.monotonic()
        if now >= self._event_lease_until:
            self._event_lease = await self._store.grant(EVENT_TTL_SECONDS + EVENT_LEASE_SHARED_SECONDS)
            self._event_lease_until = now + EVENT_LEASE_SHARED_SECONDS
        return self._event_lease


def _dry_item(stored: bytes) -> bytes:
    """The item of an object that was not made: it has no revision."""
    return b"{" + stored[stored.index(METADATA) :]


def server_write(resource: Resource, verb: str, namespace: str, name: str) -> Write:
    """The circumstances of a write that the server makes by itself."""
    return Write(Attributes(SERVER, verb, resource.group, resource.version, resource.name, "", namespace, name))
