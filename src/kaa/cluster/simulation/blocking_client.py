"""The full client for plain code: the verbs of `kaa.client.rest.Client`, each waited for."""

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

from kaa.api.objects import Object
from kaa.api.resource import Resource
from kaa.client.rest import Client, ObjectList, WatchEvent
from kaa.client.transport import Query
from kaa.cluster.simulation.drivers import Driver

T = TypeVar("T")


class BlockingClient:
    """`asynchronous` is the client itself, for coroutines in the cluster's own event loop."""

    def __init__(self, client: Client, driver: Driver) -> None:
        self.asynchronous = client
        self._driver = driver

    def get(self, kind: str | Resource, name: str, namespace: str | None = None) -> Object:
        return self._run(self.asynchronous.get(kind, name, namespace))

    def list(
        self,
        kind: str | Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
    ) -> ObjectList:
        return self._run(
            self.asynchronous.list(
                kind,
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                resource_version=resource_version,
            )
        )

    def create(self, obj: Object, namespace: str | None = None, *, query: Query = ()) -> Object:
        return self._run(self.asynchronous.create(obj, namespace, query=query))

    def update(self, obj: Object, subresource: str | None = None) -> Object:
        return self._run(self.asynchronous.update(obj, subresource))

    def update_status(self, obj: Object) -> Object:
        return self._run(self.asynchronous.update_status(obj))

    def patch(
        self,
        kind: str | Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: str = "merge",
        subresource: str | None = None,
        query: Query = (),
    ) -> Object:
        return self._run(
            self.asynchronous.patch(
                kind, name, patch, namespace, patch_type=patch_type, subresource=subresource, query=query
            )
        )

    def delete(
        self,
        kind: str | Resource,
        name: str,
        namespace: str | None = None,
        *,
        propagation: str = "",
        grace_seconds: int | None = None,
        uid: str = "",
        resource_version: str = "",
    ) -> Object:
        return self._run(
            self.asynchronous.delete(
                kind,
                name,
                namespace,
                propagation=propagation,
                grace_seconds=grace_seconds,
                uid=uid,
                resource_version=resource_version,
            )
        )

    def create_subresource(
        self, kind: str | Resource, name: str, namespace: str | None, subresource: str, body: Object
    ) -> Object:
        return self._run(self.asynchronous.create_subresource(kind, name, namespace, subresource, body))

    def watch(
        self, kind: str | Resource, namespace: str | None = None, *, resource_version: str = "", timeout_seconds: int
    ) -> Iterator[WatchEvent]:
        """Changes after `resource_version`, for so many seconds of the cluster's time."""
        events = self.asynchronous.watch(
            kind, namespace, resource_version=resource_version, timeout_seconds=timeout_seconds
        )
        try:
            while (event := self._run(_next(events))) is not None:
                yield event
        finally:
            self._run(_close(events))

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Query = (),
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        """Any request, JSON in and out."""
        return self._run(
            self.asynchronous.call(method, path, body=body, query=query, content_type=content_type, accept=accept)
        )

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._driver.run(coroutine)


async def _next(events: AsyncIterator[WatchEvent]) -> WatchEvent | None:
    return await anext(events, None)


async def _close(events: Any) -> None:
    await events.aclose()
