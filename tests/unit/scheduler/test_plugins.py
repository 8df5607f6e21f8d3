"""What each plugin rejects and prefers, and the sentences that say so."""

import pytest
from tests.unit.scheduler.make import decision, feasible, node, pod, snapshot_of

from kaa.scheduler.decision import Placed, Unschedulable
from kaa.scheduler.pod_info import pod_info
from kaa.scheduler.snapshot import Snapshot
from kaa.scheduler.trimming import trimmed

ZONES = [
    node("a1", labels={"zone": "a", "cores": "8"}),
    node("a2", labels={"zone": "a", "cores": "16"}),
    node("b1", labels={"zone": "b", "cores": "8"}),
    node("none"),
]


def required(*terms):
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def expression(key, operator, *values):
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "nodes"),
    [
        ({"nodeSelector": {"zone": "a"}}, {"a1", "a2"}),
        ({"affinity": required(expression("zone", "In", "b", "c"))}, {"b1"}),
        ({"affinity": required(expression("zone", "NotIn", "a"))}, {"b1", "none"}),
        ({"affinity": required(expression("zone", "Exists"))}, {"a1", "a2", "b1"}),
        ({"affinity": required(expression("zone", "DoesNotExist"))}, {"none"}),
        ({"affinity": required(expression("cores", "Gt", "8"))}, {"a2"}),
        ({"affinity": required(expression("cores", "Lt", "16"))}, {"a1", "b1"}),
        ({"affinity": required(expression("zone", "In", "b"), expression("cores", "Gt", "8"))}, {"a2", "b1"}),
        ({"affinity": required({})}, set()),
        (
            {"affinity": required({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a2"]}]})},
            {"a2"},
        ),
    ],
)
def test_node_affinity(spec, nodes):
    """Terms are alternatives, an absent label is not in any set, and an empty term matches nothing."""
    assert feasible(pod("p", **spec), snapshot_of(*ZONES)) == nodes


def test_taints_and_tolerations():
    """NoSchedule and NoExecute keep pods off; PreferNoSchedule only sends them elsewhere if there is an elsewhere."""
    taint = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    soft = {"key": "slow", "effect": "PreferNoSchedule"}
    snapshot = snapshot_of(node("tainted", taints=[taint]), node("slow", taints=[soft]), node("plain"))
    assert feasible(pod("p"), snapshot) == {"slow", "plain"}
    assert decision(pod("p"), snapshot) == Placed("plain")
    for toleration in (
        {"key": "gpu", "operator": "Exists"},
        {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
        {"operator": "Exists"},
    ):
        assert "tainted" in feasible(pod("p", tolerations=[toleration]), snapshot)
    assert "tainted" not in feasible(pod("p", tolerations=[{"key": "gpu", "value": "no"}]), snapshot)


def test_cordoned_nodes():
    """What a DaemonSet's pods tolerate gets them on a cordoned node."""
    snapshot = snapshot_of(node("cordoned", unschedulable=True))
    assert feasible(pod("p"), snapshot) == set()
    toleration = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}
    assert feasible(pod("p", tolerations=[toleration]), snapshot) == {"cordoned"}


def test_host_ports():
    """The same port conflicts on the same or any address, not with another protocol."""
    snapshot = snapshot_of(node("n"))
    snapshot.add_pod(pod("first", ports=[{"hostPort": 80, "hostIP": "10.0.0.1", "protocol": "TCP"}]), "n")
    assert feasible(pod("p", ports=[{"hostPort": 80, "protocol": "TCP"}]), snapshot) == set()
    assert feasible(pod("p", ports=[{"hostPort": 80, "hostIP": "10.0.0.2", "protocol": "TCP"}]), snapshot) == {"n"}
    assert feasible(pod("p", ports=[{"hostPort": 80, "protocol": "UDP"}]), snapshot) == {"n"}
    snapshot.remove_pod(("default", "first"))
    assert feasible(pod("p", ports=[{"hostPort": 80, "protocol": "TCP"}]), snapshot) == {"n"}


def test_resources_add_up():
    """What is assumed counts at once, what is gone no longer; a node is full at its number of pods too."""
    snapshot = snapshot_of(node("n", cpu="1", pods=2))
    snapshot.add_pod(pod("first", "600m"), "n")
    assert feasible(pod("p", "500m"), snapshot) == set()
    assert feasible(pod("p", "400m"), snapshot) == {"n"}
    snapshot.add_pod(pod("second"), "n")
    assert feasible(pod("p"), snapshot) == set()
    snapshot.remove_pod(("default", "first"))
    assert feasible(pod("p", "1"), snapshot) == {"n"}


def test_extended_resources():
    """A resource that no node has is insufficient everywhere; one that a node has counts like any other."""
    snapshot = snapshot_of(node("plain"), node("gpu", room={"example.com/gpu": "1"}))
    wanted = {"example.com/gpu": "1"}
    assert feasible(pod("p", requests=wanted), snapshot) == {"gpu"}
    snapshot.add_pod(pod("first", requests=wanted), "gpu")
    assert feasible(pod("p", requests=wanted), snapshot) == set()
    assert feasible(pod("p", requests={"example.com/none": "1"}), snapshot) == set()


def test_the_emptier_node_is_preferred():
    """LeastAllocated, also among pods that request nothing: they are taken to use something."""
    snapshot = snapshot_of(node("a"), node("b"))
    snapshot.add_pod(pod("first"), "a")
    assert decision(pod("p"), snapshot) == Placed("b")


def test_images_that_are_there_are_preferred():
    """All else equal, the node that need not pull a large image."""
    image = {"names": ["example/app:1"], "sizeBytes": 900 * 2**20}
    snapshot = snapshot_of(node("without"), node("with", status={"images": [image]}))
    assert decision(pod("p"), snapshot) == Placed("with")


def spread(key, when="DoNotSchedule", **more):
    selector = {"matchLabels": {"app": "web"}}
    constraint = {"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": when, "labelSelector": selector, **more}
    return {"topologySpreadConstraints": [constraint]}


WEB = {"app": "web"}


def test_topology_spread():
    """The emptiest domain sets the measure; nodes without the label are out; other pods do not count."""
    snapshot = snapshot_of(*ZONES)
    assert feasible(pod("p", labels=WEB, **spread("zone")), snapshot) == {"a1", "a2", "b1"}
    snapshot.add_pod(pod("w1", labels=WEB), "a1")
    snapshot.add_pod(pod("other"), "b1")
    assert feasible(pod("p", labels=WEB, **spread("zone")), snapshot) == {"b1"}
    snapshot.add_pod(pod("w2", labels=WEB), "b1")
    assert feasible(pod("p", labels=WEB, **spread("zone")), snapshot) == {"a1", "a2", "b1"}


def test_topology_spread_counts_only_where_the_pod_could_go():
    """A zone that the pod's own selector rules out must not hold the others down at zero."""
    snapshot = snapshot_of(*ZONES)
    snapshot.add_pod(pod("w1", labels=WEB), "a1")
    in_zone_a = {"nodeSelector": {"zone": "a"}, **spread("zone")}
    assert feasible(pod("p", labels=WEB, **in_zone_a), snapshot) == {"a1", "a2"}


def test_min_domains():
    """With fewer domains than wanted the emptiest counts zero: the pods wait for a new one."""
    snapshot = snapshot_of(*ZONES)
    snapshot.add_pod(pod("w1", labels=WEB), "a1")
    snapshot.add_pod(pod("w2", labels=WEB), "b1")
    assert feasible(pod("p", labels=WEB, **spread("zone", minDomains=3)), snapshot) == set()


def test_soft_spread_scores():
    """ScheduleAnyway: the emptier zone, even on a busier node."""
    snapshot = snapshot_of(*ZONES[:3])
    snapshot.add_pod(pod("w1", labels=WEB), "a1")
    assert decision(pod("p", labels=WEB, **spread("zone", "ScheduleAnyway")), snapshot) == Placed("b1")


def pods_rule(kind, key, app="web", **more):
    term = {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}, **more}
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def test_pod_affinity():
    """Near a matching pod; the first of a kind that wants its own company may go anywhere with the label."""
    snapshot = snapshot_of(*ZONES)
    assert feasible(pod("p", **pods_rule("podAffinity", "zone")), snapshot) == set()
    assert feasible(pod("p", labels=WEB, **pods_rule("podAffinity", "zone")), snapshot) == {"a1", "a2", "b1"}
    snapshot.add_pod(pod("w1", labels=WEB), "a1")
    assert feasible(pod("p", labels=WEB, **pods_rule("podAffinity", "zone")), snapshot) == {"a1", "a2"}


def test_pod_anti_affinity_works_both_ways():
    """A pod keeps away from others, and others that asked for it are kept away from."""
    snapshot = snapshot_of(*ZONES)
    snapshot.add_pod(pod("w1", labels=WEB), "a1")
    assert feasible(pod("p", **pods_rule("podAntiAffinity", "zone")), snapshot) == {"b1", "none"}
    snapshot.add_pod(pod("hermit", labels={"app": "hermit"}, **pods_rule("podAntiAffinity", "zone", "db")), "b1")
    assert feasible(pod("p", labels={"app": "db"}), snapshot) == {"a1", "a2", "none"}
    snapshot.remove_pod(("default", "hermit"))
    assert "b1" in feasible(pod("p", labels={"app": "db"}), snapshot)


def test_affinity_of_other_namespaces():
    """A term means its own namespace unless it names others, by name or by their labels."""
    snapshot = snapshot_of(*ZONES)
    snapshot.namespace_labels = {"default": {}, "blue": {"team": "blue"}}
    other = pod("w1", labels=WEB)
    snapshot.add_pod(pod_in("blue", other), "a1")
    assert feasible(pod("p", **pods_rule("podAntiAffinity", "zone")), snapshot) == {"a1", "a2", "b1", "none"}
    by_name = pods_rule("podAntiAffinity", "zone", namespaces=["blue"])
    by_label = pods_rule("podAntiAffinity", "zone", namespaceSelector={"matchLabels": {"team": "blue"}})
    everywhere = pods_rule("podAntiAffinity", "zone", namespaceSelector={})
    for rule in (by_name, by_label, everywhere):
        assert feasible(pod("p", **rule), snapshot) == {"b1", "none"}


def pod_in(namespace, info):
    from dataclasses import replace

    return replace(info, key=(namespace, info.name), shape=replace(info.shape, namespace=namespace))


def test_the_message_counts_nodes_by_reason():
    """Tools and people read this sentence; its form is upstream's."""
    taint = {"key": "k", "effect": "NoSchedule"}
    snapshot = snapshot_of(node("small", cpu="1", memory="1Mi"), node("full"), node("tainted", taints=[taint]))
    snapshot.add_pod(pod("first", "3"), "full")
    wanted = pod("p", "2", requests={"memory": "1Gi"})
    found = decision(wanted, snapshot)
    assert isinstance(found, Unschedulable)
    assert found.message == (
        "0/3 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint(s), 2 Insufficient cpu. "
        "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, "
        "2 Preemption is not helpful for scheduling."
    )
    assert found.plugins == {"NodeResourcesFit", "TaintToleration"}


def test_no_nodes_at_all():
    """Its own sentence, as upstream's."""
    assert decision(pod("p"), snapshot_of()) == Unschedulable("no nodes available to schedule pods", frozenset())


def test_what_is_not_supported_is_said():
    """A pod that claims devices must wait rather than land on a node that does not have them."""
    found = decision(pod("p", resourceClaims=[{"name": "gpu"}]), snapshot_of(node("n")))
    assert isinstance(found, Unschedulable)
    assert "does not support dynamic resource allocation" in found.message


def test_a_claim_that_is_missing_is_the_pods_own_reason():
    """It is said once, not counted by nodes."""
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    found = decision(pod("p", volumes=[claim]), snapshot_of(node("n")))
    assert isinstance(found, Unschedulable)
    assert found.message.startswith('0/1 nodes are available: persistentvolumeclaim "data" not found.')


class Nodes:
    """A view of nodes alone."""

    def __init__(self, *nodes):
        self._nodes = list(nodes)

    def get(self, kind, name, namespace=""):
        return None

    def list(self, kind, namespace=None):
        return self._nodes if kind == "Node" else []


@pytest.mark.parametrize(
    ("spec", "feature"),
    [
        ({"hostNetwork": True, "hostUsers": False}, "UserNamespacesHostNetworkSupport"),
        (
            {"initContainers": [{"name": "first", "restartPolicyRules": [{"action": "RestartAllContainers"}]}]},
            "RestartAllContainersOnContainerExits",
        ),
    ],
)
def test_features_that_nodes_declare(spec, feature):
    """A pod that needs one goes where it is, also to nodes that were there, or change, before anybody asked."""
    able, unable = node("able", status={"declaredFeatures": [feature, "Other"]}), node("unable")
    snapshot = Snapshot(Nodes(able, unable))
    for found in (able, unable):
        snapshot.set_node(found)
    assert feasible(pod("p", **spec), snapshot) == {"able"}
    assert feasible(pod("q"), snapshot) == {"able", "unable"}
    snapshot.set_node(node("able"))
    snapshot.set_node(node("unable", status={"declaredFeatures": [feature]}))
    assert feasible(pod("p", **spec), snapshot) == {"unable"}


@pytest.mark.parametrize(
    ("spec_cpu", "allocated", "actual", "reason", "counted"),
    [
        ("1", "1", "1", None, 1000),
        ("2", "1", "1", "Deferred", 2000),  # wanted, and not yet to be had: the room is kept
        ("2", "1", "1", "Infeasible", 1000),  # never to be had there
        ("1", "2", "2", None, 2000),  # given back, but not yet
        ("1", "1", "2", None, 2000),
    ],
)
def test_a_pod_that_is_being_resized_counts_at_its_largest(spec_cpu, allocated, actual, reason, counted):
    """Nothing is promised to others before the kubelet has let go of it."""
    requests = {"requests": {"cpu": spec_cpu}}
    container = {"name": "main", "image": "example/app:1", "resources": requests}
    status = {"name": "main", "allocatedResources": {"cpu": allocated}, "resources": {"requests": {"cpu": actual}}}
    conditions = [{"type": "PodResizePending", "status": "True", "reason": reason}] if reason else []
    running = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "p", "namespace": "default", "uid": "p"},
        "spec": {"containers": [container], "nodeName": "n"},
        "status": {"containerStatuses": [status], "conditions": conditions},
    }
    for found in (pod_info(running), pod_info(trimmed(running))):
        assert found.requests["cpu"] == counted
        assert found.nonzero[0] == counted
