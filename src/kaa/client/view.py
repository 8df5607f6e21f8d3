"""One informer a kind, shared by all who need the kind, and the View: what a reconcile reads.

informers = Informers(client, clock)
informers.informer("Pod"); informers.informer("ReplicaSet")
group.create_task(informers.run());  await informers.wait_synced()
informers.view.owned(replica_set, "Pod")
"""

import asyncio
from collections.abc import Callable, Iterator

from kaa.api.objects import Object, namespace_of, uid_of
from kaa.api.resource import Resource
from kaa.api.selectors import Selector
from kaa.client.cache import Objects
from kaa.client.informer import Informer, Trim, without_managed_fields
from kaa.client.rest import Client
from kaa.lib.clock import Clock


class View:
    """The state of the cluster as several informers know it. `find` raises KeyError for a kind that none informs of."""

    def __init__(self, find: Callable[[str | Resource], Informer]) -> None:
        self._find = find

    def get(self, kind: str | Resource, name: str, namespace: str = "") -> Object | None:
        return self._find(kind).get(name, namespace)

    def list(self, kind: str | Resource, namespace: str | None = None, selector: Selector | None = None) -> Objects:
        return self._find(kind).list(namespace, selector)

    def owned(self, owner: Object, kind: str | Resource) -> Objects:
        """The objects of that kind that `owner` controls.

        An owner with a namespace has no say elsewhere: who names it there gets nothing of it, and must not disturb it.
        """
        found, namespace = self._find(kind).owned(uid_of(owner)), namespace_of(owner)
        return [obj for obj in found if namespace_of(obj) == namespace] if namespace else found

    def count_by_index(self, kind: str | Resource, index: str, key: str) -> int:
        """How many `by_index` would find; none is decoded for that."""
        return self._find(kind).count_by_index(index, key)

    def by_index(self, kind: str | Resource, index: str, key: str) -> Objects:
        return self._find(kind).by_index(index, key)


class Informers:
    """Makes, runs and shares one informer a kind, for the program's whole life or until the kind is dropped."""

    def __init__(self, client: Client, clock: Clock, *, namespace: str | None = None) -> None:
        self.view = View(self.find)
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._informers: dict[tuple[str, str], Informer] = {}  # by group and plural
        self._by_name: dict[str, Informer] = {}  # by the names that code uses; filled as they are used
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def __iter__(self) -> Iterator[Informer]:
        return iter(list(self._informers.values()))

    def informer(
        self,
        kind: str | Resource,
        *,
        label_selector: str = "",
        field_selector: str = "",
        trim: Trim = without_managed_fields,
    ) -> Informer:
        """The kind's informer, made (and started, if we run) at the first call. All users share its selection, and
        what it keeps of an object.
        """
        resource = self._client.resource(kind)
        key = resource.group, resource.name
        if key not in self._informers:
            self._informers[key] = Informer(
                self._client,
                resource,
                self._clock,
                namespace=self._namespace if resource.namespaced else None,
                label_selector=label_selector,
                field_selector=field_selector,
                trim=trim,
            )
            self._start(key)
        informer = self._informers[key]
        asked = label_selector, field_selector
        assert asked in (("", ""), (informer.label_selector, informer.field_selector)), f"two selections of {kind}"
        return informer

    def find(self, kind: str | Resource) -> Informer:
        """The kind's informer; KeyError if there is none."""
        if isinstance(kind, str) and kind in self._by_name:
            return self._by_name[kind]
        resource = self._client.resource(kind)
        informer = self._informers[resource.group, resource.name]
        if isinstance(kind, str):
            self._by_name[kind] = informer
        return informer

    def whole(self, resource: Resource) -> Informer | None:
        """The informer of exactly this kind and version, if there is one that keeps whole objects, and all of them."""
        informer = self._informers.get((resource.group, resource.name))
        if informer is None or informer.resource.version != resource.version:
            return None
        is_partial = informer.label_selector or informer.field_selector or informer.trim is not without_managed_fields
        return None if is_partial else informer

    async def drop(self, kind: str | Resource) -> None:
        """Stops and forgets the kind's informer: a custom kind that is gone. Twice is once."""
        resource = self._client.resource(kind)
        informer = self._informers.pop((resource.group, resource.name), None)
        self._by_name = {name: found for name, found in self._by_name.items() if found is not informer}
        task = self._tasks.pop((resource.group, resource.name), None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def observe(self, obj: Object) -> None:
        """Gives the answer to a write to its kind's informer, if there is one; see `Informer.observe`."""
        resource = self._client.resource_of(obj)
        informer = self._informers.get((resource.group, resource.name))
        if informer is not None and informer.resource.version == resource.version:
            informer.observe(obj)

    async def run(self) -> None:
        """Runs every informer until cancelled, also those that are asked for later."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for key in self._informers:
                self._start(key)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None
                self._tasks.clear()

    async def wait_synced(self) -> None:
        for informer in self:
            await informer.wait_synced()

    def _start(self, key: tuple[str, str]) -> None:
        if self._group is not None:
            self._tasks[key] = self._group.create_task(self._informers[key].run())
