"""Storage of a simulated cluster: claims of the default class get volumes on simulated nodes."""

from tests.integration.simulation.objects import Object

from kaa import Cluster

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def database() -> Object:
    labels = {"app": "db"}
    container = {"name": "db", "image": "example.com/db:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "replicas": 2,
            "serviceName": "db",
            "selector": {"matchLabels": labels},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": CLAIM}],
        },
    }


def test_a_stateful_set_with_claims_runs_and_leaves_nothing() -> None:
    """What an operator of a database makes: bound late, on the nodes that the pods went to, and reclaimed."""
    with Cluster(nodes=2, clock="virtual", seed=7) as c:
        c.apply(database())
        c.wait("statefulset", "db", lambda found: found.get("status", {}).get("readyReplicas") == 2)
        claims = c.list("persistentvolumeclaims")
        assert [(claim["spec"]["storageClassName"], claim["status"]["phase"]) for claim in claims] == [
            ("standard", "Bound"),
            ("standard", "Bound"),
        ]
        nodes = {pod["spec"]["nodeName"] for pod in c.list("pods")}
        selected = {claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] for claim in claims}
        assert selected == nodes
        c.delete("statefulset", "db")
        c.run_for(minutes=1)
        assert not c.list("persistentvolumes")
        assert not c.list("persistentvolumeclaims")


def test_the_class_is_an_object_like_any_other() -> None:
    """A test may replace it by its own; a fork does not bring it back."""
    with Cluster(clock="virtual", seed=7) as c:
        assert [found["metadata"]["name"] for found in c.list("storageclasses")] == ["standard"]
        c.delete("storageclass", "standard")
        with c.fork() as fork:
            assert not fork.list("storageclasses")
