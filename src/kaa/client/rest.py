"""Typed-by-row REST: the verbs of the API over a Transport.

A kind is named as in `Catalog.named` ("Pod", "Deployment.apps", "apps/v1/Deployment") or given as its `Resource` row
(custom kinds). Objects are dicts as on the wire, with apiVersion and kind. Every failure is an `APIError` with the
server's reason, or a `TransportError` when there was no answer.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from kaa.api.errors import APIError
from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object, name_of, namespace_of
from kaa.api.resource import Catalog, Resource
from kaa.client.transport import Query, Response, Transport

PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}

LIST_PAGE = 500
"""Objects a page when everything is listed: bounds what the server builds at once."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK. An ERROR event is raised as APIError (Expired: list again)."""

    type: str
    object: Object


@dataclass(frozen=True, slots=True)
class ObjectList:
    items: list[Object]
    resource_version: str


class Client:
    def __init__(self, transport: Transport, catalog: Catalog | None = None) -> None:
        self.transport = transport
        self.catalog = catalog if catalog is not None else builtin_catalog()

    def resource(self, kind: str | Resource) -> Resource:
        return kind if isinstance(kind, Resource) else self.catalog.named(kind)

    def resource_of(self, obj: Object) -> Resource:
        resource = self.catalog.for_kind(obj.get("apiVersion", ""), obj.get("kind", ""))
        if resource is None:
            raise APIError("NotFound", f'no matches for kind "{obj.get("kind")}" in version "{obj.get("apiVersion")}"')
        return resource

    async def get(self, kind: str | Resource, name: str, namespace: str | None = None) -> Object:
        return await self.call("GET", self.resource(kind).path(namespace, quote(name)))

    async def list(
        self,
        kind: str | Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
    ) -> ObjectList:
        """Everything that matches, page by page; all pages are of one revision. `namespace` None: of all namespaces.

        Items carry apiVersion and kind, which the server leaves out inside a list.
        """
        pages = self.list_pages(
            kind,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=resource_version,
        )
        items: list[Object] = []
        async for page in pages:
            items += page.items
        return ObjectList(items, page.resource_version)

    async def list_pages(
        self,
        kind: str | Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
    ) -> AsyncIterator[ObjectList]:
        """The same a page at a time, at least one, for callers that do not keep all objects decoded."""
        resource = self.resource(kind)
        selection = _selection(label_selector, field_selector, "")
        query = _selection(label_selector, field_selector, resource_version)
        while True:
            page = await self.call("GET", resource.path(namespace), query=[*query, ("limit", str(LIST_PAGE))])
            items: list[Object] = page.get("items") or []
            for item in items:
                item["apiVersion"], item["kind"] = resource.api_version, resource.kind
            yield ObjectList(items, page["metadata"].get("resourceVersion", ""))
            token = page["metadata"].get("continue")
            if not token:
                return
            # A continued list is of the first page's revision already; naming one again is refused.
            query = [*selection, ("continue", token)]

    async def create(self, obj: Object, namespace: str | None = None, *, query: Query = ()) -> Object:
        path = self.resource_of(obj).path(namespace or namespace_of(obj))
        return await self.call("POST", path, body=obj, query=query)

    async def update(self, obj: Object, subresource: str | None = None) -> Object:
        """Replaces the object; with `metadata.resourceVersion` only if it is still that (Conflict else)."""
        path = self.resource_of(obj).path(namespace_of(obj), quote(name_of(obj)), subresource)
        return await self.call("PUT", path, body=obj)

    async def update_status(self, obj: Object) -> Object:
        return await self.update(obj, "status")

    async def patch(
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
        """`patch_type` is one of PATCH_TYPES."""
        path = self.resource(kind).path(namespace, quote(name), subresource)
        return await self.call("PATCH", path, body=patch, query=query, content_type=PATCH_TYPES[patch_type])

    async def delete(
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
        """`propagation` is Background, Foreground, Orphan or "" (the kind's default); `uid` is a precondition."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if propagation:
            options["propagationPolicy"] = propagation
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if any(preconditions.values()):
            options["preconditions"] = {key: value for key, value in preconditions.items() if value}
        return await self.call("DELETE", self.resource(kind).path(namespace, quote(name)), body=options)

    async def create_subresource(
        self, kind: str | Resource, name: str, namespace: str | None, subresource: str, body: Object
    ) -> Object:
        """POST to a subresource: a Binding, an Eviction, a TokenRequest."""
        return await self.call("POST", self.resource(kind).path(namespace, quote(name), subresource), body=body)

    async def watch(
        self,
        kind: str | Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 0,
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `resource_version`, until the server ends the watch. Raises APIError for an ERROR event."""
        async for line in self.watch_lines(
            kind,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_seconds=timeout_seconds,
        ):
            event = orjson.loads(line)
            if event["type"] == "ERROR":
                raise APIError.from_status(event["object"], event["object"].get("code", 500))
            yield WatchEvent(event["type"], event["object"])

    async def watch_lines(
        self,
        kind: str | Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 0,
    ) -> AsyncIterator[bytes]:
        """The same undecoded, one JSON document at a time, for caches that keep bytes."""
        query = _selection(label_selector, field_selector, resource_version)
        query += [("watch", "true"), ("allowWatchBookmarks", "true")]
        if timeout_seconds:
            query.append(("timeoutSeconds", str(timeout_seconds)))
        async with self.transport.stream("GET", self.resource(kind).path(namespace), query=query) as answer:
            if answer.status != 200:
                body = b"".join([chunk async for chunk in answer])
                raise error_of(Response(answer.status, answer.headers, body))
            rest = b""
            async for chunk in answer:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield line

    async def call(
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
        headers = {"accept": accept}
        data = b""
        if body is not None:
            headers["content-type"] = content_type
            data = orjson.dumps(body)
        response = await self.transport.request(method, path, query=query, headers=headers, body=data)
        if response.status >= 400:
            raise error_of(response)
        answer: Object = orjson.loads(response.body)
        return answer

    async def close(self) -> None:
        await self.transport.close()


def _selection(label_selector: str, field_selector: str, resource_version: str) -> list[tuple[str, str]]:
    chosen: Sequence[tuple[str, str]] = (
        ("labelSelector", label_selector),
        ("fieldSelector", field_selector),
        ("resourceVersion", resource_version),
    )
    return [(key, value) for key, value in chosen if value]


def error_of(response: Response) -> APIError:
    """The APIError that a failed response carries; its text when the body is no Status."""
    try:
        status = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {"message": response.body.decode(errors="replace")[:1000]}
    return APIError.from_status(status, response.status)
