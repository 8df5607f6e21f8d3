"""A HorizontalPodAutoscaler of autoscaling/v1 as one of v2, and back.

v1 has one metric, the CPU's utilization. All else that v2 says is kept in annotations of the v1 form, as JSON in v1's
own flat shape, so that nothing is lost on the way there and back.
"""

import orjson

from kaa.api.objects import Object

PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, CURRENT_METRICS = PREFIX + "metrics", PREFIX + "current-metrics"
CONDITIONS, BEHAVIOR = PREFIX + "conditions", PREFIX + "behavior"
ANNOTATIONS = (METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR)

SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}

Paths = tuple[tuple[str, str], ...]

RESOURCE: Paths = (("name", "name"), ("container", "container"))
WANTED: dict[str, Paths] = {
    "Resource": (
        *RESOURCE,
        ("target.averageUtilization", "targetAverageUtilization"),
        ("target.averageValue", "targetAverageValue"),
    ),
    "Pods": (
        ("metric.name", "metricName"),
        ("metric.selector", "selector"),
        ("target.averageValue", "targetAverageValue"),
    ),
    "Object": (
        ("describedObject", "target"),
        ("metric.name", "metricName"),
        ("metric.selector", "selector"),
        ("target.value", "targetValue"),
        ("target.averageValue", "averageValue"),
    ),
    "External": (
        ("metric.name", "metricName"),
        ("metric.selector", "metricSelector"),
        ("target.value", "targetValue"),
        ("target.averageValue", "targetAverageValue"),
    ),
}
"""Where v2 and v1 have the same fact, for each type of metric."""
WANTED["ContainerResource"] = WANTED["Resource"]

MEASURED: dict[str, Paths] = {
    kind: tuple(
        (new.replace("target.", "current."), old.replace("targetV", "currentV").replace("targetA", "currentA"))
        for new, old in paths
    )
    for kind, paths in WANTED.items()
}
"""The same for what was measured: `current` for `target`."""


def to_v2(autoscaler: Object) -> Object:
    annotations = dict(autoscaler["metadata"].get("annotations") or {})
    kept = {name: orjson.loads(annotations.pop(name)) for name in ANNOTATIONS if name in annotations}
    spec, status = dict(autoscaler["spec"]), dict(autoscaler.get("status") or {})
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    metrics = [_cpu("target", {"type": "Utilization", "averageUtilization": percent})] if percent is not None else []
    metrics += [_nested(metric, WANTED) for metric in kept.get(METRICS, ())]
    if metrics:
        spec["metrics"] = metrics
    if BEHAVIOR in kept:
        spec["behavior"] = kept[BEHAVIOR]
    if not status.get("currentReplicas"):
        status.pop("currentReplicas", None)  # v1 always shows it, v2 not when it is 0
    used = status.pop("currentCPUUtilizationPercentage", None)
    current = [_cpu("current", {"averageUtilization": used})] if used is not None else []
    current += [_nested(metric, MEASURED) for metric in kept.get(CURRENT_METRICS, ())]
    status["currentMetrics"] = current or None
    if CONDITIONS in kept:
        status["conditions"] = kept[CONDITIONS]
    return _version(autoscaler, "autoscaling/v2", annotations, spec, status)


def from_v2(autoscaler: Object) -> Object:
    annotations = dict(autoscaler["metadata"].get("annotations") or {})
    spec, status = dict(autoscaler["spec"]), dict(autoscaler.get("status") or {})
    metrics, current = list(spec.pop("metrics", None) or ()), list(status.pop("currentMetrics", None) or ())
    kept = {
        METRICS: [_flat(metric, WANTED) for metric in metrics if not _is_cpu(metric, "target")],
        CURRENT_METRICS: [_flat(metric, MEASURED) for metric in current if not _is_cpu(metric, "current")],
        CONDITIONS: status.pop("conditions", None),
        BEHAVIOR: spec.pop("behavior", None),
    }
    for metric in metrics:
        if _is_cpu(metric, "target"):
            spec["targetCPUUtilizationPercentage"] = metric["resource"]["target"]["averageUtilization"]
    for metric in current:
        if _is_cpu(metric, "current"):
            status["currentCPUUtilizationPercentage"] = metric["resource"]["current"]["averageUtilization"]
    annotations |= {name: orjson.dumps(value).decode() for name, value in kept.items() if value}
    status.setdefault("currentReplicas", 0)
    return _version(autoscaler, "autoscaling/v1", annotations, spec, status)


def _version(autoscaler: Object, version: str, annotations: dict[str, str], spec: Object, status: Object) -> Object:
    metadata = {key: value for key, value in autoscaler["metadata"].items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    return autoscaler | {"apiVersion": version, "metadata": metadata, "spec": spec, "status": status}


def _cpu(field: str, amounts: Object) -> Object:
    return {"type": "Resource", "resource": {"name": "cpu", field: amounts}}


def _is_cpu(metric: Object, field: str) -> bool:
    """The metric that v1 has a field for."""
    source = metric.get("resource") or {}
    return source.get("name") == "cpu" and (source.get(field) or {}).get("averageUtilization") is not None


def _flat(metric: Object, table: dict[str, Paths]) -> Object:
    """v2's nested source as v1's flat one."""
    source, flat = metric[SOURCES[metric["type"]]], {}
    for new, old in table[metric["type"]]:
        parent, _, last = new.rpartition(".")
        value = ((source.get(parent) or {}) if parent else source).get(last)
        if value is not None:
            flat[old] = value
    return {"type": metric["type"], SOURCES[metric["type"]]: flat}


def _nested(metric: Object, table: dict[str, Paths]) -> Object:
    """v1's flat source as v2's nested one; the target's type is that of the amount it has."""
    flat = metric[SOURCES[metric["type"]]]
    source: Object = {}
    for new, old in table[metric["type"]]:
        parent, _, last = new.rpartition(".")
        if old in flat:
            (source.setdefault(parent, {}) if parent else source)[last] = flat[old]
    if target := source.get("target"):
        kinds = {"averageUtilization": "Utilization", "averageValue": "AverageValue", "value": "Value"}
        target["type"] = next(kind for field, kind in kinds.items() if field in target)
    return {"type": metric["type"], SOURCES[metric["type"]]: source}
