"""Measurements that are set from Python: autoscaling in a simulated cluster."""

from tests.integration.simulation.objects import Object, deployment

from kaa import Cluster
from kaa.api.objects import condition
from kaa.controllers import Options
from kaa.controllers.metrics_source import MetricsTable


def autoscaler(metric: Object) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 6, "metrics": [metric]}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": spec,
    }


def test_a_queue_outside_scales_a_deployment() -> None:
    """Ten messages a pod: sixty make six pods at once, none make two again, after the five minutes that it waits."""
    table = MetricsTable()
    external = {"metric": {"name": "messages"}, "target": {"type": "AverageValue", "averageValue": "10"}}
    with Cluster(nodes=1, clock="virtual", seed=7, controllers=Options(metrics=table)) as c:

        def size() -> int:
            return int(c.get("deployment", "web")["spec"]["replicas"])

        table.set_external("default", "messages", 20)
        c.apply(deployment(replicas=2))
        c.apply(autoscaler({"type": "External", "external": external}))
        c.run_for(minutes=1)
        assert size() == 2
        table.set_external("default", "messages", 60)
        c.run_for(minutes=1)
        assert size() == 6
        table.set_external("default", "messages", 0)
        c.run_for(minutes=3)
        assert size() == 6
        c.run_for(minutes=5)
        assert size() == 2


def test_what_describe_says_when_nothing_is_measured() -> None:
    """Events and condition in upstream's words; of a target that is scaled to none there is no event."""
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    table = MetricsTable()
    with Cluster(nodes=1, clock="virtual", seed=7, controllers=Options(metrics=table)) as c:

        def said() -> dict[str, str]:
            """By the reason; all from the part of the manager that upstream's would come from."""
            mine = [event for event in c.list("event") if event["involvedObject"]["kind"] == "HorizontalPodAutoscaler"]
            assert {event["source"]["component"] for event in mine} <= {"horizontal-pod-autoscaler"}
            return {event["reason"]: event["message"] for event in mine}

        c.apply(deployment(replicas=2))
        c.apply(autoscaler({"type": "Resource", "resource": resource}))
        c.run_for(minutes=1)
        why = "unable to get metrics for resource cpu: no metrics returned from resource metrics API"
        whole = f"failed to get cpu resource metric value: failed to get cpu utilization: {why}"
        assert said() == {
            "FailedGetResourceMetric": f"failed to get cpu utilization: {why}",
            "FailedComputeMetricsReplicas": f"invalid metrics (1 invalid out of 1), first error is: {whole}",
        }
        c.client.patch("Deployment", "web", {"spec": {"replicas": 0}}, "default")
        c.run_for(minutes=1)
        active = condition(c.get("hpa", "web")["status"]["conditions"], "ScalingActive")
        assert active["reason"] == "ScalingDisabled"
        assert "ScalingDisabled" not in said()
