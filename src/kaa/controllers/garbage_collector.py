"""Garbage collector: an object goes when all its owners are gone.

It sees the metadata of every kind that the server has (`every_kind.py`), and keeps the graph of `ownership_graph.py`.
A change makes some objects' fates uncertain; those are looked at, and what was decided is carried out with the object's
uid (and revision) as a precondition, so that a decision on something that has changed is refused.
An owner that the graph neither has nor has seen go is asked for from the server before it counts as absent. A reference
to a namespaced owner means one in the dependent's own namespace: in another one it is absent, which an event says.
"""

import asyncio
import logging
from collections import OrderedDict
from typing import assert_never

from kaa.api.errors import APIError
from kaa.api.objects import Object, owner_references, uid_of
from kaa.api.resource import Resource
from kaa.client.informer import Change
from kaa.client.transport import TransportError
from kaa.controllers.ownership_graph import (
    ORPHAN,
    Collect,
    Disown,
    Fate,
    Graph,
    Keep,
    Node,
    OrphanDependents,
    Owner,
    OwnerState,
    Release,
    fate_of,
    is_decided_alike,
    node_of,
)
from kaa.controllers.program import Context
from kaa.lib.backoff import Backoff, BackoffTable
from kaa.lib.workqueue import WorkQueue

log = logging.getLogger(__name__)

COMPONENT = "garbage-collector-controller"
WORKERS = 20
RETRY = Backoff(initial_seconds=0.005, limit_seconds=1000.0)

ABSENT_LIMIT = 500
"""Uids of owners found absent, or seen to go, that are remembered: so not each of many dependents need ask again."""


class GarbageCollector:
    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._every_kind = context.every_kind
        self._recorder = context.recorder
        self._graph = Graph()
        self._queue: WorkQueue[str] = WorkQueue(context.clock)
        self._failures: BackoffTable[str] = BackoffTable(RETRY)
        self._absent: OrderedDict[str, None] = OrderedDict()
        self._every_kind.subscribe(self._changed, self._forget)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(WORKERS):
                    tasks.create_task(self._work())
        finally:
            self._queue.close()

    def _forget(self, resource: Resource) -> None:
        for uid in self._graph.of_kind(resource):
            self._enqueue(self._graph.remove(uid))

    def _changed(self, resource: Resource, change: Change) -> None:
        old, new = change.old, change.new
        if old is not None and new is not None:
            if is_decided_alike(old, new):
                self._graph.move_along(uid_of(new), new["metadata"].get("resourceVersion", ""))
                return
            if uid_of(old) != uid_of(new):
                # Deleted and made anew while nobody watched.
                self._enqueue(self._graph.remove(uid_of(old)))
        if new is not None:
            self._enqueue(self._graph.put(node_of(resource, new)))
        elif old is not None:
            self._failures.succeeded(uid_of(old))
            if self._graph.has_dependents(uid_of(old)):
                self._note_absent(uid_of(old))
            self._enqueue(self._graph.remove(uid_of(old)))

    def _enqueue(self, uids: set[str]) -> None:
        for uid in sorted(uids):
            if not self._graph.keeps(uid):
                self._queue.add(uid)

    async def _work(self) -> None:
        while True:
            uid = await self._queue.get()
            try:
                await self._every_kind.wait_synced()
                await self._look(uid)
            except (APIError, TransportError) as error:
                log.debug("looking at %s again: %s", uid, error)
                self._queue.add_after(uid, self._failures.failed(uid))
            else:
                self._failures.succeeded(uid)
            finally:
                self._queue.done(uid)

    async def _look(self, uid: str) -> None:
        node = self._graph.get(uid)
        if node is None:
            return
        owners: dict[str, OwnerState] = {}
        if not node.deleting:
            owners = {owner.uid: await self._state_of(owner, node) for owner in node.owners}
        await self._carry_out(node, fate_of(node, self._graph.dependents(uid), owners))

    async def _state_of(self, owner: Owner, dependent: Node) -> OwnerState:
        known = self._graph.get(owner.uid)
        if known is not None:
            if known.namespace and known.namespace != dependent.namespace:
                self._tell_of_foreign_owner(owner, dependent)
                return OwnerState.ABSENT if dependent.namespace else OwnerState.SOLID
            return OwnerState.WAITING if known.waits_for_dependents else OwnerState.SOLID
        names_nothing = not dependent.namespace and self._is_namespaced(owner)
        if owner.uid in self._absent and not names_nothing:
            return OwnerState.ABSENT
        resource = self._resource_of(owner)
        if names_nothing:
            self._tell_of_foreign_owner(owner, dependent)
            return OwnerState.SOLID  # there is no object that could be asked for: kept, as upstream does
        if await self._exists(resource, owner, dependent.namespace):
            return OwnerState.SOLID
        self._note_absent(owner.uid)
        return OwnerState.ABSENT

    def _note_absent(self, uid: str) -> None:
        self._absent[uid] = None
        if len(self._absent) > ABSENT_LIMIT:
            self._absent.popitem(last=False)

    def _tell_of_foreign_owner(self, owner: Owner, dependent: Node) -> None:
        reference = f"{owner.api_version}/{owner.kind}, namespace: {dependent.namespace}, name: {owner.name}"
        message = f'ownerRef [{reference}, uid: {owner.uid}] does not exist in namespace "{dependent.namespace}"'
        self._recorder.record(object_of(dependent), "Warning", "OwnerRefInvalidNamespace", message, component=COMPONENT)

    def _is_namespaced(self, owner: Owner) -> bool:
        resource = self._every_kind.resource(owner.api_version.rpartition("/")[0], owner.kind)
        return resource is not None and resource.namespaced

    def _resource_of(self, owner: Owner) -> Resource:
        """Raises NotFound for a kind that the server does not have (now): then nothing is known of the owner."""
        resource = self._every_kind.resource(owner.api_version.rpartition("/")[0], owner.kind)
        if resource is not None:
            return resource
        raise APIError("NotFound", f'no matches for kind "{owner.kind}" in version "{owner.api_version}"')

    async def _exists(self, resource: Resource, owner: Owner, namespace: str) -> bool:
        try:
            found = await self._client.get(resource, owner.name, namespace if resource.namespaced else None)
        except APIError as error:
            if error.reason != "NotFound":
                raise
            return False
        return uid_of(found) == owner.uid

    async def _carry_out(self, node: Node, fate: Fate) -> None:
        match fate:
            case Keep():
                return
            case Collect(propagation, unblock):
                for uid in unblock:
                    if (dependent := self._graph.get(uid)) is not None:
                        await self._change_owners(dependent, node.uid, keep=True)
                await self._delete(node, propagation)
            case Disown(uids):
                await self._change_owners(node, *uids)
            case Release(finalizer):
                await self._release(node, finalizer)
            case OrphanDependents(dependents):
                for uid in dependents:
                    if (dependent := self._graph.get(uid)) is not None:
                        await self._change_owners(dependent, node.uid)
                await self._release(node, ORPHAN)
            case _:
                assert_never(fate)

    async def _delete(self, node: Node, propagation: str) -> None:
        try:
            await self._client.delete(
                node.resource,
                node.name,
                node.namespace,
                propagation=propagation,
                uid=node.uid,
                resource_version=node.resource_version,
            )
        except APIError as error:
            if error.reason != "NotFound":
                raise

    async def _change_owners(self, node: Node, *uids: str, keep: bool = False) -> None:
        """Takes the references to these uids off the object; with `keep` they only stop blocking."""
        obj = await self._live(node)
        if obj is None:
            return
        references = []
        for reference in owner_references(obj):
            if reference["uid"] not in uids:
                references.append(reference)
            elif keep:
                references.append({**reference, "blockOwnerDeletion": False})
        if references != owner_references(obj):
            await self._patch_metadata(node, obj, {"ownerReferences": references})

    async def _release(self, node: Node, finalizer: str) -> None:
        obj = await self._live(node)
        finalizers = obj["metadata"].get("finalizers") or [] if obj is not None else []
        if obj is not None and finalizer in finalizers:
            await self._patch_metadata(node, obj, {"finalizers": [f for f in finalizers if f != finalizer]})

    async def _live(self, node: Node) -> Object | None:
        """The object from the server, or None if it is gone, whatever has its name now."""
        try:
            obj = await self._client.get(node.resource, node.name, node.namespace)
        except APIError as error:
            if error.reason != "NotFound":
                raise
            return None
        return obj if uid_of(obj) == node.uid else None

    async def _patch_metadata(self, node: Node, obj: Object, changes: Object) -> None:
        # The revision makes the server refuse a list that was computed from an old one.
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"], **changes}
        await self._client.patch(node.resource, node.name, {"metadata": metadata}, node.namespace)


def object_of(node: Node) -> Object:
    """As much of the object as an event about it needs."""
    metadata = {"name": node.name, "namespace": node.namespace, "uid": node.uid}
    return {"apiVersion": node.resource.api_version, "kind": node.resource.kind, "metadata": metadata}
