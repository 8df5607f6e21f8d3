"""Measurements from the metrics APIs: metrics.k8s.io (what pods use), custom.metrics.k8s.io, external.metrics.k8s.io.

They are served by others through an APIService (metrics-server, a Prometheus adapter, KEDA); where nobody serves one,
the message says so as upstream's does.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from kaa.api.errors import APIError
from kaa.api.objects import Object, name_of
from kaa.api.resource import Resource
from kaa.api.selectors import Selector, selector_of
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.controllers.metrics_source import MetricsMissing, milli, printed

RESOURCE = "/apis/metrics.k8s.io/v1beta1"
CUSTOM = ("/apis/custom.metrics.k8s.io/v1beta2", "/apis/custom.metrics.k8s.io/v1beta1")
"""The newer first."""
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"

T = TypeVar("T")


class MetricsAPI:
    """A `MetricsSource`. `find_kind(group, kind)` knows the server's kinds: their plural names are in the paths."""

    def __init__(self, client: Client, find_kind: Callable[[str, str], Resource | None]) -> None:
        self._client = client
        self._find_kind = find_kind

    async def resource(self, namespace: str, selector: Selector, resource: str, container: str) -> dict[str, int]:
        async def ask() -> dict[str, int]:
            path = f"{RESOURCE}/namespaces/{namespace}/pods"
            items = await self._items([path], [("labelSelector", str(selector))], "resource", "pods.metrics.k8s.io")
            found = {name_of(item): usage_of(item, resource, container) for item in items}
            return {pod: usage for pod, usage in found.items() if usage is not None}

        return await self._told(f"unable to get metrics for resource {resource}", ask)

    async def pods(self, namespace: str, selector: Selector, metric: Object) -> dict[str, int]:
        async def ask() -> dict[str, int]:
            paths = [f"{version}/namespaces/{namespace}/pods/*/{metric['name']}" for version in CUSTOM]
            query = [("labelSelector", str(selector)), *_series(metric, "metricLabelSelector")]
            items = await self._items(paths, query, "custom", "pods.custom.metrics.k8s.io")
            return {item["describedObject"]["name"]: milli(item["value"]) for item in items}

        return await self._told(f"unable to get metric {metric['name']}", ask)

    async def object(self, namespace: str, reference: Object, metric: Object) -> int:
        async def ask() -> int:
            what = self._plural(reference)
            place = "metrics" if what == "namespaces" else f"{what}/{reference['name']}"
            paths = [f"{version}/namespaces/{namespace}/{place}/{metric['name']}" for version in CUSTOM]
            query = _series(metric, "metricLabelSelector")
            items = await self._items(paths, query, "custom", f"{what}.custom.metrics.k8s.io")
            return milli(items[0]["value"])

        on = f"{reference['kind']} {namespace}/{reference['name']}"
        return await self._told(f"unable to get metric {metric['name']} on {on}", ask)

    async def external(self, namespace: str, metric: Object) -> list[int]:
        async def ask() -> list[int]:
            path = f"{EXTERNAL}/namespaces/{namespace}/{metric['name']}"
            query = _series(metric, "labelSelector")
            items = await self._items([path], query, "external", f"{metric['name']}.external.metrics.k8s.io")
            return [milli(item["value"]) for item in items]

        which = f"{namespace}/{metric['name']}/{printed(metric.get('selector'))}"
        return await self._told(f"unable to get external metric {which}", ask)

    def _plural(self, reference: Object) -> str:
        group = reference.get("apiVersion", "").rpartition("/")[0]
        resource = self._find_kind(group, reference["kind"])
        if resource is None:
            raise MetricsMissing(f'no matches for kind "{reference["kind"]}" in group "{group}"')
        return f"{resource.name}.{group}" if group else resource.name

    async def _items(
        self, paths: Sequence[str], query: Sequence[tuple[str, str]], api: str, what: str
    ) -> Sequence[Object]:
        """What the first of the paths that is served answers with."""
        failure = ""
        for path in paths:
            try:
                items: list[Object] = (await self._client.call("GET", path, query=query)).get("items") or []
            except (APIError, TransportError) as error:
                failure = str(error)
                if isinstance(error, APIError) and error.code == 404:
                    failure = f"the server could not find the requested resource (get {what})"
                    continue
                break
            if not items:
                raise MetricsMissing(f"no metrics returned from {api} metrics API")
            return items
        raise MetricsMissing(f"unable to fetch metrics from {api} metrics API: {failure}")

    async def _told(self, trouble: str, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            return await ask()
        except MetricsMissing as error:
            raise MetricsMissing(f"{trouble}: {error}") from None


def usage_of(item: Object, resource: str, container: str) -> int | None:
    """Of a PodMetrics: the sum over its containers, or one of them; None if any that counts was not measured."""
    containers = [c for c in item.get("containers") or () if container in ("", c["name"])]
    amounts = [milli(c["usage"][resource]) for c in containers if resource in (c.get("usage") or {})]
    return sum(amounts) if amounts and len(amounts) == len(containers) else None


def _series(metric: Object, parameter: str) -> list[tuple[str, str]]:
    return [(parameter, str(selector_of(metric["selector"])))] if metric.get("selector") else []
