"""The importable cluster, as those who import it see it: on the wall clock, in a thread, and on a virtual clock."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.simulation.objects import config_map, custom_kind, deployment, pod

from kaa import Cluster
from kaa.api.errors import APIError
from kaa.client.rest import Client
from kaa.cluster.simulation.drivers import AnotherLoop, CalledFromInside
from kaa.cluster.simulation.settings import ClockName
from kaa.cluster.simulation.waiting import WaitTimeout
from kaa.controllers import Options
from kaa.cri.simulated_program import SimulatedContainer
from kaa.lib.clock import Clock

SYSTEM_NAMESPACES = ["default", "kube-node-lease", "kube-public", "kube-system"]


@pytest.fixture(params=["wall", "virtual"])
def c(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with Cluster(clock=request.param, seed=7) as cluster:
        yield cluster


def names(objects: list[dict]) -> list[str]:
    return [obj["metadata"]["name"] for obj in objects]


def test_a_deployment_becomes_available(c: Cluster) -> None:
    """Controllers, scheduler and a kubelet are at work: an applied Deployment ends in ready pods on a node."""
    applied = c.apply(deployment(replicas=3))
    assert applied["metadata"]["uid"]
    available = c.wait("deployment", "web", "Available")
    assert available is not None
    c.wait("deploy", "web", "jsonpath={.status.readyReplicas}=3")
    pods = c.list("pods", namespace="default", label_selector="app=web")
    assert len(pods) == 3
    assert {p["spec"]["nodeName"] for p in pods} == {"node-1"}
    assert {p["status"]["phase"] for p in pods} == {"Running"}
    c.delete("deployment", "web")
    c.wait("deployment", "web", "delete")
    c.run_until(lambda: not c.list("pods"), timeout=120)


def test_it_is_a_whole_cluster(c: Cluster) -> None:
    """What every cluster has at its start is there: namespaces, the API's own Service, roles, priority classes."""
    assert names(c.list("namespaces")) == SYSTEM_NAMESPACES
    assert c.get("service", "kubernetes")["spec"]["clusterIP"] == "10.96.0.1"
    assert "cluster-admin" in names(c.list("clusterroles"))
    assert "system-node-critical" in names(c.list("priorityclasses"))
    c.wait("serviceaccount", "default", "create")
    assert "BEGIN CERTIFICATE" in c.wait("cm", "kube-root-ca.crt", "create", namespace="kube-system")["data"]["ca.crt"]
    assert c.wait("node", "node-1", "Ready")["status"]["nodeInfo"]["kubeletVersion"]


def test_apply_takes_what_people_have(c: Cluster, tmp_path: Path) -> None:
    """A dict gives an object; YAML of several documents, a list, a file and a folder give a list, in order."""
    assert c.apply(config_map("one", a="1"))["data"] == {"a": "1"}
    text = (
        "# several\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\ndata:\n  a: |\n    x\n    --- y\n---\n"
    )
    text += "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: team}\n"
    two, team = c.apply(text)
    assert two["data"] == {"a": "x\n--- y\n"}
    assert team["kind"] == "Namespace"
    assert names(c.apply([config_map("three"), config_map("four")], namespace="team")) == ["three", "four"]
    (tmp_path / "b.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: five}\n")
    (tmp_path / "a.json").write_text('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"six"}}')
    (tmp_path / "notes.txt").write_text("no manifest")
    assert names(c.apply(tmp_path)) == ["six", "five"]
    assert names(c.apply(tmp_path / "b.yaml")) == ["five"]
    assert names(c.list("configmaps", namespace="team", field_selector="metadata.name!=kube-root-ca.crt")) == [
        "four",
        "three",
    ]


def test_apply_is_server_side_apply(c: Cluster) -> None:
    """Fields belong to their manager: another one is refused unless it forces, and a field that is left out goes."""
    c.apply(config_map("shared", a="1", b="1"), field_manager="first")
    with pytest.raises(APIError, match='conflict with "first"') as refused:
        c.apply(config_map("shared", a="2"), field_manager="second", force=False)
    assert refused.value.reason == "Conflict"
    c.apply(config_map("shared", a="2"), field_manager="second")
    assert c.apply(config_map("shared", a="2"), field_manager="first")["data"] == {"a": "2"}


def test_errors_are_kubernetes_own(c: Cluster) -> None:
    """What the server refuses is an APIError with upstream's text; what is no kind is kubectl's."""
    with pytest.raises(APIError, match=r'^pods "nope" not found$'):
        c.get("pod", "nope")
    with pytest.raises(APIError, match='the server doesn\'t have a resource type "widgets"'):
        c.list("widgets")
    with pytest.raises(APIError) as invalid:
        c.apply({**deployment(), "spec": {}})
    assert invalid.value.reason == "Invalid"
    assert "spec.selector: Required value" in invalid.value.message
    with pytest.raises(APIError, match=r'no matches for kind "Widget" in version "example.com/v1"'):
        c.apply({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}})
    with pytest.raises(ValueError, match="not a Kubernetes object"):
        c.apply("just: text")


def test_custom_kinds_are_kinds(c: Cluster) -> None:
    """A definition makes its kind known to apply, get and list, by all of its names; also within one manifest."""
    backup = {"apiVersion": "example.com/v1", "kind": "Backup", "metadata": {"name": "nightly"}, "spec": {"keep": 3}}
    c.apply([custom_kind(), backup])
    for kind in ("Backup", "backups", "bk", "backups.example.com", "example.com/v1/Backup", "backups.v1.example.com"):
        assert c.get(kind, "nightly")["spec"] == {"keep": 3}
    made = c.client.get("Backup", "nightly", "default")
    c.client.update_status({**made, "status": {"conditions": [{"type": "Done", "status": "True"}]}})
    c.wait("backup", "nightly", "condition=Done")


def test_rbac_and_admission_are_real(c: Cluster) -> None:
    """Somebody with no role may do nothing; a role lets him; a quota and defaults of a LimitRange are enforced."""
    account = "system:serviceaccount:default:operator"
    operator = c.client_of(account)
    with pytest.raises(APIError, match=f'User "{account}" cannot list resource "pods"') as forbidden:
        operator.list("Pod", "default")
    assert forbidden.value.reason == "Forbidden"
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": [rule]}
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": "default"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    binding = {key: value for key, value in role.items() if key != "rules"} | {"kind": "RoleBinding"}
    c.apply([role, {**binding, "roleRef": reference, "subjects": [subject]}])
    assert operator.list("Pod", "default").items == []
    limits = {"limits": [{"type": "Container", "defaultRequest": {"cpu": "50m"}, "default": {"cpu": "100m"}}]}
    c.apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": limits})
    c.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})
    c.wait("quota", "q", "jsonpath={.status.hard.pods}=1")
    c.wait("serviceaccount", "default", "create")
    made = c.apply(pod("first"))
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "50m"}
    assert made["spec"]["serviceAccountName"] == "default"
    with pytest.raises(APIError, match='pods "second" is forbidden: exceeded quota: q'):
        c.apply(pod("second"))


def test_a_wait_that_fails_says_what_it_saw(c: Cluster) -> None:
    """One reads in the message what the object looked like, and what happened to it, without running it again."""
    c.wait("serviceaccount", "default", "create")
    c.apply(pod("stuck", nodeSelector={"disk": "fast"}))
    with pytest.raises(WaitTimeout) as timeout:
        c.wait("pod", "stuck", "Ready", timeout=3)
    text = str(timeout.value)
    assert text.startswith("timed out waiting for the condition on pods/stuck: Ready\n")
    assert "phase: Pending" in text
    assert "Warning FailedScheduling pod/stuck: 0/1 nodes are available" in text
    with pytest.raises(WaitTimeout, match="it does not exist"):
        c.wait("pod", "ghost", "Ready", timeout=0.1)


def test_an_object_may_be_waited_for_before_it_is_there(c: Cluster) -> None:
    """An operator makes its objects later: a wait begins before, and takes a predicate that reads absent fields."""

    async def later() -> None:
        await c.asynchronous.run_for(0.2)
        await c.asynchronous.apply(config_map("late", ready="yes"))

    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(later())
            found = await c.asynchronous.wait("cm", "late", lambda cm: cm["data"]["ready"] == "yes", timeout=5)
            assert found is not None

    c.run(both())


def test_pods_run_python_and_have_logs(c: Cluster) -> None:
    """An image may be a coroutine: what it prints is the pod's log, what it returns the exit code."""

    @c.image("worker")
    async def worker(container: SimulatedContainer) -> int:
        container.log("at work")
        return 3

    c.wait("serviceaccount", "default", "create")
    c.apply(pod("job", "worker", restartPolicy="Never"))
    done = c.wait("pod", "job", "jsonpath={.status.phase}=Failed")
    assert done is not None
    assert done["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    assert c.logs("job") == "at work\n"
    with pytest.raises(APIError, match="container nope is not valid for pod job"):
        c.logs("job", container="nope")


def test_parts_can_be_left_out() -> None:
    """For who tests against the API alone: no controllers, no scheduler, no nodes; a pod stays as it was made."""
    with Cluster(controllers=False, scheduler=False, nodes=0) as c:
        assert c.list("nodes") == []
        c.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
        c.apply(pod("still"))
        c.run_for(0.2)
        assert c.get("pod", "still")["status"]["phase"] == "Pending"
        assert c.world.running == []


def test_controllers_have_options() -> None:
    """What differs between clusters' controllers can be said, as where pods' addresses come from."""
    with Cluster(clock="virtual", controllers=Options(cluster_cidr="10.9.0.0/16")) as c:
        assert c.wait("node", "node-1", "jsonpath={.spec.podCIDR}=10.9.0.0/24")


def test_ones_own_controller_is_a_component(c: Cluster) -> None:
    """It runs beside Kaa's as whoever it says, begins anew after a failure, and can be made to fail."""
    account = "system:serviceaccount:default:labeller"
    starts = []

    async def labeller(client: Client, clock: Clock) -> None:
        starts.append(clock.now())
        while True:
            for obj in (await client.list("ConfigMap", "default", label_selector="!seen")).items:
                labels = {"metadata": {"labels": {"seen": "yes"}}}
                await client.patch("ConfigMap", obj["metadata"]["name"], labels, "default")
            await clock.sleep(0.1)

    c.apply(config_map("a"))
    c.add_component("labeller", labeller, user=account)
    c.run_until(lambda: len(starts) > 1)  # forbidden, it fails and is started again
    subject = {"kind": "ServiceAccount", "name": "labeller", "namespace": "default"}
    c.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "labeller"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [subject],
        }
    )
    c.wait("cm", "a", "jsonpath={.metadata.labels.seen}=yes")
    c.faults.pause("labeller")
    c.apply(config_map("b"))
    c.run_for(0.5)
    assert "labels" not in c.get("cm", "b")["metadata"]
    c.faults.heal()
    c.wait("cm", "b", "jsonpath={.metadata.labels.seen}=yes")


def test_help_is_there() -> None:
    """Whoever asks for help on a method gets it, in plain code as in asynchronous."""
    for name, method in vars(Cluster).items():
        if not name.startswith("_"):
            assert method.__doc__, name


def test_hundreds_of_light_nodes() -> None:
    """Where many nodes are wanted and their pods need not do anything, one component plays them all."""
    with Cluster(clock="virtual", nodes=200, light_nodes=True) as c:
        c.wait("node", "node-200", "Ready")
        c.apply(deployment(replicas=100))
        c.wait("deployment", "web", "jsonpath={.status.readyReplicas}=100")
        assert len({pod["spec"]["nodeName"] for pod in c.list("pods")}) > 50
        assert "simulated-nodes" in c.world.running


def test_blocking_calls_from_inside_are_refused(c: Cluster) -> None:
    """Code that the cluster runs must not wait for the cluster: it would wait for ever."""

    async def inside() -> None:
        c.get("node", "node-1")

    with pytest.raises(CalledFromInside):
        c.run(inside())


def test_a_cluster_that_does_not_run_says_so() -> None:
    """Before and after its block, every call names the mistake."""
    cluster = Cluster(nodes=0)
    with pytest.raises(RuntimeError, match="use `with Cluster"):
        cluster.list("pods")
    with cluster:
        assert cluster.list("pods") == []
    with pytest.raises(RuntimeError, match="use `with Cluster"):
        cluster.client.get("Pod", "a", "default")
    cluster.close()


@pytest.mark.parametrize("clock", ["wall", "virtual"])
def test_a_cluster_is_entered_once_at_a_time(clock: ClockName) -> None:
    """The second time is refused, and the first cluster lives on; after its end it can begin anew."""
    cluster = Cluster(nodes=0, clock=clock)
    for _ in range(2):
        with cluster:
            with pytest.raises(RuntimeError, match="runs already"):
                cluster.__enter__()
            assert cluster.list("pods") == []


async def test_async_with_gives_the_same_as_coroutines() -> None:
    """In asynchronous code the cluster lives in the caller's own event loop."""
    async with Cluster(nodes=["alpha", "beta"]) as c:
        await c.wait("node", "beta", "Ready")
        await c.wait("serviceaccount", "default", "create")
        await c.apply(pod("one"))
        await c.wait("pod", "one", "Ready")
        async for event in c.client.watch("Pod", "default"):
            assert event.object["metadata"]["name"] == "one"
            break
        assert await c.run_until(lambda: "yes") == "yes"


async def test_virtual_time_needs_a_virtual_loop() -> None:
    """A virtual clock in an ordinary event loop would never move: the error says what to do."""
    with pytest.raises(RuntimeError, match="VirtualEventLoop"):
        async with Cluster(clock="virtual"):
            pass


async def test_plain_code_inside_another_loop() -> None:
    """On the wall clock a blocking call is only a blocking call; on virtual time one is told what to do instead."""
    with Cluster(nodes=0) as c:
        assert c.list("pods") == []
    cluster = Cluster(clock="virtual", nodes=0)
    with pytest.raises(AnotherLoop, match="VirtualEventLoop"):
        cluster.__enter__()


@pytest.mark.parametrize(
    "wrong",
    [
        {"clock": "sundial"},
        {"nodes": -1},
        {"nodes": ["a", "a"]},
        {"nodes": "abc"},
        {"nodes": ["A_b"]},
    ],
)
def test_wrong_arguments_are_refused_at_once(wrong: dict) -> None:
    """Not first when the cluster is started."""
    with pytest.raises(ValueError, match=r"clock|node"):
        Cluster(**wrong)
