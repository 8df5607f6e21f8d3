"""What is kept of a pod is all that the scheduler looks at."""

from kaa.scheduler.pod_info import pod_info, shape_of
from kaa.scheduler.trimming import trimmed

SPEC = {
    "nodeName": "node-1",
    "priority": 7,
    "schedulerName": "mine",
    "nodeSelector": {"zone": "a"},
    "tolerations": [{"operator": "Exists"}],
    "overhead": {"cpu": "10m"},
    "resources": {"requests": {"cpu": "2"}},
    "schedulingGroup": {"podGroupName": "gang"},
    "serviceAccountName": "default",
    "containers": [
        {
            "name": "main",
            "image": "example/app:1",
            "env": [{"name": "A", "value": "B"}],
            "ports": [{"hostPort": 80, "containerPort": 80, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "1"}},
        }
    ],
    "initContainers": [{"name": "sidecar", "image": "example/side:1", "restartPolicy": "Always", "args": ["x"]}],
    "volumes": [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "token", "projected": {"sources": []}},
        {"name": "model", "image": {"reference": "example/model:1"}},
    ],
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web",
        "namespace": "default",
        "uid": "u",
        "resourceVersion": "5",
        "creationTimestamp": "2030-01-01T00:00:00Z",
        "labels": {"app": "web"},
        "annotations": {"long": "x" * 100},
        "managedFields": [{"manager": "kubectl"}],
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "w", "uid": "r", "controller": True}
        ],
    },
    "spec": SPEC,
    "status": {"phase": "Running", "startTime": "2030-01-01T00:00:01Z", "podIP": "10.244.0.1"},
}


def test_a_trimmed_pod_decides_alike():
    """The very same shape, and all that is the pod's own."""
    small = trimmed(POD)
    assert shape_of(small) is shape_of(POD)
    whole, kept = pod_info(POD), pod_info(small)
    for name in ("key", "uid", "node_name", "gates", "created_at", "started_at", "terminating"):
        assert getattr(whole, name) == getattr(kept, name)
    assert "annotations" not in small["metadata"]
    assert "env" not in small["spec"]["containers"][0]
    assert [volume["name"] for volume in small["spec"]["volumes"]] == ["data", "model"]


def test_a_pod_without_a_node_is_kept_whole():
    """Reports and extenders need all of it."""
    pending = {**POD, "spec": {**SPEC, "nodeName": ""}}
    assert trimmed(pending) is pending
