"""Playing a recording back: into a new cluster in memory, or into any cluster through its API.

    stage    where it is played: it carries out one change

In memory (`StoreStage`) the changes are put into the store as they were: same uids, times and statuses, and nobody
interferes, for there are no controllers. Through an API (`APIStage`) they are requests, which the cluster's own
admission and controllers answer in their way: objects get new uids, by which owner references are rewritten, and what
is not allowed is counted and passed over.
"""

import logging
from collections.abc import Iterable
from typing import Protocol

from kaa.api.errors import APIError
from kaa.api.objects import Object, copy_object, name_of, namespace_of, owner_references, uid_of
from kaa.api.resource import Resource
from kaa.client.discovery import discover
from kaa.client.rest import Client
from kaa.cluster.simulation.recording import Line
from kaa.cluster.simulation.world import World
from kaa.lib.clock import Clock
from kaa.server.storage import encode, is_stored, key_of, prefix_of
from kaa.store.store import Delete, Operation, Put

log = logging.getLogger(__name__)

SERVED_SECONDS = 5.0
SERVED_POLL_SECONDS = 0.05
"""How long a kind that has just been defined may take until it is served."""

ASSIGNED = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")
ENDING = ("deletionTimestamp", "deletionGracePeriodSeconds")
"""Metadata that a server sets."""


class Stage(Protocol):
    async def change(self, line: Line) -> None:
        """Raises APIError for what is not possible here."""
        ...


async def replay(lines: Iterable[Line], stage: Stage, clock: Clock, speed: float) -> tuple[int, int]:
    """All of them, in their time divided by `speed` (0: at once). Returns how many were played and passed over."""
    played = passed_over = 0
    first, began = None, clock.monotonic()
    for line in lines:
        first = first or line.time
        if speed:
            due = began + (line.time - first).total_seconds() / speed
            await clock.sleep(max(due - clock.monotonic(), 0.0))
        try:
            await stage.change(line)
            played += 1
        except APIError as error:
            passed_over += 1
            log.info("%s of %s %s: %s", line.verb, line.resource, name_of(line.object), error.message)
    return played, passed_over


class StoreStage:
    """A world in memory that has no components."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def change(self, line: Line) -> None:
        resource = await self._resource(line.object)
        if not is_stored(resource):
            return
        key = prefix_of(resource) + key_of(resource, namespace_of(line.object), name_of(line.object))
        operation: Operation = Delete(key) if line.verb == "delete" else Put(key, encode(resource, line.object))
        await self._world.store.txn((), (operation,))

    async def _resource(self, obj: Object) -> Resource:
        clock, catalog = self._world.clock, self._world.server.catalog
        deadline = clock.monotonic() + SERVED_SECONDS
        while (resource := catalog.for_kind(obj["apiVersion"], obj["kind"])) is None:
            if clock.monotonic() > deadline:
                raise APIError("NotFound", f'no matches for kind "{obj["kind"]}" in version "{obj["apiVersion"]}"')
            await clock.sleep(SERVED_POLL_SECONDS)
        return resource


class APIStage:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._uids: dict[str, str] = {}  # as recorded: as they are here

    async def change(self, line: Line) -> None:
        resource = await self._resource(line.object)
        if line.verb == "delete":
            await self._delete(resource, line.object)
            return
        wanted = adapted(line.object, self._uids)
        made = await self._put(resource, wanted)
        self._uids[uid_of(line.object)] = uid_of(made)
        if "status" in wanted and resource.subresource("status") is not None:
            await self._client.update_status({**made, "status": wanted["status"]})

    async def _put(self, resource: Resource, wanted: Object) -> Object:
        try:
            return await self._client.create(wanted)
        except APIError as error:
            if error.reason != "AlreadyExists":
                raise
        here = await self._client.get(resource, name_of(wanted), namespace_of(wanted) or None)
        version = here["metadata"]["resourceVersion"]
        kept = {"status": here["status"]} if "status" in here else {}
        return await self._client.update(
            {**wanted, **kept, "metadata": {**wanted["metadata"], "resourceVersion": version}}
        )

    async def _delete(self, resource: Resource, obj: Object) -> None:
        self._uids.pop(uid_of(obj), None)
        name, namespace = name_of(obj), namespace_of(obj) or None
        if obj["metadata"].get("finalizers"):
            # Whoever they were for has done with it, in the cluster that was recorded.
            await self._client.patch(resource, name, {"metadata": {"finalizers": None}}, namespace)
        await self._client.delete(resource, name, namespace, propagation="Background", grace_seconds=0)

    async def _resource(self, obj: Object) -> Resource:
        found = self._client.catalog.for_kind(obj["apiVersion"], obj["kind"])
        if found is None:  # defined meanwhile
            self._client.catalog = await discover(self._client)
        return found or self._client.resource_of(obj)


def adapted(obj: Object, uids: dict[str, str]) -> Object:
    """The object as it can be asked for elsewhere: without what a server assigns, its owners by their uids there.

    An owner that is not there would make the garbage collector remove the object: the reference is left out.
    """
    new = copy_object(obj)
    metadata = new["metadata"]
    for field in (*ASSIGNED, *ENDING):
        metadata.pop(field, None)
    owners = [{**ref, "uid": uids[ref["uid"]]} for ref in owner_references(obj) if ref.get("uid") in uids]
    metadata.pop("ownerReferences", None)
    if owners:
        metadata["ownerReferences"] = owners
    return new
