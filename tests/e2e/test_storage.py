"""Claims of the default class on a real node: a directory that outlives pods, and goes with its claim."""

from typing import Any

from tests.e2e.objects import container
from tests.e2e.running import RunningCluster, eventually

REMEMBER = "cat /data/seen; echo again >> /data/seen; sleep 600"


def stateful_set(namespace: str) -> dict[str, Any]:
    mount = {"name": "data", "mountPath": "/data"}
    pod_spec = {
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsUser": 1000},
        "containers": [container(command=["sh", "-c", REMEMBER], volumeMounts=[mount])],
    }
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": namespace},
        "spec": {
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": pod_spec},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }


def test_a_stateful_sets_data_outlives_its_pods(cluster: RunningCluster, namespace: str) -> None:
    """Any user may write to it; the next pod finds what the last one wrote; nothing is left when the set is gone."""

    def ready() -> bool:
        return bool(cluster.get("-n", namespace, "statefulset", "db")["status"].get("readyReplicas") == 1)

    cluster.apply(stateful_set(namespace))
    eventually(ready, "the first pod")
    claim = cluster.get("-n", namespace, "persistentvolumeclaim", "data-db-0")
    volume = cluster.get("persistentvolume", claim["spec"]["volumeName"])
    assert (volume["spec"]["storageClassName"], volume["status"]["phase"]) == ("standard", "Bound")
    first = cluster.get("-n", namespace, "pod", "db-0")["metadata"]["uid"]
    cluster.kubectl("-n", namespace, "delete", "pod", "db-0")
    eventually(lambda: ready() and cluster.get("-n", namespace, "pod", "db-0")["metadata"]["uid"] != first, "the next")
    eventually(lambda: cluster.kubectl("-n", namespace, "logs", "db-0").stdout == "again\n", "what the first one wrote")
    directory = cluster.directory / "nodes" / f"{cluster.name}-node-1" / "volumes" / volume["metadata"]["name"]
    assert (directory / "seen").is_file()
    cluster.kubectl("-n", namespace, "delete", "statefulset", "db")
    name = volume["metadata"]["name"]
    missing = ("get", "persistentvolume", name)
    eventually(lambda: "NotFound" in cluster.kubectl(*missing, check=False).stderr, "the volume is gone")
    assert not directory.exists()
