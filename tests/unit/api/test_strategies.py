"""The hooks of kinds that do more than the common rules on a write."""

import copy

import pytest

from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object
from kaa.api.strategies.cluster import prepare_namespace_for_create, prepare_namespace_for_update
from kaa.api.strategies.pods import pod_grace_seconds, prepare_pod_for_create, qos_class
from kaa.api.strategies.services import prepare_service_for_update
from kaa.api.strategies.workloads import prepare_deployment_for_update, prepare_job_for_create


def container(limits: Object | None = None, requests: Object | None = None) -> Object:
    return {"resources": {"limits": limits or {}, "requests": requests or {}}}


BOTH = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [container()]}, "BestEffort"),
        ({"containers": [container(requests={"cpu": "1"})]}, "Burstable"),
        ({"containers": [container(BOTH, BOTH)]}, "Guaranteed"),
        ({"containers": [container(BOTH, {"cpu": "1000m", "memory": "1024Mi"})]}, "Guaranteed"),
        ({"containers": [container(BOTH, BOTH), container()]}, "Burstable"),
        ({"containers": [container(BOTH, BOTH | {"cpu": "500m"})]}, "Burstable"),
        ({"containers": [container(BOTH, BOTH)], "initContainers": [container(requests={"cpu": "1"})]}, "Burstable"),
        ({"containers": [container()], "resources": {"limits": BOTH, "requests": BOTH}}, "Guaranteed"),
        ({"containers": [container(requests={"cpu": "0"})]}, "BestEffort"),
    ],
)
def test_qos_class(spec: Object, expected: str) -> None:
    """The quality of service decides which pods die first: it must be upstream's."""
    assert qos_class(spec) == expected


def test_a_pod_begins_pending_whatever_its_author_says() -> None:
    """Nobody can create a pod that already runs."""
    pod: Object = {"spec": {"containers": [container()]}, "status": {"phase": "Running", "podIP": "1.2.3.4"}}
    prepare_pod_for_create(pod)
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


@pytest.mark.parametrize(
    ("pod", "seconds"),
    [
        ({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}}, 30),
        ({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": -1}}, 1),
        ({"spec": {"terminationGracePeriodSeconds": 30}}, None),
        ({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Failed"}}, None),
    ],
)
def test_pod_grace_seconds(pod: Object, seconds: int | None) -> None:
    """Only a pod that may still run is waited for."""
    assert pod_grace_seconds(pod) == seconds


def test_a_job_selects_its_pods_by_its_uid() -> None:
    """Two jobs of the same name never share pods."""
    job: Object = {"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"metadata": {}}}}
    prepare_job_for_create(job)
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    assert job["spec"]["template"]["metadata"]["labels"] == {
        "controller-uid": "u",
        "batch.kubernetes.io/controller-uid": "u",
        "job-name": "j",
        "batch.kubernetes.io/job-name": "j",
    }
    manual: Object = {"metadata": {"name": "j", "uid": "u"}, "spec": {"manualSelector": True, "template": {}}}
    prepare_job_for_create(manual)
    assert manual["spec"] == {"manualSelector": True, "template": {}}


def test_a_namespace_keeps_its_finalizer() -> None:
    """The contents are deleted before the namespace is: an update can't take the finalizer off."""
    namespace: Object = {"spec": {}}
    prepare_namespace_for_create(namespace)
    assert namespace == {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    new: Object = {"spec": {}}
    prepare_namespace_for_update(new, namespace)
    assert new == {"spec": {"finalizers": ["kubernetes"]}}


@pytest.mark.parametrize("kind", ["PersistentVolumeClaim", "PersistentVolume"])
def test_a_volume_begins_pending(kind: str) -> None:
    """Nobody can create a claim or a volume that is bound already."""
    prepare = builtin_catalog().named(kind).prepare_for_create
    assert prepare is not None
    obj: Object = {"spec": {}, "status": {"phase": "Bound"}}
    prepare(obj)
    assert obj["status"] == {"phase": "Pending"}


def test_a_deployments_annotations_count_as_a_change() -> None:
    """Controllers observe an annotated Deployment as a new generation, as upstream's do."""
    old: Object = {"metadata": {"generation": 2}}
    new: Object = {"metadata": {"generation": 2, "annotations": {"a": "b"}}}
    prepare_deployment_for_update(new, old)
    assert new["metadata"]["generation"] == 3


NODE_PORT: Object = {
    "type": "NodePort",
    "clusterIP": "10.96.0.1",
    "clusterIPs": ["10.96.0.1"],
    "externalTrafficPolicy": "Cluster",
    "internalTrafficPolicy": "Cluster",
    "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}],
}


def updated_service(new: Object, old: Object = NODE_PORT) -> Object:
    changed: Object = {"spec": copy.deepcopy(new)}
    prepare_service_for_update(changed, {"spec": copy.deepcopy(old)})
    spec: Object = changed["spec"]
    return spec


def test_a_service_keeps_what_was_allocated() -> None:
    """A replaced Service that names no address or node port keeps those it has."""
    spec = updated_service({"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}, {"port": 81}]})
    assert (spec["clusterIP"], spec["clusterIPs"]) == ("10.96.0.1", ["10.96.0.1"])
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 81}]


def test_a_service_drops_what_its_new_type_does_not_need() -> None:
    """Node ports go with the type, the address goes when the Service becomes a name."""
    spec = updated_service(NODE_PORT | {"type": "ClusterIP"})
    assert spec["ports"] == [{"port": 80, "protocol": "TCP"}]
    assert "externalTrafficPolicy" not in spec
    spec = updated_service(NODE_PORT | {"type": "ExternalName", "externalName": "example.com"})
    assert "clusterIP" not in spec
    assert "internalTrafficPolicy" not in spec


def test_a_gated_pod_says_so_from_the_start():
    """Nobody else would: the scheduler does not try it."""
    pod = {"metadata": {}, "spec": {"schedulingGates": [{"name": "example.com/wait"}]}}
    prepare_pod_for_create(pod)
    (found,) = pod["status"]["conditions"]
    assert (found["type"], found["status"], found["reason"]) == ("PodScheduled", "False", "SchedulingGated")


def test_label_keys_become_part_of_the_selector():
    """Schedulers read the selector alone; keys that the pod does not have, and rules without a selector, stay."""
    selector = {"matchLabels": {"app": "web"}}
    term = {"topologyKey": "zone", "labelSelector": selector, "matchLabelKeys": ["v"], "mismatchLabelKeys": ["t", "x"]}
    constraint = {"topologyKey": "zone", "maxSkew": 1, "labelSelector": {}, "matchLabelKeys": ["v"]}
    bare = {"topologyKey": "zone", "maxSkew": 1, "matchLabelKeys": ["v"]}
    preferred = [{"weight": 1, "podAffinityTerm": term}]
    affinity = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    spec = {"affinity": affinity, "topologySpreadConstraints": [constraint, bare]}
    prepare_pod_for_create({"metadata": {"labels": {"v": "1", "t": "a"}}, "spec": spec})
    assert selector["matchExpressions"] == [
        {"key": "v", "operator": "In", "values": ["1"]},
        {"key": "t", "operator": "NotIn", "values": ["a"]},
    ]
    assert constraint["labelSelector"] == {"matchExpressions": [{"key": "v", "operator": "In", "values": ["1"]}]}
    assert "labelSelector" not in bare
