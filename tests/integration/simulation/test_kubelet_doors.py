"""The way from the API server to kubelets of its own process, with the real kubectl at its other end."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kaa import Cluster
from kaa.api.errors import APIError
from kaa.cri.simulated_behaviour import Behaviour
from kaa.cri.simulated_program import SimulatedContainer

KUBECTL = Path(sys.executable).parent / "kubectl"

POD: dict[str, Any] = {
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


@contextmanager
def forwarding(c: Cluster, port: int) -> Iterator[int]:
    """The local port while kubectl forwards it to the pod's."""
    command = [KUBECTL, "--kubeconfig", c.kubeconfig, "port-forward", "pod/shell", f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as kubectl:
        assert kubectl.stdout is not None
        told = kubectl.stdout.readline()  # "Forwarding from 127.0.0.1:40123 -> 80"
        yield int(told.partition(" ->")[0].rpartition(":")[2])
        kubectl.terminate()


@pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed")
def test_a_program_serves_a_port() -> None:
    """What kubectl forwards comes to its handler; a failing one is in the log; all ends with the container."""
    with Cluster(nodes=1) as c:

        @c.image("shell")
        async def shell(container: SimulatedContainer) -> None:
            async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while line := await reader.readline():
                    writer.write(line.decode("ascii").upper().encode())
                writer.write(b"bye")

            container.serve(80, shout)
            await container.clock.sleep(3600)

        c.apply({**POD, "spec": {**POD["spec"], "terminationGracePeriodSeconds": 1}})
        c.wait("pod", "shell", "Ready")
        with forwarding(c, 80) as port:
            for _ in range(2):
                with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                    connection.sendall(b"one\ntwo\n")
                    connection.shutdown(socket.SHUT_WR)
                    assert connection.makefile().read() == "ONE\nTWO\nbye"
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(b"\xff\n")
                assert connection.makefile().read() == ""
            assert "UnicodeDecodeError" in c.logs("shell")
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(b"still\n")
                answers = connection.makefile()
                assert answers.readline() == "STILL\n"
                c.delete("pod", "shell")
                assert answers.read() == ""
        c.wait("pod", "shell", "delete")


@pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed")
def test_a_port_that_nobody_serves() -> None:
    """Refused as by a real pod in which nothing listens."""
    with Cluster(nodes=1) as c:
        c.apply(POD)
        c.wait("pod", "shell", "Ready")
        command = [KUBECTL, "--kubeconfig", c.kubeconfig, "port-forward", "pod/shell", ":80"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as kubectl:
            assert kubectl.stdout is not None
            port = int(kubectl.stdout.readline().partition(" ->")[0].rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                assert connection.recv(1) == b""
            kubectl.terminate()
            assert "dial tcp4 127.0.0.1:80: connect: connection refused" in kubectl.communicate(timeout=10)[1]


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
