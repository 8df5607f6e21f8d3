"""Kinds that are served in two versions: nothing is lost on the way to the other and back."""

from kaa.api.conversions.autoscaling import from_v2, to_v2
from kaa.api.conversions.events import from_core, to_core
from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object, copy_object

V2: Object = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "x", "annotations": {"a": "b"}},
    "spec": {
        "scaleTargetRef": {"kind": "Deployment", "name": "web"},
        "minReplicas": 1,
        "maxReplicas": 9,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
            },
            {
                "type": "Resource",
                "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
            },
            {
                "type": "Pods",
                "pods": {"metric": {"name": "qps"}, "target": {"type": "AverageValue", "averageValue": "10"}},
            },
            {
                "type": "Object",
                "object": {
                    "describedObject": {"kind": "Service", "name": "s"},
                    "metric": {"name": "hits", "selector": {"matchLabels": {"a": "b"}}},
                    "target": {"type": "Value", "value": "5"},
                },
            },
            {
                "type": "External",
                "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "3"}},
            },
        ],
        "behavior": {"scaleDown": {"selectPolicy": "Min"}},
    },
    "status": {
        "currentReplicas": 2,
        "desiredReplicas": 3,
        "currentMetrics": [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 70}}},
            {"type": "Pods", "pods": {"metric": {"name": "qps"}, "current": {"averageValue": "11"}}},
        ],
        "conditions": [{"type": "AbleToScale", "status": "True"}],
    },
}


def test_an_autoscaler_of_v1_is_one_of_v2() -> None:
    """The CPU has fields of its own in v1; the rest waits in annotations, in v1's flat shape."""
    before = copy_object(V2)
    v1 = from_v2(V2)
    assert before == V2
    assert v1["apiVersion"] == "autoscaling/v1"
    assert v1["spec"] == {
        "scaleTargetRef": {"kind": "Deployment", "name": "web"},
        "minReplicas": 1,
        "maxReplicas": 9,
        "targetCPUUtilizationPercentage": 50,
    }
    assert v1["status"] == {"currentReplicas": 2, "desiredReplicas": 3, "currentCPUUtilizationPercentage": 70}
    annotations = v1["metadata"]["annotations"]
    assert annotations["a"] == "b"
    assert (
        '{"type":"Pods","pods":{"metricName":"qps","targetAverageValue":"10"}}'
        in annotations["autoscaling.alpha.kubernetes.io/metrics"]
    )
    assert annotations["autoscaling.alpha.kubernetes.io/current-metrics"] == (
        '[{"type":"Pods","pods":{"metricName":"qps","currentAverageValue":"11"}}]'
    )
    assert to_v2(v1) == V2


def test_an_event_of_the_new_group_is_one_of_the_core_group() -> None:
    """Both groups show the same events."""
    event: Object = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "x"},
        "regarding": {"kind": "Pod", "name": "web"},
        "note": "hello",
        "type": "Normal",
        "reportingController": "kubelet",
        "deprecatedCount": 3,
    }
    core = to_core(event)
    assert core == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "x"},
        "involvedObject": {"kind": "Pod", "name": "web"},
        "message": "hello",
        "type": "Normal",
        "reportingComponent": "kubelet",
        "count": 3,
    }
    assert from_core(core) == event


def test_every_row_with_another_storage_version_converts() -> None:
    """A version that is stored as another names both functions and a version that is served."""
    catalog = builtin_catalog()
    converted = [row for row in catalog if row.storage_version]
    assert {f"{row.group}/{row.version}" for row in converted} == {"autoscaling/v1", "events.k8s.io/v1"}
    for row in converted:
        group = row.group if row.storage_group is None else row.storage_group
        assert catalog.find(group, row.storage_version, row.name) is not None
        assert row.to_storage is not None
        assert row.from_storage is not None
