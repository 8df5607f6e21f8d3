"""Where measurements come from: set from Python, or asked of the metrics APIs."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from kaa.api.kinds import builtin_catalog
from kaa.api.selectors import Selector, parse_label_selector
from kaa.client.rest import Client
from kaa.client.transport import Response
from kaa.controllers.metrics_api import MetricsAPI
from kaa.controllers.metrics_source import MetricsMissing, MetricsSource, MetricsTable, printed

EVERY = Selector(())
QUEUE = {"name": "queue", "selector": {"matchLabels": {"queue": "a"}}}


class Adapter:
    """A server of metrics: answers from a table of paths, and notes what it was asked."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def request(self, method: str, path: str, *, query: Any = (), **more: Any) -> Response:
        self.asked.append((path, dict(query)))
        if path not in self.answers:
            return Response(404, {}, b"404 page not found")
        return Response(200, {}, orjson.dumps({"items": self.answers[path]}))


def api(answers: Mapping[str, Any]) -> tuple[MetricsAPI, Adapter]:
    adapter = Adapter(answers)
    catalog = builtin_catalog()
    client = Client(adapter, catalog)  # type: ignore[arg-type]
    return MetricsAPI(client, lambda group, kind: catalog.named(kind)), adapter


def pod_metrics(name: str, **cpu: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "containers": [{"name": c, "usage": {"cpu": v}} for c, v in cpu.items()]}


def value(name: str, amount: str) -> dict[str, Any]:
    return {"describedObject": {"kind": "Pod", "name": name}, "value": amount}


def table() -> MetricsTable:
    made = MetricsTable()
    made.set_usage("ns", "a", "cpu", "100m", container="x")
    made.set_usage("ns", "a", "cpu", "50m", container="y")
    made.set_usage("ns", "b", "cpu", "0.2")
    made.set_pod_metric("ns", "a", "rate", 3)
    made.set_object_metric("ns", "Deployment", "web", "depth", "500m")
    made.set_external("ns", "queue", 7, {"queue": "a"})
    made.set_external("ns", "queue", 5, {"queue": "b"})
    return made


def served() -> MetricsAPI:
    custom = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/ns"
    return api(
        {
            "/apis/metrics.k8s.io/v1beta1/namespaces/ns/pods": [
                pod_metrics("a", x="100m", y="50m"),
                pod_metrics("b", x="200m"),
                {"metadata": {"name": "starting"}, "containers": []},
            ],
            f"{custom}/pods/*/rate": [value("a", "3")],
            f"{custom}/deployments.apps/web/depth": [value("web", "500m")],
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/queue": [{"value": "7"}],
        }
    )[0]


@pytest.mark.parametrize("source", [table(), served()], ids=["table", "api"])
async def test_both_sides_say_the_same(source: MetricsSource) -> None:
    """What a test sets and what a metrics server measures are the same to an autoscaler."""
    assert await source.resource("ns", EVERY, "cpu", "") == {"a": 150, "b": 200}
    assert (await source.resource("ns", EVERY, "cpu", "x"))["a"] == 100
    assert await source.pods("ns", EVERY, {"name": "rate"}) == {"a": 3000}
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    assert await source.object("ns", reference, {"name": "depth"}) == 500
    assert await source.external("ns", QUEUE) == [7000]


@pytest.mark.parametrize("source", [MetricsTable(), api({})[0]], ids=["table", "api"])
async def test_what_is_not_there_is_missing(source: MetricsSource) -> None:
    """An autoscaler shows the message, and leaves its target alone."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    for ask in (
        source.resource("ns", EVERY, "cpu", ""),
        source.pods("ns", EVERY, {"name": "rate"}),
        source.object("ns", reference, {"name": "depth"}),
        source.external("ns", QUEUE),
    ):
        with pytest.raises(MetricsMissing, match=r"^unable to get .* metrics API"):
            await ask


async def test_nobody_serves_the_metrics() -> None:
    """Upstream's words, which people search for."""
    with pytest.raises(MetricsMissing) as raised:
        await api({})[0].resource("ns", EVERY, "cpu", "")
    assert str(raised.value) == (
        "unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: "
        "the server could not find the requested resource (get pods.metrics.k8s.io)"
    )


async def test_selectors_go_along() -> None:
    """A server of metrics may have those of ten thousand pods."""
    path = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/ns/pods/*/queue"
    source, adapter = api({path: [value("a", "1")]})
    await source.pods("ns", parse_label_selector("app=web"), QUEUE)
    assert adapter.asked == [(path, {"labelSelector": "app=web", "metricLabelSelector": "queue=a"})]


async def test_of_the_namespace_itself() -> None:
    """Its metrics have a path of their own."""
    path = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/ns/metrics/depth"
    source, _ = api({path: [value("ns", "4")]})
    assert await source.object("ns", {"apiVersion": "v1", "kind": "Namespace", "name": "ns"}, {"name": "depth"}) == 4000


def test_a_selector_is_printed_as_upstream_prints_it() -> None:
    """In conditions and events; tools look for these texts."""
    assert printed(None) == "nil"
    assert printed({"matchLabels": {"b": "2", "a": "1"}}) == (
        "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement{},}"
    )
    expression = {"key": "a", "operator": "In", "values": ["b", "c"]}
    assert printed({"matchExpressions": [expression]}) == (
        "&LabelSelector{MatchLabels:map[string]string{},"
        "MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:a,Operator:In,Values:[b c],},},}"
    )
