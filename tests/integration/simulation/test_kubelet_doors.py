"""The way from the API server to kubelets of its own process, with the real kubectl at its other end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kaa import Cluster
from kaa.api.errors import APIError
from kaa.cri.simulated_behaviour import Behaviour

KUBECTL = Path(sys.executable).parent / "kubectl"

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "shell"},
    "spec": {"containers": [{"name": "a", "image": "shell:1"}]},
}


def answer(command: list[str]) -> tuple[int, bytes]:
    return 3, " ".join(command).encode() + b"\n"


@pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed")
def test_kubectl_comes_through() -> None:
    """logs, exec with its exit code, attach, and a node's statistics: the kubelet's own server answers all of them."""
    with Cluster(nodes=1) as c:
        c.image("shell")(Behaviour(exec_answer=answer, output="hello\n", exit_after_seconds=10))
        c.apply(POD)
        c.wait("pod", "shell", "Ready")
        environment = {**os.environ, "KUBECONFIG": c.kubeconfig}

        def kubectl(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([KUBECTL, *words], env=environment, capture_output=True, text=True, timeout=30)

        done = kubectl("exec", "shell", "--", "ls", "-l")
        assert (done.returncode, done.stdout) == (3, "ls -l\n")
        assert kubectl("logs", "shell").stdout == "hello\n"
        summary = kubectl("get", "--raw", "/api/v1/nodes/node-1/proxy/stats/summary")
        assert '"name":"shell"' in summary.stdout
        assert kubectl("logs", "-f", "shell").stdout == "hello\n"  # ends with the container


def test_a_kubelet_that_does_not_run_is_told() -> None:
    """Nobody looks for it on a network, where it never was: an error of the API, at once."""
    with Cluster(nodes=1) as c:
        c.apply(POD)
        c.wait("pod", "shell", "Ready")
        c.faults.crash("node/node-1")
        c.run_for(0.5)
        with pytest.raises(APIError, match=r"error dialing backend: .*the kubelet of node-1 does not run"):
            c.logs("shell")


def test_nothing_is_sent_to_pods() -> None:
    """Their addresses are made up: whoever really has one must not hear from a simulated cluster."""
    with Cluster(nodes=1) as c:
        c.apply(POD)
        c.wait("pod", "shell", "Ready")
        with pytest.raises(APIError, match="address not allowed"):
            c.client.call("GET", "/api/v1/namespaces/default/pods/shell/proxy/")
