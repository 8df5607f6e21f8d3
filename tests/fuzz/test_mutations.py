"""Good objects with one thing wrong: they get further than what is wrong all over."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.api.kinds import builtin_catalog
from tests.fuzz.hostile import BOUNDED, ODD, places, replaced
from tests.fuzz.sending import Victim, check

TEMPLATE = {
    "metadata": {"labels": {"app": "a"}},
    "spec": {
        "initContainers": [{"name": "i", "image": "example.com/i:1", "restartPolicy": "Always"}],
        "containers": [
            {
                "name": "a",
                "image": "example.com/a:1",
                "command": ["a"],
                "env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
                "lifecycle": {"preStop": {"exec": {"command": ["b"]}}},
                "securityContext": {"runAsUser": 1, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            }
        ],
        "volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}},
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
        ],
    },
}
JOB = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
SELECTOR = {"matchLabels": {"app": "a"}}
APPS, CORE = "/apis/apps/v1/namespaces/default", "/api/v1/namespaces/default"
GOOD: dict[str, dict[str, Any]] = {
    f"{CORE}/pods": {"spec": TEMPLATE["spec"]},
    f"{APPS}/deployments": {"spec": {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE}},
    f"{APPS}/daemonsets": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    f"{APPS}/statefulsets": {
        "spec": {
            "selector": SELECTOR,
            "serviceName": "s",
            "template": TEMPLATE,
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "d"},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
                }
            ],
        }
    },
    "/apis/batch/v1/namespaces/default/jobs": {"spec": {"completions": 2, "backoffLimit": 1, "template": JOB}},
    "/apis/batch/v1/namespaces/default/cronjobs": {
        "spec": {"schedule": "*/5 * * * *", "timeZone": "UTC", "jobTemplate": {"spec": {"template": JOB}}}
    },
    f"{CORE}/services": {
        "spec": {
            "selector": {"app": "a"},
            "type": "NodePort",
            "ports": [{"name": "a", "port": 80, "targetPort": "http", "protocol": "TCP"}],
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}},
            "sessionAffinity": "ClientIP",
        }
    },
    f"{CORE}/limitranges": {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "1"}}]}},
    f"{CORE}/resourcequotas": {
        "spec": {
            "hard": {"pods": "1000", "requests.cpu": "1000", "count/jobs.batch": "1000"},
            "scopeSelector": {"matchExpressions": [{"scopeName": "NotBestEffort", "operator": "Exists"}]},
        }
    },
    "/apis/policy/v1/namespaces/default/poddisruptionbudgets": {"spec": {"minAvailable": "50%", "selector": SELECTOR}},
    "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies": {
        "spec": {
            "podSelector": SELECTOR,
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}],
        }
    },
    "/apis/networking.k8s.io/v1/namespaces/default/ingresses": {
        "spec": {
            "rules": [
                {
                    "host": "a.example.com",
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "s", "port": {"number": 80}}},
                            }
                        ]
                    },
                }
            ]
        }
    },
    "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers": {
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"},
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                }
            ],
            "behavior": {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}]}},
        }
    },
    "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles": {
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    },
    "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}],
    },
    f"{CORE}/persistentvolumeclaims": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
}


def type_of(collection: str) -> dict[str, str]:
    """The apiVersion and kind of a collection's objects, which an apply must say."""
    resource = next(r for r in builtin_catalog() if r.path("default") == collection)
    return {"apiVersion": resource.api_version, "kind": resource.kind}


@pytest.mark.parametrize("collection", GOOD, ids=lambda path: path.rsplit("/", 1)[1])
@BOUNDED
@given(data=st.data())
def test_one_thing_wrong(victim: Victim, collection: str, data: st.DataObject) -> None:
    """Any one field with any value, when it is made and when it is changed."""
    good = {"metadata": {"name": "one", "labels": {"app": "a"}}, **GOOD[collection]}
    victim.create(collection, good)
    bad = replaced(good, data.draw(st.sampled_from(list(places(good)))), data.draw(ODD))
    check(victim.ask("PUT", f"{collection}/one", bad))
    check(victim.ask("PATCH", f"{collection}/one", bad, content_type="application/strategic-merge-patch+json"))
    check(victim.apply(f"{collection}/one", {**type_of(collection), **bad}))
    check(victim.ask("DELETE", f"{collection}/one", query=[("gracePeriodSeconds", "0")]))
    check(victim.apply(f"{collection}/one", {**type_of(collection), **bad}))
    check(victim.ask("POST", collection, bad))
    check(victim.ask("GET", collection, accept="application/json;as=Table;v=v1;g=meta.k8s.io"))
    check(victim.ask("GET", collection, accept="application/vnd.kubernetes.protobuf"))
    check(victim.ask("DELETE", collection, query=[("gracePeriodSeconds", "0")]))


CONDITIONS = [{"type": "Ready", "status": "True"}]
SUBRESOURCES = {
    f"{CORE}/pods/one/status": (
        "PUT",
        {"status": {"phase": "Running", "conditions": CONDITIONS}},
    ),
    f"{CORE}/pods/one/binding": ("POST", {"target": {"kind": "Node", "name": "n"}}),
    f"{CORE}/pods/one/eviction": ("POST", {"deleteOptions": {"gracePeriodSeconds": 1, "preconditions": {"uid": "u"}}}),
    f"{CORE}/pods/one/ephemeralcontainers": ("PUT", {"spec": {"ephemeralContainers": [{"name": "e", "image": "i"}]}}),
    f"{CORE}/pods/one/resize": ("PUT", {"spec": TEMPLATE["spec"]}),
    f"{APPS}/deployments/one/scale": ("PUT", {"spec": {"replicas": 2}}),
    f"{APPS}/deployments/one/status": (
        "PUT",
        {"status": {"replicas": 1, "conditions": CONDITIONS}},
    ),
    f"{CORE}/serviceaccounts/default/token": (
        "POST",
        {"spec": {"audiences": ["a"], "expirationSeconds": 600, "boundObjectRef": {"kind": "Pod", "name": "one"}}},
    ),
    "/api/v1/namespaces/default/finalize": ("PUT", {"spec": {"finalizers": ["kubernetes"]}}),
    "/apis/authorization.k8s.io/v1/subjectaccessreviews": (
        "POST",
        {"spec": {"user": "u", "groups": ["g"], "resourceAttributes": {"verb": "get", "resource": "pods"}}},
    ),
    "/apis/authentication.k8s.io/v1/tokenreviews": ("POST", {"spec": {"token": "a.b.c", "audiences": ["a"]}}),
}


@pytest.mark.parametrize("path", SUBRESOURCES)
@BOUNDED
@given(data=st.data())
def test_subresources(victim: Victim, path: str, data: st.DataObject) -> None:
    """Each subresource's body with any one thing wrong."""
    for collection in (f"{CORE}/pods", f"{APPS}/deployments"):
        victim.create(collection, {"metadata": {"name": "one", "labels": {"app": "a"}}, **GOOD[collection]})
    method, body = SUBRESOURCES[path]
    good = {"metadata": {"name": path.split("/")[-2]}, **body} if method == "PUT" else body
    bad = replaced(good, data.draw(st.sampled_from(list(places(good)))), data.draw(ODD))
    check(victim.ask(method, path, good))
    check(victim.ask(method, path, bad))
    if method == "PUT":
        check(victim.ask("PATCH", path, bad, content_type="application/merge-patch+json"))
        check(victim.ask("GET", path))
