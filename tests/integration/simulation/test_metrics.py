"""Measurements that are set from Python: autoscaling in a simulated cluster."""

from tests.integration.simulation.objects import Object, deployment

from kaa import Cluster
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
