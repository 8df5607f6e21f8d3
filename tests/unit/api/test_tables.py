"""What `kubectl get` shows: cells as upstream prints them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object
from kaa.api.printing.cells import human_duration
from kaa.api.tables import columns_of, table

CATALOG = builtin_catalog()
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
META: Object = {"name": "x", "namespace": "default", "creationTimestamp": "2030-01-01T11:57:00Z"}


def cells(kind: str, obj: Object) -> dict[str, Any]:
    resource = CATALOG.named(kind)
    row = table(resource, [{"metadata": META} | obj], NOW)["rows"][0]
    return dict(zip([c.name for c in columns_of(resource)], row["cells"], strict=True))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (8 * 3600, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (730 * 86400, "2y"),
        (731 * 86400, "2y1d"),
        (8 * 365 * 86400, "8y"),
    ],
)
def test_human_duration(seconds: int, text: str) -> None:
    """Ages look as in upstream at every change of unit."""
    assert human_duration(timedelta(seconds=seconds)) == text


def running(name: str, *, ready: bool = True, restarts: int = 0, finished: str = "") -> Object:
    status: Object = {"name": name, "ready": ready, "restartCount": restarts, "state": {"running": {}}}
    if finished:
        status["lastState"] = {"terminated": {"finishedAt": finished, "exitCode": 1}}
    return status


def waiting(name: str, reason: str) -> Object:
    return {"name": name, "ready": False, "restartCount": 0, "state": {"waiting": {"reason": reason}}}


def terminated(name: str, code: int, reason: str = "", signal: int = 0) -> Object:
    state = {"exitCode": code, "reason": reason, "signal": signal}
    return {"name": name, "ready": False, "restartCount": 0, "state": {"terminated": state}}


ONE: Object = {"containers": [{"name": "a"}]}
TWO: Object = {"containers": [{"name": "a"}, {"name": "b"}]}
INIT: Object = {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]}
SIDECAR: Object = {"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]}


@pytest.mark.parametrize(
    ("spec", "status", "ready", "reason", "restarts"),
    [
        (ONE, {"phase": "Pending"}, "0/1", "Pending", "0"),
        (ONE, {"phase": "Running", "containerStatuses": [running("a")]}, "1/1", "Running", "0"),
        (
            ONE,
            {"phase": "Running", "containerStatuses": [running("a", restarts=3, finished="2030-01-01T11:58:00Z")]},
            "1/1",
            "Running",
            "3 (2m ago)",
        ),
        (
            TWO,
            {"phase": "Running", "containerStatuses": [running("a"), waiting("b", "CrashLoopBackOff")]},
            "1/2",
            "CrashLoopBackOff",
            "0",
        ),
        (ONE, {"phase": "Succeeded", "containerStatuses": [terminated("a", 0, "Completed")]}, "0/1", "Completed", "0"),
        (ONE, {"phase": "Failed", "containerStatuses": [terminated("a", 3)]}, "0/1", "ExitCode:3", "0"),
        (ONE, {"phase": "Failed", "containerStatuses": [terminated("a", 137, signal=9)]}, "0/1", "Signal:9", "0"),
        (
            TWO,
            {"phase": "Running", "containerStatuses": [terminated("a", 0, "Completed"), running("b")]},
            "1/2",
            "NotReady",
            "0",
        ),
        (
            INIT,
            {"phase": "Pending", "initContainerStatuses": [terminated("i", 0), waiting("j", "PodInitializing")]},
            "0/1",
            "Init:1/2",
            "0",
        ),
        (
            INIT,
            {"phase": "Pending", "initContainerStatuses": [waiting("i", "ImagePullBackOff")]},
            "0/1",
            "Init:ImagePullBackOff",
            "0",
        ),
        (
            INIT,
            {"phase": "Pending", "initContainerStatuses": [terminated("i", 1, "Error")]},
            "0/1",
            "Init:Error",
            "0",
        ),
        (
            SIDECAR,
            {
                "phase": "Running",
                "initContainerStatuses": [running("s", restarts=1) | {"started": True}],
                "containerStatuses": [running("a")],
            },
            "2/2",
            "Running",
            "1",
        ),
        (
            ONE,
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]},
            "0/1",
            "SchedulingGated",
            "0",
        ),
        (ONE, {"phase": "Failed", "reason": "Evicted"}, "0/1", "Evicted", "0"),
    ],
)
def test_pod(spec: Object, status: Object, ready: str, reason: str, restarts: str) -> None:
    """READY, STATUS and RESTARTS as people know them."""
    row = cells("Pod", {"spec": spec, "status": status})
    assert (row["Ready"], row["Status"], row["Restarts"], row["Age"]) == (ready, reason, restarts, "3m")


def test_pod_being_deleted() -> None:
    """A deletion shows whatever the containers do, except on a pod that has ended or a lost node."""
    deleted = {"metadata": META | {"deletionTimestamp": "2030-01-01T12:00:00Z"}, "spec": ONE}
    assert cells("Pod", deleted | {"status": {"phase": "Running"}})["Status"] == "Terminating"
    assert cells("Pod", deleted | {"status": {"phase": "Running", "reason": "NodeLost"}})["Status"] == "Unknown"
    assert cells("Pod", deleted | {"status": {"phase": "Succeeded"}})["Status"] == "Succeeded"


def test_pod_wide() -> None:
    """The columns of -o wide, absent things as `<none>`."""
    row = cells("Pod", {"spec": ONE, "status": {}})
    assert [row[c] for c in ("IP", "Node", "Nominated Node", "Readiness Gates")] == ["<none>"] * 4
    spec = ONE | {"nodeName": "n", "readinessGates": [{"conditionType": "lb"}, {"conditionType": "dns"}]}
    status = {"podIPs": [{"ip": "10.0.0.1"}], "conditions": [{"type": "lb", "status": "True"}]}
    row = cells("Pod", {"spec": spec, "status": status})
    assert (row["IP"], row["Node"], row["Readiness Gates"]) == ("10.0.0.1", "n", "1/2")


TEMPLATE: Object = {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]}}
SELECTOR: Object = {"matchLabels": {"b": "2", "a": "1"}}


@pytest.mark.parametrize(
    ("kind", "obj", "expected"),
    [
        (
            "Deployment",
            {
                "spec": {"replicas": 3, "template": TEMPLATE, "selector": SELECTOR},
                "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1},
            },
            {
                "Ready": "1/3",
                "Up-to-date": 2,
                "Available": 1,
                "Containers": "a,b",
                "Images": "x:1,y:2",
                "Selector": "a=1,b=2",
            },
        ),
        (
            "DaemonSet",
            {"spec": {"template": {"spec": {"nodeSelector": {"os": "linux"}}}, "selector": SELECTOR}},
            {"Desired": 0, "Node Selector": "os=linux"},
        ),
        (
            "Job",
            {
                "spec": {"completions": 2, "template": TEMPLATE},
                "status": {
                    "succeeded": 2,
                    "startTime": "2030-01-01T11:00:00Z",
                    "completionTime": "2030-01-01T11:00:30Z",
                    "conditions": [{"type": "Complete", "status": "True"}],
                },
            },
            {"Status": "Complete", "Completions": "2/2", "Duration": "30s"},
        ),
        ("Job", {"spec": {"parallelism": 3}}, {"Status": "Running", "Completions": "0/1 of 3", "Duration": ""}),
        (
            "CronJob",
            {"spec": {"schedule": "* * * * *", "suspend": False, "jobTemplate": {"spec": {"template": TEMPLATE}}}},
            {"Suspend": "False", "Timezone": "<none>", "Active": 0, "Last Schedule": "<none>", "Images": "x:1,y:2"},
        ),
        (
            "Service",
            {"spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30080}]}},
            {"Cluster-IP": "10.96.0.9", "External-IP": "<none>", "Port(s)": "80:30080/TCP", "Selector": "<none>"},
        ),
        ("Service", {"spec": {"type": "LoadBalancer", "clusterIP": "None"}}, {"External-IP": "<pending>"}),
        (
            "Node",
            {
                "metadata": META | {"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/a": ""}},
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": [{"type": "InternalIP", "address": "172.30.0.2"}],
                    "nodeInfo": {"kubeletVersion": "v1.37.0"},
                },
            },
            {
                "Status": "Ready,SchedulingDisabled",
                "Roles": "a,worker",
                "Version": "v1.37.0",
                "Internal-IP": "172.30.0.2",
                "OS-Image": "<unknown>",
            },
        ),
        (
            "Event",
            {
                "involvedObject": {"kind": "Pod", "name": "web"},
                "lastTimestamp": "2030-01-01T11:59:00Z",
                "source": {"component": "kubelet", "host": "n"},
                "message": "hello\n",
            },
            {"Last Seen": "60s", "Object": "pod/web", "Source": "kubelet, n", "Message": "hello", "Count": 1},
        ),
        (
            "Event.events.k8s.io",
            {"regarding": {"kind": "Pod", "name": "web"}, "note": "hello", "reportingController": "kubelet"},
            {"Object": "pod/web", "Message": "hello", "Source": "kubelet"},
        ),
        (
            "EndpointSlice",
            {
                "addressType": "IPv4",
                "ports": [{"port": 80}],
                "endpoints": [{"addresses": [f"10.0.0.{i}"]} for i in range(5)],
            },
            {"Ports": "80", "Endpoints": "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more..."},
        ),
        (
            "PersistentVolumeClaim",
            {
                "spec": {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Filesystem"},
                "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
            },
            {"Status": "Bound", "Capacity": "1Gi", "Access Modes": "RWO", "VolumeAttributesClass": "<unset>"},
        ),
        (
            "HorizontalPodAutoscaler",
            {
                "spec": {
                    "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                    "minReplicas": 1,
                    "maxReplicas": 5,
                    "metrics": [
                        {
                            "type": "Resource",
                            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                        }
                    ],
                }
            },
            {"Reference": "Deployment/web", "Targets": "cpu: <unknown>/50%", "MinPods": "1", "MaxPods": 5},
        ),
        (
            "RoleBinding",
            {
                "roleRef": {"kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "n"}, {"kind": "User", "name": "u"}],
            },
            {"Role": "ClusterRole/view", "Users": "u", "Groups": "", "ServiceAccounts": "n/s"},
        ),
        (
            "StorageClass",
            {
                "metadata": META | {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                "provisioner": "p",
            },
            {"Name": "x (default)", "ReclaimPolicy": "Delete", "AllowVolumeExpansion": False},
        ),
        (
            "CertificateSigningRequest",
            {"spec": {}, "status": {"conditions": [{"type": "Approved"}], "certificate": "Zm9v"}},
            {"Condition": "Approved,Issued", "RequestedDuration": "<none>"},
        ),
        (
            "ResourceQuota",
            {"status": {"hard": {"pods": "10", "limits.cpu": "2"}, "used": {"pods": "3"}}},
            {"Request": "pods: 3/10", "Limit": "limits.cpu: 0/2"},
        ),
        (
            "ControllerRevision",
            {
                "metadata": META
                | {
                    "ownerReferences": [
                        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": True}
                    ]
                },
                "revision": 4,
            },
            {"Controller": "statefulset.apps/db", "Revision": 4},
        ),
        ("Ingress", {"spec": {"rules": [{}]}}, {"Class": "<none>", "Hosts": "*", "Ports": "80"}),
        ("APIService", {"spec": {}}, {"Service": "Local", "Available": "Unknown"}),
        ("ConfigMap", {"data": {"a": "", "b": ""}, "binaryData": {"c": ""}}, {"Data": 3}),
        ("Namespace", {"status": {"phase": "Active"}}, {"Name": "x", "Status": "Active", "Age": "3m"}),
        ("Role", {}, {"Name": "x", "Created At": "2030-01-01T11:57:00Z"}),
    ],
)
def test_cells(kind: str, obj: Object, expected: Object) -> None:
    """One telling object a kind."""
    actual = cells(kind, obj)
    assert {name: actual[name] for name in expected} == expected


def test_every_kind_prints_an_object_with_nothing_but_its_required_parts() -> None:
    """No column fails where a status is missing: lists must never break for one odd object."""
    bare: Object = {
        "spec": {
            "containers": [],
            "template": {},
            "jobTemplate": {},
            "scaleTargetRef": {"kind": "Deployment", "name": "x"},
        },
        "template": {},
        "roleRef": {"kind": "Role", "name": "x"},
    }
    for resource in CATALOG:
        row = table(resource, [{"metadata": META} | bare], NOW)["rows"][0]
        assert len(row["cells"]) == len(columns_of(resource))


def test_the_table_itself() -> None:
    """The Table's own shape: list metadata, definitions, and what a row's object is."""
    resource = CATALOG.named("Namespace")
    namespace = {"metadata": META, "status": {"phase": "Active"}}
    answer = table(resource, [namespace], NOW, {"resourceVersion": "7"})
    assert (answer["kind"], answer["apiVersion"], answer["metadata"]) == (
        "Table",
        "meta.k8s.io/v1",
        {"resourceVersion": "7"},
    )
    assert [d["name"] for d in answer["columnDefinitions"]] == ["Name", "Status", "Age"]
    assert answer["columnDefinitions"][0] == {
        "name": "Name",
        "type": "string",
        "format": "name",
        "description": "Name must be unique within a namespace.",
        "priority": 0,
    }
    assert answer["rows"][0]["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": META,
    }
    assert table(resource, [namespace], NOW, include_object="Object")["rows"][0]["object"] is namespace
    assert table(resource, [namespace], NOW, include_object="None")["rows"][0]["object"] is None
