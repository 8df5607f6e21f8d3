"""The way in from outside: other people's clients, over TLS, in the same cluster."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.integration.simulation.objects import deployment

from kaa import Cluster
from kaa.cluster.simulation.everyday import NotOnVirtualTime

KUBECTL = shutil.which("kubectl", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))


@pytest.fixture(scope="module")
def c() -> Iterator[Cluster]:
    with Cluster() as cluster:
        cluster.wait("node", "node-1", "Ready")
        yield cluster


def port_of(kubeconfig: str) -> int:
    server = yaml.safe_load(Path(kubeconfig).read_text())["clusters"][0]["cluster"]["server"]
    return int(server.rpartition(":")[2])


@pytest.mark.skipif(KUBECTL is None, reason="needs kubectl")
def test_kubectl_reaches_it(c: Cluster) -> None:
    """What Python has applied kubectl sees, and the other way round; logs and explain work."""
    assert KUBECTL is not None
    c.apply(deployment())
    c.wait("deployment", "web", "Available")

    def kubectl(*arguments: str) -> str:
        command = [KUBECTL, "--kubeconfig", c.kubeconfig, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "web" in kubectl("get", "deployments")
    assert "node-1   Ready" in kubectl("get", "nodes")
    kubectl("create", "configmap", "from-outside", "--from-literal=a=1")
    assert c.get("cm", "from-outside")["data"] == {"a": "1"}
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert kubectl("logs", "deployment/web") == ""
    assert kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}") == "kubernetes-admin"


def test_a_client_library_reaches_it(c: Cluster) -> None:
    """The official Python client lists, creates and watches."""
    kubernetes = pytest.importorskip("kubernetes")
    api_client = kubernetes.config.new_client_from_config(c.kubeconfig)
    with api_client:
        api = kubernetes.client.CoreV1Api(api_client)
        assert {n.metadata.name for n in api.list_namespace().items} >= {"default", "kube-system"}
        api.create_namespaced_config_map("default", {"metadata": {"name": "library"}, "data": {"b": "2"}})
    assert c.get("cm", "library")["data"] == {"b": "2"}


@pytest.mark.skipif(KUBECTL is None, reason="needs kubectl")
def test_somebody_elses_kubeconfig(c: Cluster) -> None:
    """A program outside can be given an operator's account: it is that, with its groups, and may no more."""
    assert KUBECTL is not None
    kubeconfig = c.kubeconfig_of("system:serviceaccount:default:operator")
    assert kubeconfig == c.kubeconfig_of("system:serviceaccount:default:operator") != c.kubeconfig

    def kubectl(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [KUBECTL, "--kubeconfig", kubeconfig, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    who = kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo.groups[*]}").stdout
    groups = "system:serviceaccounts system:serviceaccounts:default system:authenticated"
    assert who == f"system:serviceaccount:default:operator {groups}"
    assert 'cannot list resource "pods"' in kubectl("get", "pods").stderr


def test_one_door_and_it_closes() -> None:
    """Asked twice it is the same port; after the block neither port nor file is there. Others may not read the file."""
    with Cluster(nodes=0) as c:
        kubeconfig = c.kubeconfig
        assert c.kubeconfig == kubeconfig
        assert Path(kubeconfig).stat().st_mode & 0o077 == 0
        port = port_of(kubeconfig)
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
    assert not Path(kubeconfig).parent.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


@pytest.mark.skipif(KUBECTL is None, reason="needs kubectl")
def test_nobody_waits_for_a_watch() -> None:
    """Who still watches when the cluster ends is hung up on: each test would take seconds longer."""
    with Cluster(nodes=0) as c:
        watch = [KUBECTL, "--kubeconfig", c.kubeconfig, "get", "namespaces", "--watch", "--output=name"]
        watching = subprocess.Popen(watch, stdout=subprocess.PIPE, text=True)  # type: ignore[arg-type]
        assert watching.stdout is not None
        watching.stdout.readline()
        began = time.monotonic()
    assert time.monotonic() - began < 1.5
    with watching:
        watching.terminate()


def test_no_door_on_virtual_time() -> None:
    """A client outside would live on another time: one is told instead of left to wonder."""
    with Cluster(clock="virtual", nodes=0) as c, pytest.raises(NotOnVirtualTime, match='use clock="wall"'):
        _ = c.kubeconfig
