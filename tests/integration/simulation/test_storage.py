"""Storage of a simulated cluster: claims of the default class get volumes on simulated nodes."""

from tests.integration.simulation.objects import Object, pod

from kaa import Cluster
from kaa.api.objects import name_of

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


def test_a_pod_that_goes_in_the_foreground_takes_its_own_claim_along() -> None:
    """It waits for the claim of its ephemeral volume, which must not wait for the pod in turn."""
    with Cluster(clock="virtual", seed=7) as c:
        template = {"volumeClaimTemplate": {"spec": CLAIM}}
        c.apply(pod("a", volumes=[{"name": "scratch", "ephemeral": template}], terminationGracePeriodSeconds=1))
        c.wait("pod", "a", "Ready")
        assert [name_of(claim) for claim in c.list("persistentvolumeclaims")] == ["a-scratch"]
        c.delete("pod", "a", propagation="Foreground")
        c.run_for(minutes=1)
        assert not c.list("pods")
        assert not c.list("persistentvolumeclaims")


def test_a_claim_stays_for_a_pod_that_the_controllers_have_not_seen() -> None:
    """A watch that is late must not cost the data that a pod is writing at that moment."""
    with Cluster(clock="virtual", seed=7) as c:
        c.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": CLAIM})
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        c.apply(pod("first", volumes=volumes, terminationGracePeriodSeconds=1))
        c.wait("pod", "first", "Ready")
        c.delete("pod", "first")
        c.run_for(10)
        c.faults.delay_watches("kube-controller-manager", seconds=(30, 30), kind="Pod", for_=60)
        c.apply(pod("second", volumes=volumes))
        c.wait("pod", "second", "Ready", timeout=20)
        c.delete("persistentvolumeclaim", "data")
        c.run_for(10)
        assert "deletionTimestamp" in c.get("persistentvolumeclaim", "data")["metadata"]
        c.delete("pod", "second")
        c.run_for(minutes=3)
        assert not c.list("persistentvolumeclaims")
