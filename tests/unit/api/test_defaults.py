"""What the server fills in, against what upstream returns after a create."""

import copy
from typing import Any

import pytest

from kaa.api.defaults import apply_defaults
from kaa.api.defaults.pods import pull_policy
from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object

CATALOG = builtin_catalog()


def defaulted(kind: str, obj: Object) -> Object:
    obj = {"metadata": {"name": "x"}} | copy.deepcopy(obj)
    apply_defaults(CATALOG.named(kind), obj)
    return obj


def spec_of(kind: str, spec: Object) -> Object:
    found: Object = defaulted(kind, {"spec": spec})["spec"]
    return found


CONTAINER = {
    "name": "c",
    "image": "nginx:1.27",
    "imagePullPolicy": "IfNotPresent",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
}
POD_SPEC: Object = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "terminationGracePeriodSeconds": 30,
    "schedulerName": "default-scheduler",
    "securityContext": {},
}


def test_plain_pod() -> None:
    """The pod that everybody creates first."""
    assert spec_of("Pod", {"containers": [{"name": "c", "image": "nginx:1.27"}]}) == POD_SPEC | {
        "containers": [CONTAINER],
        "enableServiceLinks": True,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:2", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
        ("", "IfNotPresent"),
    ],
)
def test_pull_policy(image: str, policy: str) -> None:
    """A tag that moves is pulled anew; a port in the registry's name is no tag."""
    assert pull_policy({"image": image}) == policy


def test_all_that_a_container_may_have() -> None:
    """Probes, ports, environment, hooks and resources of any container of a pod."""
    container = {
        "name": "c",
        "image": "nginx:1.27",
        "ports": [{"containerPort": 80}],
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "livenessProbe": {"httpGet": {"port": 80}, "timeoutSeconds": 0},
        "readinessProbe": {"grpc": {"port": 9}, "periodSeconds": 2},
        "lifecycle": {"preStop": {"httpGet": {"port": 80}}},
        "resources": {"limits": {"cpu": "0.5", "memory": "1.5Gi"}, "requests": {"cpu": "100m"}},
    }
    spec = spec_of("Pod", {"containers": [container], "initContainers": [container], "hostNetwork": True})
    for actual in (spec["containers"][0], spec["initContainers"][0]):
        assert actual["ports"] == [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}]
        assert actual["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
        assert actual["livenessProbe"] == {
            "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
            "timeoutSeconds": 1,
            "periodSeconds": 10,
            "successThreshold": 1,
            "failureThreshold": 3,
        }
        assert actual["readinessProbe"]["periodSeconds"] == 2
        assert actual["readinessProbe"]["grpc"] == {"port": 9, "service": ""}
        assert actual["lifecycle"]["preStop"]["httpGet"] == {"port": 80, "path": "/", "scheme": "HTTP"}
        assert actual["resources"] == {
            "limits": {"cpu": "500m", "memory": "1536Mi"},
            "requests": {"cpu": "100m", "memory": "1536Mi"},
        }


def test_volumes() -> None:
    """Modes, the token's life, and the empty directory that a volume without a source is."""
    volumes = [
        {"name": "e"},
        {"name": "s", "secret": {"secretName": "x"}},
        {"name": "h", "hostPath": {"path": "/x"}},
        {
            "name": "p",
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"path": "t"}},
                    {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                ]
            },
        },
    ]
    assert spec_of("Pod", {"containers": [], "volumes": volumes})["volumes"] == [
        {"name": "e", "emptyDir": {}},
        {"name": "s", "secret": {"secretName": "x", "defaultMode": 420}},
        {"name": "h", "hostPath": {"path": "/x", "type": ""}},
        {
            "name": "p",
            "projected": {
                "defaultMode": 420,
                "sources": [
                    {"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}},
                    {
                        "downwardAPI": {
                            "items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}]
                        }
                    },
                ],
            },
        },
    ]


TEMPLATE: Object = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "nginx:1.27"}]}}
FULL_TEMPLATE: Object = {"metadata": {"labels": {"a": "b"}}, "spec": POD_SPEC | {"containers": [CONTAINER]}}


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        (
            "Deployment",
            {},
            {
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
            },
        ),
        (
            "Deployment",
            {"replicas": 0, "strategy": {"type": "Recreate"}},
            {
                "replicas": 0,
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
                "strategy": {"type": "Recreate"},
            },
        ),
        ("ReplicaSet", {}, {"replicas": 1}),
        (
            "DaemonSet",
            {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 2}}},
            {
                "revisionHistoryLimit": 10,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2, "maxSurge": 0}},
            },
        ),
        (
            "StatefulSet",
            {},
            {
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "podManagementPolicy": "OrderedReady",
                "serviceName": "",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            },
        ),
        (
            "Job",
            {},
            {
                "completionMode": "NonIndexed",
                "suspend": False,
                "manualSelector": False,
                "completions": 1,
                "parallelism": 1,
                "backoffLimit": 6,
                "podReplacementPolicy": "TerminatingOrFailed",
            },
        ),
        (
            "Job",
            {"parallelism": 3, "backoffLimitPerIndex": 1},
            {
                "completionMode": "NonIndexed",
                "suspend": False,
                "manualSelector": False,
                "parallelism": 3,
                "backoffLimit": 2147483647,
                "backoffLimitPerIndex": 1,
                "podReplacementPolicy": "TerminatingOrFailed",
            },
        ),
    ],
)
def test_workloads(kind: str, spec: Object, expected: Object) -> None:
    """Each workload's own defaults, and its template's."""
    assert spec_of(kind, spec | {"template": TEMPLATE}) == expected | {"template": FULL_TEMPLATE}


def test_cron_job() -> None:
    """The job template gets a pod's defaults, not a job's."""
    assert spec_of("CronJob", {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": TEMPLATE}}}) == {
        "schedule": "* * * * *",
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {}, "spec": {"template": FULL_TEMPLATE}},
    }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"ports": [{"port": 80}]},
            {
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            },
        ),
        (
            {"type": "LoadBalancer", "sessionAffinity": "ClientIP", "ports": [{"port": 80, "targetPort": "http"}]},
            {
                "type": "LoadBalancer",
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
                "internalTrafficPolicy": "Cluster",
                "externalTrafficPolicy": "Cluster",
                "allocateLoadBalancerNodePorts": True,
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": "http"}],
            },
        ),
        (
            {"type": "ExternalName", "externalName": "example.com"},
            {"type": "ExternalName", "externalName": "example.com", "sessionAffinity": "None"},
        ),
    ],
)
def test_service(spec: Object, expected: Object) -> None:
    """What follows from a Service's type."""
    assert spec_of("Service", spec) == expected


@pytest.mark.parametrize(
    ("kind", "obj", "expected"),
    [
        (
            "Secret",
            {"stringData": {"a": "é"}, "data": {"b": "Yg=="}},
            {"type": "Opaque", "data": {"a": "w6k=", "b": "Yg=="}},
        ),
        (
            "Namespace",
            {},
            {
                "metadata": {"name": "x", "labels": {"kubernetes.io/metadata.name": "x"}},
                "spec": {},
                "status": {"phase": "Active"},
            },
        ),
        (
            "RoleBinding",
            {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User"}, {"kind": "ServiceAccount"}]},
            {
                "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"},
                "subjects": [
                    {"kind": "User", "apiGroup": "rbac.authorization.k8s.io"},
                    {"kind": "ServiceAccount"},
                ],
            },
        ),
        (
            "NetworkPolicy",
            {"spec": {"egress": [{"ports": [{"port": 53}]}]}},
            {
                "spec": {
                    "podSelector": {},
                    "policyTypes": ["Ingress", "Egress"],
                    "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}],
                }
            },
        ),
        ("StorageClass", {}, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
        ("PriorityClass", {}, {"preemptionPolicy": "PreemptLowerPriority"}),
        (
            "LimitRange",
            {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Gi"}}]}},
            {
                "spec": {
                    "limits": [
                        {
                            "type": "Container",
                            "max": {"cpu": "2"},
                            "min": {"memory": "1Gi"},
                            "default": {"cpu": "2"},
                            "defaultRequest": {"cpu": "2", "memory": "1Gi"},
                        }
                    ]
                }
            },
        ),
        (
            "CustomResourceDefinition",
            {"spec": {"names": {"kind": "Widget", "plural": "widgets"}}},
            {
                "spec": {
                    "names": {"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
                    "conversion": {"strategy": "None"},
                }
            },
        ),
        (
            "MutatingWebhookConfiguration",
            {"webhooks": [{"clientConfig": {"service": {}}, "rules": [{}]}]},
            {
                "webhooks": [
                    {
                        "clientConfig": {"service": {"port": 443}},
                        "rules": [{"scope": "*"}],
                        "failurePolicy": "Fail",
                        "matchPolicy": "Equivalent",
                        "namespaceSelector": {},
                        "objectSelector": {},
                        "timeoutSeconds": 10,
                        "reinvocationPolicy": "Never",
                    }
                ]
            },
        ),
        (
            "PersistentVolumeClaim",
            {"spec": {"resources": {"requests": {"storage": "1024Mi"}}}},
            {
                "spec": {"volumeMode": "Filesystem", "resources": {"requests": {"storage": "1Gi"}}},
                "status": {"phase": "Pending"},
            },
        ),
    ],
)
def test_other_kinds(kind: str, obj: Object, expected: Object) -> None:
    """A telling object of each kind whose author may leave things out."""
    assert defaulted(kind, obj) == {"metadata": {"name": "x"}} | expected


def test_autoscaler() -> None:
    """An autoscaler without metrics aims at the CPU; a behavior that is begun is completed."""
    spec = spec_of("HorizontalPodAutoscaler", {"maxReplicas": 3, "behavior": {"scaleDown": {"selectPolicy": "Min"}}})
    target = {"type": "Utilization", "averageUtilization": 80}
    assert spec["minReplicas"] == 1
    assert spec["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    assert spec["behavior"]["scaleDown"] == {
        "selectPolicy": "Min",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }
    assert spec["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0


BARE: dict[str, Any] = {
    "roleRef": {},
    "spec": {"template": TEMPLATE, "containers": [{"name": "c"}], "ports": [{"port": 1}], "names": {}},
}


def test_twice_is_the_same_as_once() -> None:
    """Objects are defaulted again whenever they are written: nothing may grow or flip."""
    for resource in CATALOG:
        once = {"metadata": {"name": "x"}} | copy.deepcopy(BARE)
        apply_defaults(resource, once)
        twice = copy.deepcopy(once)
        apply_defaults(resource, twice)
        assert twice == once, resource.kind


@pytest.mark.parametrize(
    ("kind", "part", "given", "filled"),
    [
        ("Pod", "status", {"podIP": "10.0.0.1"}, {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}),
        ("Pod", "status", {"podIPs": [{"ip": "::1"}]}, {"podIP": "::1", "podIPs": [{"ip": "::1"}]}),
        (
            "Pod",
            "status",
            {"podIP": "10.0.0.1", "podIPs": [{"ip": "::1"}]},
            {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]},
        ),
        ("Pod", "status", {"podIPs": [{}]}, {"podIP": "", "podIPs": [{}]}),
        ("Node", "spec", {"podCIDR": "10.1.0.0/24"}, {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]}),
        ("Node", "spec", {"podCIDRs": ["10.1.0.0/24"]}, {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]}),
        ("Node", "spec", {"podCIDR": "a", "podCIDRs": ["b"]}, {"podCIDR": "a", "podCIDRs": ["a"]}),
    ],
)
def test_one_address_and_several(kind: str, part: str, given: Object, filled: Object) -> None:
    """Old clients know of one address, new ones of several; both see the first, and an old one's word counts."""
    obj: Object = {"metadata": {}, "spec": {}, part: dict(given)}
    defaults = CATALOG.named(kind).defaults
    assert defaults is not None
    defaults(obj)
    assert {field: obj[part].get(field) for field in filled} == filled
