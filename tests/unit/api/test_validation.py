"""Whether objects may be stored, and what is said of those that may not: upstream's texts, all errors at once."""

import copy
from typing import Any

import pytest

from kaa.api.defaults import apply_defaults
from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object
from kaa.api.validation import names, validate
from kaa.api.validation.schedule import schedule_problem

CATALOG = builtin_catalog()


def complete(kind: str, obj: Object, name: str = "x") -> Object:
    """The object with defaults and the least metadata."""
    resource = CATALOG.named(kind)
    metadata: Object = {"name": name} | ({"namespace": "default"} if resource.namespaced else {})
    whole: Object = {"apiVersion": resource.api_version, "kind": resource.kind, **copy.deepcopy(obj)}
    whole["metadata"] = metadata | whole.get("metadata", {})
    apply_defaults(resource, whole)
    return whole


def errors(kind: str, obj: Object, name: str = "x") -> list[str]:
    return [str(e) for e in validate(CATALOG.named(kind), complete(kind, obj, name), None)]


def update_errors(kind: str, new: Object, old: Object, subresource: str = "") -> list[str]:
    resource = CATALOG.named(kind)
    return [str(e) for e in validate(resource, complete(kind, new), complete(kind, old), subresource)]


SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("ConfigMap", "a.b-c", []),
        ("ConfigMap", "X", [f'metadata.name: Invalid value: "X": {SUBDOMAIN}']),
        ("Namespace", "a.b", ['metadata.name: Invalid value: "a.b": must not contain dots']),
        ("Namespace", "A", [f'metadata.name: Invalid value: "A": {LABEL}']),
        ("ClusterRole", "system:Node", []),
        ("ClusterRole", "a/b", ["metadata.name: Invalid value: \"a/b\": may not contain '/'"]),
        ("ConfigMap", "", ["metadata.name: Required value: name or generateName is required"]),
    ],
)
def test_names(kind: str, name: str, expected: list[str]) -> None:
    """What a name may look like depends on the kind."""
    assert errors(kind, {}, name) == expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"labels": {"a/b": "c_D.1"}, "annotations": {"A.io/x": "any thing"}}, []),
        ({"generateName": "web-"}, []),
        ({"generateName": "Web-"}, [f'metadata.generateName: Invalid value: "Web-": {SUBDOMAIN}']),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "", "uid": "u"}]},
            ["metadata.ownerReferences[0].name: Required value: must not be empty"],
        ),
        (
            {"annotations": {"a": "x" * 262144}},
            ["metadata.annotations: Too long: may not be more than 262144 bytes"],
        ),
        (
            {"finalizers": ["orphan", "foregroundDeletion"]},
            [
                'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: '
                "finalizer orphan and foregroundDeletion cannot be both set"
            ],
        ),
    ],
)
def test_metadata(metadata: Object, expected: list[str]) -> None:
    """The rules that every kind has in common."""
    assert errors("ConfigMap", {"metadata": metadata}) == expected


def test_label_value() -> None:
    """The text that people meet most."""
    assert errors("ConfigMap", {"metadata": {"labels": {"a": "b c"}}}) == [
        'metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric '
        "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
        "'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    ]


def test_sysctls() -> None:
    """Names are a path of parts; one of a namespace that the pod shares with its host is the host's to set."""
    context = [{"name": name, "value": "1"} for name in ("foo-", "kernel/shmmax", "net.a", "net.a", "bar..")]
    spec = {"containers": [{"name": "c", "image": "i"}], "securityContext": {"sysctls": context}, "hostNetwork": True}
    part = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
    why = rf"must have at most 253 characters and match regex ^({part}[\./])*{part}$"
    path = "spec.securityContext.sysctls[{}].name"
    assert errors("Pod", {"spec": spec}) == [
        f'{path.format(0)}: Invalid value: "foo-": {why}',
        f"{path.format(2)}: Invalid value: \"net.a\": may not be specified when 'hostNetwork' is true",
        f'{path.format(3)}: Duplicate value: "net.a"',
        f"{path.format(3)}: Invalid value: \"net.a\": may not be specified when 'hostNetwork' is true",
        f'{path.format(4)}: Invalid value: "bar..": {why}',
    ]


def test_no_new_finalizers_on_an_object_being_deleted() -> None:
    """A deletion that has begun comes to its end."""
    old = {"metadata": {"deletionTimestamp": "2030-01-01T00:00:00Z", "finalizers": ["a/b"]}}
    new = {"metadata": {"deletionTimestamp": "2030-01-01T00:00:00Z", "finalizers": ["a/b", "c/d"]}}
    assert update_errors("ConfigMap", new, old) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"c/d"}'
    ]
    assert update_errors("ConfigMap", old, new) == []


def pod(**spec: Any) -> Object:
    return {"spec": {"containers": [{"name": "c", "image": "nginx"}]} | spec}


def pod_with(**container: Any) -> Object:
    return {"spec": {"containers": [{"name": "c", "image": "nginx"} | container]}}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (pod(), []),
        ({"spec": {}}, ["spec.containers: Required value"]),
        (pod_with(image=""), ["spec.containers[0].image: Required value"]),
        (
            pod_with(image=" nginx"),
            ['spec.containers[0].image: Invalid value: " nginx": must not have leading or trailing whitespace'],
        ),
        (pod_with(name="C"), [f'spec.containers[0].name: Invalid value: "C": {LABEL}']),
        (
            pod_with(imagePullPolicy="Sometimes"),
            [
                'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": '
                'supported values: "Always", "IfNotPresent", "Never"'
            ],
        ),
        (
            pod(containers=[{"name": "c", "image": "a"}, {"name": "c", "image": "b"}]),
            ['spec.containers[1].name: Duplicate value: "c"'],
        ),
        (
            pod(initContainers=[{"name": "c", "image": "a"}]),
            ['spec.initContainers[0].name: Duplicate value: "c"'],
        ),
        (
            pod(restartPolicy="Maybe"),
            ['spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"'],
        ),
        (
            pod_with(ports=[{"containerPort": 70000}]),
            ["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
        ),
        (
            pod_with(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]),
            ['spec.containers[0].ports[1].name: Duplicate value: "a"'],
        ),
        (
            pod_with(volumeMounts=[{"name": "v", "mountPath": "/x"}]),
            ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
        ),
        (
            pod(volumes=[{"name": "v"}, {"name": "v"}]),
            ['spec.volumes[1].name: Duplicate value: "v"'],
        ),
        (
            pod(volumes=[{"name": "v", "secret": {}}]),
            ["spec.volumes[0].secret.secretName: Required value"],
        ),
        (
            pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
            ["spec.volumes[0].emptyDir: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            pod_with(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
            ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
        ),
        (
            pod_with(resources={"limits": {"memory": "-1"}}),
            [
                'spec.containers[0].resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0',
                'spec.containers[0].resources.requests[memory]: Invalid value: "-1": '
                "must be greater than or equal to 0",
            ],
        ),
        (
            pod_with(livenessProbe={"exec": {"command": ["x"]}, "successThreshold": 2}),
            ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        ),
        (
            pod_with(readinessProbe={}),
            ["spec.containers[0].readinessProbe: Required value: must specify a handler type"],
        ),
        (pod_with(env=[{"name": "a b!"}]), []),
        (
            pod_with(env=[{"name": "a=b"}]),
            [
                'spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable name must '
                "consist only of printable ASCII characters other than '='"
            ],
        ),
        (
            pod_with(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
        ),
        (
            pod(initContainers=[{"name": "i", "image": "a", "readinessProbe": {"exec": {"command": ["x"]}}}]),
            [
                "spec.initContainers[0].readinessProbe: Forbidden: "
                "may not be set for init containers without restartPolicy=Always"
            ],
        ),
        (
            pod(tolerations=[{"effect": "NoSchedule"}]),
            [
                'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, '
                'which means "match all values and all keys"'
            ],
        ),
        (
            pod(topologySpreadConstraints=[{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]),
            ["spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty"],
        ),
        (
            pod(dnsPolicy="None"),
            [
                "spec.dnsConfig.nameservers: Required value: "
                "must provide at least one DNS nameserver when `dnsPolicy` is None"
            ],
        ),
        (
            pod(ephemeralContainers=[{"name": "e", "image": "a"}]),
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
        (
            {"spec": {"containers": [{"image": ""}]}},
            ["spec.containers[0].name: Required value", "spec.containers[0].image: Required value"],
        ),
    ],
)
def test_pod(obj: Object, expected: list[str]) -> None:
    """One violated rule at a time, and several at once."""
    assert errors("Pod", obj) == expected


UNCHANGEABLE = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


@pytest.mark.parametrize(
    ("new", "old", "subresource", "expected"),
    [
        (pod_with(image="other"), pod(), "", []),
        (pod_with(command=["x"]), pod(), "", [UNCHANGEABLE]),
        (pod(nodeName="n"), pod(), "binding", []),
        (pod(tolerations=[{"key": "a", "operator": "Exists"}]), pod(), "", []),
        (
            pod(),
            pod(tolerations=[{"key": "a", "operator": "Exists"}]),
            "",
            ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
        ),
        (pod(), pod(schedulingGates=[{"name": "a"}]), "", []),
        (pod(schedulingGates=[{"name": "a"}], nodeSelector={"a": "b"}), pod(schedulingGates=[{"name": "a"}]), "", []),
        (
            pod(ephemeralContainers=[{"name": "e", "image": "a"}]),
            pod(ephemeralContainers=[{"name": "e", "image": "b"}, {"name": "f", "image": "b"}]),
            "ephemeralcontainers",
            [
                'spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be changed',
                'spec.ephemeralContainers: Forbidden: existing ephemeral containers "f" may not be removed',
            ],
        ),
        (
            pod(ephemeralContainers=[{"name": "e", "image": "a", "ports": [{"containerPort": 80}]}]),
            pod(),
            "ephemeralcontainers",
            ["spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container"],
        ),
        (
            pod_with(resources={"requests": {"cpu": "1"}}),
            pod(),
            "resize",
            ['spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'],
        ),
        (
            pod(schedulingGates=[{"name": "a"}]),
            pod(),
            "",
            ["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a'"],
        ),
    ],
)
def test_pod_update(new: Object, old: Object, subresource: str, expected: list[str]) -> None:
    """A pod's spec stays what it was, but for a few fields."""
    assert update_errors("Pod", new, old, subresource) == expected


def test_contents_that_stay_are_not_judged_again() -> None:
    """An old object that a newer rule forbids can still get a status."""
    bad = pod_with(image="")
    assert update_errors("Pod", bad | {"status": {"phase": "Running"}}, bad) == []


TEMPLATE: Object = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}


def workload(**spec: Any) -> Object:
    return {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE} | spec}


def test_a_stateful_sets_claims_are_volumes_of_its_pods() -> None:
    """A container may mount what a claim template will make, and nothing else that is not there."""
    mounts = [{"name": "data", "mountPath": "/data"}, {"name": "absent", "mountPath": "/absent"}]
    container = {"name": "c", "image": "i", "volumeMounts": mounts}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    found = errors("StatefulSet", workload(template=template, volumeClaimTemplates=[claim]))
    assert found == ['spec.template.spec.containers[0].volumeMounts[1].name: Not found: "absent"']


MISMATCH = 'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`'


@pytest.mark.parametrize(
    ("kind", "obj", "expected"),
    [
        ("Deployment", workload(), []),
        ("Deployment", workload(selector={"matchLabels": {"a": "c"}}), [MISMATCH]),
        ("ReplicaSet", workload(selector={"matchLabels": {"a": "c"}}), [MISMATCH]),
        ("DaemonSet", workload(selector={"matchLabels": {"a": "c"}}), [MISMATCH]),
        ("StatefulSet", workload(selector={"matchLabels": {"a": "c"}}), [MISMATCH]),
        (
            "Deployment",
            {"spec": {"template": TEMPLATE}},
            ["spec.selector: Required value", MISMATCH],
        ),
        (
            "Deployment",
            workload(replicas=-1),
            ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            "Deployment",
            workload(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
            [
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
            ],
        ),
        (
            "Deployment",
            workload(strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
            [
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ],
        ),
        (
            "Deployment",
            workload(
                template={"metadata": {"labels": {"a": "b"}}, "spec": TEMPLATE["spec"] | {"restartPolicy": "Never"}}
            ),
            [
                'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
            ],
        ),
        (
            "Deployment",
            workload(template={"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}),
            ["spec.template.spec.containers: Required value"],
        ),
        (
            "CronJob",
            {"spec": {"schedule": "* * * *", "jobTemplate": {"spec": {"template": TEMPLATE}}}},
            [
                'spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]',
                'spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
            ],
        ),
        (
            "HorizontalPodAutoscaler",
            {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "x"}, "minReplicas": 3, "maxReplicas": 2}},
            ["spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`"],
        ),
        (
            "PodDisruptionBudget",
            {"spec": {"minAvailable": "200%"}},
            ['spec.minAvailable: Invalid value: "200%": must not be greater than 100%'],
        ),
    ],
)
def test_workloads(kind: str, obj: Object, expected: list[str]) -> None:
    """Workloads: selectors, strategies, and the pods of their templates."""
    assert sorted(errors(kind, obj)) == sorted(expected)


@pytest.mark.parametrize(
    ("kind", "obj", "expected"),
    [
        ("Service", {"spec": {"ports": [{"port": 80}]}}, []),
        ("Service", {"spec": {}}, ["spec.ports: Required value"]),
        ("Service", {"spec": {"clusterIP": "None"}}, []),
        (
            "Service",
            {"spec": {"ports": [{"port": 80}, {"port": 81}]}},
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            "Service",
            {"spec": {"type": "Odd", "ports": [{"port": 80}]}},
            [
                'spec.type: Unsupported value: "Odd": '
                'supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'
            ],
        ),
        (
            "Service",
            {"spec": {"ports": [{"port": 80, "nodePort": 30000}]}},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        ("Service", {"spec": {"type": "ExternalName"}}, ["spec.externalName: Required value"]),
        (
            "ConfigMap",
            {"data": {"a/b": ""}},
            [
                "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', "
                "'_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
                "'[-._a-zA-Z0-9]+')"
            ],
        ),
        ("ConfigMap", {"data": {"a": "x" * 1048577}}, [": Too long: may not be more than 1048576 bytes"]),
        (
            "Secret",
            {"type": "kubernetes.io/tls"},
            ["data[tls.crt]: Required value", "data[tls.key]: Required value"],
        ),
        (
            "ClusterRole",
            {"rules": [{"resources": ["pods"]}]},
            [
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            ],
        ),
        (
            "RoleBinding",
            {"roleRef": {"kind": "Odd", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "s"}]},
            [
                'roleRef.kind: Unsupported value: "Odd": supported values: "Role", "ClusterRole"',
                "subjects[0].namespace: Required value",
            ],
        ),
        (
            "Lease",
            {"spec": {"leaseDurationSeconds": 0}},
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than zero"],
        ),
        (
            "PersistentVolumeClaim",
            {"spec": {}},
            [
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
            ],
        ),
        (
            "PersistentVolume",
            {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}},
            ["spec: Required value: must specify a volume type"],
        ),
        (
            "Ingress",
            {"spec": {"rules": [{"http": {"paths": [{"path": "/", "backend": {}}]}}]}},
            [
                "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
                "spec.rules[0].http.paths[0].backend: Required value: resource or service backend is required",
            ],
        ),
        (
            "EndpointSlice",
            {"addressType": "IPv4", "endpoints": [{"addresses": ["::1"]}]},
            ['endpoints[0].addresses[0]: Invalid value: "::1": must be an IPv4 address'],
        ),
        (
            "EndpointSlice",
            {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}] * 1001},
            ["endpoints: Too many: 1001: must have at most 1000 items"],
        ),
        (
            "Node",
            {"spec": {"taints": [{"key": "a", "effect": "Odd"}]}},
            [
                'spec.taints[0].effect: Unsupported value: "Odd": '
                'supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'
            ],
        ),
        (
            "PriorityClass",
            {"value": 2000000000},
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
        ),
        (
            "LimitRange",
            {"spec": {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}},
            [
                'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
                'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than default request value 1',
                'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than default value 1',
            ],
        ),
        ("StorageClass", {}, ["provisioner: Required value"]),
        (
            "NetworkPolicy",
            {"spec": {"ingress": [{"from": [{}]}]}},
            ["spec.ingress[0].from[0]: Required value: must specify a peer"],
        ),
    ],
)
def test_other_kinds(kind: str, obj: Object, expected: list[str]) -> None:
    """A telling violation of each kind's rules."""
    assert errors(kind, obj) == expected


CLAIM: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


@pytest.mark.parametrize(
    ("kind", "new", "old", "expected"),
    [
        (
            "Deployment",
            workload(
                selector={"matchLabels": {"a": "c"}},
                template=TEMPLATE | {"metadata": {"labels": {"a": "c"}}},
            ),
            workload(),
            ['spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable'],
        ),
        (
            "StatefulSet",
            workload(serviceName="b"),
            workload(serviceName="a"),
            [
                "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                "'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
                "'minReadySeconds' are forbidden"
            ],
        ),
        (
            "Service",
            {"spec": {"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"], "ports": [{"port": 80}]}},
            {"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]}},
            ['spec.clusterIPs[0]: Invalid value: "10.0.0.2": may not change once set'],
        ),
        (
            "ConfigMap",
            {"data": {"a": "2"}, "immutable": True},
            {"data": {"a": "1"}, "immutable": True},
            ["data: Forbidden: field is immutable when `immutable` is set"],
        ),
        ("Secret", {"type": "b"}, {"type": "a"}, ['type: Invalid value: "b": field is immutable']),
        (
            "RoleBinding",
            {"roleRef": {"kind": "Role", "name": "b"}},
            {"roleRef": {"kind": "Role", "name": "a"}},
            [
                'roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"b"}: '
                "cannot change roleRef"
            ],
        ),
        (
            "PersistentVolumeClaim",
            {"spec": CLAIM | {"storageClassName": "b"}},
            {"spec": CLAIM | {"storageClassName": "a"}},
            [
                "spec: Forbidden: spec is immutable after creation except resources.requests and "
                "volumeAttributesClassName for bound claims"
            ],
        ),
        ("PersistentVolumeClaim", {"spec": CLAIM | {"volumeName": "v"}}, {"spec": CLAIM}, []),
        (
            "StorageClass",
            {"provisioner": "b"},
            {"provisioner": "a"},
            ["provisioner: Forbidden: updates to provisioner are forbidden."],
        ),
    ],
)
def test_what_may_not_change(kind: str, new: Object, old: Object, expected: list[str]) -> None:
    """Fields that others have built upon stay."""
    assert update_errors(kind, new, old) == expected


JOB_TEMPLATE: Object = {"spec": TEMPLATE["spec"] | {"restartPolicy": "Never"}, "metadata": {"labels": {"a": "b"}}}


def job(**spec: Any) -> Object:
    return {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": JOB_TEMPLATE} | spec}


def test_job() -> None:
    """A job's template is fixed once it may have started; while it is suspended before that, it isn't."""
    other = JOB_TEMPLATE | {"spec": JOB_TEMPLATE["spec"] | {"nodeSelector": {"a": "b"}}}
    assert errors("Job", job()) == []
    assert errors("Job", job(completionMode="Indexed", parallelism=2)) == [
        "spec.completions: Required value: when completion mode is Indexed"
    ]
    (error,) = update_errors("Job", job(template=other), job())
    assert error.startswith("spec.template: Invalid value: {")
    assert error.endswith(": field is immutable")
    assert update_errors("Job", job(template=other), job(suspend=True)) == []


@pytest.mark.parametrize(
    ("zone", "problem"),
    [
        ("Europe/Berlin", ""),
        ("Etc/UTC", ""),
        ("bad-time-zone", "unknown time zone bad-time-zone"),
        ("../etc/passwd", "unknown time zone ../etc/passwd"),
        ("Europe", "unknown time zone Europe"),
        ("Local", "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"),
    ],
)
def test_time_zones(zone: str, problem: str) -> None:
    """A CronJob in a zone that nobody knows would never run."""
    template = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
    spec = {"schedule": "* * * * *", "timeZone": zone, "jobTemplate": {"spec": {"template": template}}}
    found = errors("CronJob", {"spec": spec})
    assert found == ([f'spec.timeZone: Invalid value: "{zone}": {problem}'] if problem else [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("*/5 0-6 1,15 jan-jun mon", ""),
        ("@daily", ""),
        ("@every 5m", ""),
        ("@never", "unrecognized descriptor: @never"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("x * * * *", "failed to parse int from x"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
    ],
)
def test_schedules(text: str, problem: str) -> None:
    """A CronJob's schedule is checked when it is written, not when it should run."""
    assert schedule_problem(text) == problem


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (names.dns_label, ["a", "a-1", "1a", "a" * 63], ["", "-a", "a-", "a.b", "A", "a" * 64]),
        (names.dns_subdomain, ["a", "a.b", "1.2", "a" * 253], ["", "a..b", ".a", "a_b", "a" * 254]),
        (names.port_name, ["http", "a1", "9-a"], ["", "1", "a--b", "-a", "A", "a" * 16]),
        (names.config_key, ["a", "A.b_c-d"], ["", ".", "..", "..a", "a/b"]),
        (names.wildcard_subdomain, ["*.a.b"], ["a.b", "*.", "a.*.b"]),
        (names.ip_address, ["1.2.3.4", "::1"], ["1.2.3", "1.2.3.256", "x"]),
        (names.cidr, ["10.0.0.0/8", "::/0"], ["10.0.0.0", "10.0.0.0/33"]),
        (names.path_segment, ["a:b", "A b"], [".", "..", "a/b", "a%b"]),
        (names.percent, ["0%", "100%"], ["1", "%", "-1%"]),
    ],
)
def test_name_rules(rule: names.Problems, good: list[str], bad: list[str]) -> None:
    """The edges of each rule."""
    assert [value for value in good if list(rule(value))] == []
    assert [value for value in bad if not list(rule(value))] == []
