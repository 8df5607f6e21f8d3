"""`kaa up --simulated-nodes`: a cluster of processes whose nodes have no machine."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import RunningCluster, eventually, new_cluster


def simulated(home: Path, *options: str) -> Iterator[RunningCluster]:
    cluster = new_cluster("simulated", home)
    cluster.up(*options)
    try:
        yield cluster
    finally:
        cluster.down()
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert not (home / "kaa" / "simulated").exists()
    assert cluster.name not in links


@pytest.fixture(scope="module")
def kubelets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    yield from simulated(tmp_path_factory.mktemp("kubelets"), "--simulated-nodes", "3")


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    yield from simulated(
        tmp_path_factory.mktemp("light"), "--simulated-nodes", "300", "--simulated-nodes-mode", "light"
    )


def names(cluster: RunningCluster) -> list[str]:
    return [node["metadata"]["name"] for node in cluster.get("nodes")["items"]]


def test_three_nodes_with_kubelets(kubelets: RunningCluster) -> None:
    """They are Ready when `up` returns; a Deployment runs on them; logs and exec answer through the API server."""
    assert names(kubelets) == [f"simulated-simulated-{n}" for n in (1, 2, 3)]
    kubelets.kubectl("create", "deployment", "web", "--image=example.com/web:1", "--replicas=6")
    kubelets.kubectl("wait", "deployment/web", "--for=condition=Available", "--timeout=30s")
    pods = kubelets.get("pods", "-l", "app=web")["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 3
    assert len({pod["status"]["podIP"] for pod in pods}) == 6
    kubelets.kubectl("run", "talk", "--image=x:1", "--annotations=simulation.kaa.dev/log=hello there")
    kubelets.kubectl("wait", "pod/talk", "--for=condition=Ready", "--timeout=30s")
    assert kubelets.kubectl("logs", "talk").stdout == "hello there\n"
    assert kubelets.kubectl("exec", "talk", "--", "true").returncode == 0
    kubelets.kubectl("delete", "deployment/web", "pod/talk", "--timeout=30s")


def test_they_speak_as_nodes(kubelets: RunningCluster) -> None:
    """The nodes' process may speak as its nodes, and as nobody else; each node is held to what is its own."""
    kubeconfig = str(kubelets.directory / "simulated" / "kubeconfig")
    as_admin = kubelets.kubectl(
        "--kubeconfig", kubeconfig, "--as=x", "--as-group=system:masters", "get", "secrets", check=False
    )
    assert as_admin.returncode != 0
    assert "cannot impersonate" in as_admin.stderr
    as_node = ("--kubeconfig", kubeconfig, "--as=system:node:simulated-simulated-1", "--as-group=system:nodes")
    assert kubelets.kubectl(*as_node, "get", "node", "simulated-simulated-1").returncode == 0
    assert kubelets.kubectl(*as_node, "delete", "node", "simulated-simulated-2", check=False).returncode != 0


def test_hundreds_of_light_nodes(light: RunningCluster) -> None:
    """More than have a range in a /16; pods spread over them; a crash of their process loses no pod."""
    assert len(names(light)) == 300
    light.kubectl("create", "deployment", "web", "--image=example.com/web:1", "--replicas=300")
    light.kubectl("wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=300", "--timeout=60s")
    before = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in light.get("pods")["items"]}
    assert len(set(before.values())) == 300
    (process,) = [c for c in light.status()["components"] if c["name"] == "simulated-nodes"]
    subprocess.run(["kill", "-9", str(process["pid"])], check=True)

    def restarted() -> bool:
        (now,) = [c for c in light.status()["components"] if c["name"] == "simulated-nodes"]
        return bool(now["pid"] not in (0, process["pid"]))

    eventually(restarted, "the process of the nodes is started again")
    light.kubectl("run", "talk", "--image=x:1", "--annotations=simulation.kaa.dev/log=hello there")
    light.kubectl("wait", "pod/talk", "--for=condition=Ready", "--timeout=30s")
    assert light.kubectl("logs", "talk").stdout == "hello there\n"
    after = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in light.get("pods", "-l", "app=web")["items"]}
    assert after == before


def test_simulated_beside_real_ones_are_tainted(tmp_path: Path) -> None:
    """What does not ask for simulated nodes stays on the real ones; too many of both are refused."""
    cluster = new_cluster("mixed", tmp_path)
    refused = cluster.kaa("up", "--name", "mixed", "--nodes", "1", "--simulated-nodes", "5000", check=False)
    assert refused.returncode != 0
    assert "--nodes 0" in refused.stderr
    cluster.up("--nodes", "1", "--simulated-nodes", "1")
    try:
        taints = {node["metadata"]["name"]: node["spec"].get("taints") or [] for node in cluster.get("nodes")["items"]}
        assert taints["mixed-node-1"] == []
        assert [taint["key"] for taint in taints["mixed-simulated-1"]] == ["simulation.kaa.dev/node"]
    finally:
        cluster.down()
