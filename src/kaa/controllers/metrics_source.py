"""Where an autoscaler's measurements come from: a narrow waist with two sides, all in milli-units.

`MetricsAPI` (`metrics_api.py`) asks whoever serves the metrics APIs of the cluster, as upstream does; `MetricsTable`
says what was put into it from Python, for tests and simulations. Both raise MetricsMissing where they know nothing.

    table = MetricsTable()
    table.set_usage("default", "web-0", "cpu", "250m")
    await table.resource("default", selector, "cpu", "")      # {"web-0": 250}
"""

from dataclasses import dataclass, field
from typing import Protocol

from kaa.api.objects import Object
from kaa.api.quantity import parse_quantity
from kaa.api.selectors import Selector, selector_of

Amount = str | int | float
"""A quantity: `250m`, `1Gi`, 3."""


class MetricsMissing(Exception):
    """A metric could not be had; the message says why, in upstream's words."""


class MetricsSource(Protocol):
    """`metric` is an autoscaler's MetricIdentifier: a name, and maybe a selector of series. Each raises MetricsMissing.

    What is said of pods that the selector does not match is not looked at.
    """

    async def resource(self, namespace: str, selector: Selector, resource: str, container: str) -> dict[str, int]:
        """By pod, what it uses of the resource; of one container only, if named."""
        ...

    async def pods(self, namespace: str, selector: Selector, metric: Object) -> dict[str, int]:
        """By pod, a metric of its own."""
        ...

    async def object(self, namespace: str, reference: Object, metric: Object) -> int:
        """Of one object (a CrossVersionObjectReference) in the namespace, or of the namespace itself."""
        ...

    async def external(self, namespace: str, metric: Object) -> list[int]:
        """Of something outside the cluster: every series that the metric's selector matches."""
        ...


def milli(amount: Amount) -> int:
    return parse_quantity(amount).scaled(1000)


@dataclass(slots=True)
class MetricsTable:
    """Measurements set from Python. What was never set is missing; what is set stays until set anew or cleared."""

    _usage: dict[tuple[str, str], dict[str, dict[str, int]]] = field(default_factory=dict)
    """By namespace and resource: by pod, by container ("" for the whole pod)."""
    _pods: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)  # by namespace and metric: by pod
    _objects: dict[tuple[str, str, str, str], int] = field(default_factory=dict)  # namespace, kind, name, metric
    _external: dict[tuple[str, str], list[tuple[dict[str, str], int]]] = field(default_factory=dict)

    def set_usage(self, namespace: str, pod: str, resource: str, amount: Amount, *, container: str = "") -> None:
        """What a pod uses: given for the pod as a whole, or for each of its containers."""
        self._usage.setdefault((namespace, resource), {}).setdefault(pod, {})[container] = milli(amount)

    def set_pod_metric(self, namespace: str, pod: str, name: str, amount: Amount) -> None:
        self._pods.setdefault((namespace, name), {})[pod] = milli(amount)

    def set_object_metric(self, namespace: str, kind: str, object_name: str, name: str, amount: Amount) -> None:
        self._objects[namespace, kind, object_name, name] = milli(amount)

    def set_external(self, namespace: str, name: str, amount: Amount, labels: dict[str, str] | None = None) -> None:
        """One series of the metric for each set of labels."""
        others = [series for series in self._external.get((namespace, name), ()) if series[0] != (labels or {})]
        self._external[namespace, name] = [*others, (labels or {}, milli(amount))]

    def clear(self) -> None:
        for part in (self._usage, self._pods, self._objects, self._external):
            part.clear()

    async def resource(self, namespace: str, selector: Selector, resource: str, container: str) -> dict[str, int]:
        known = self._usage.get((namespace, resource), {})
        found = {pod: usage[container] for pod, usage in known.items() if container in usage}
        if not container:
            found |= {pod: sum(usage.values()) for pod, usage in known.items() if pod not in found}
        return _some(found, f"unable to get metrics for resource {resource}: no metrics returned from", "resource")

    async def pods(self, namespace: str, selector: Selector, metric: Object) -> dict[str, int]:
        known = self._pods.get((namespace, metric["name"]), {})
        return _some(dict(known), f"unable to get metric {metric['name']}: no metrics returned from", "custom")

    async def object(self, namespace: str, reference: Object, metric: Object) -> int:
        value = self._objects.get((namespace, reference["kind"], reference["name"], metric["name"]))
        if value is None:
            on = f"{reference['kind']} {namespace}/{reference['name']}"
            raise MetricsMissing(
                f"unable to get metric {metric['name']} on {on}: no metrics returned from custom metrics API"
            )
        return value

    async def external(self, namespace: str, metric: Object) -> list[int]:
        wanted = metric.get("selector")
        matches = selector_of(wanted).matches if wanted else lambda labels: True
        values = [value for labels, value in self._external.get((namespace, metric["name"]), ()) if matches(labels)]
        if not values:
            raise MetricsMissing(
                f"unable to get external metric {namespace}/{metric['name']}/{printed(wanted)}: "
                "no metrics returned from external metrics API"
            )
        return values


def printed(selector: Object | None) -> str:
    """A label selector of an external metric as upstream's messages show it, by which alerts find them."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    requirements = "".join(map(_printed_requirement, selector.get("matchExpressions") or ()))
    parts = f"MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{requirements}}},"
    return f"&LabelSelector{{{parts}}}"


def _printed_requirement(requirement: Object) -> str:
    values = " ".join(requirement.get("values") or ())
    return (
        f"LabelSelectorRequirement{{Key:{requirement['key']},Operator:{requirement['operator']},Values:[{values}],}},"
    )


def _some(found: dict[str, int], trouble: str, api: str) -> dict[str, int]:
    if not found:
        raise MetricsMissing(f"{trouble} {api} metrics API")
    return found
