"""Real kubectl against a running cluster, each command as a person types it."""

import contextlib
import os
import pty
import select
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.objects import container, deployment, fetch, pod, service, shell_pod
from tests.e2e.running import BIN, IMAGE, RunningCluster, eventually


def test_create_namespace_and_deployment(cluster: RunningCluster, namespace: str) -> None:
    """`create` posts protobuf; a server that reads only JSON fails at the first command of every tutorial."""
    assert cluster.kubectl("create", "namespace", f"{namespace}-2").stdout == f"namespace/{namespace}-2 created\n"
    cluster.kubectl("delete", "namespace", f"{namespace}-2")
    assert "NotFound" in cluster.kubectl("get", "namespace", f"{namespace}-2", check=False).stderr
    words = ["-n", namespace, "create", "deployment", "web", f"--image={IMAGE}", "--replicas=2", "--", "sleep", "600"]
    cluster.kubectl(*words)
    cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    assert cluster.get("-n", namespace, "deployment", "web")["status"]["readyReplicas"] == 2


def test_apply_changes_what_differs_and_keeps_what_others_set(cluster: RunningCluster, namespace: str) -> None:
    """`apply` is a three-way merge: what the file dropped goes, what somebody else added stays."""
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": namespace},
        "data": {"a": "1", "b": "2"},
    }
    cluster.apply(config)
    cluster.kubectl("-n", namespace, "patch", "configmap", "c", "--type=merge", "-p", '{"data":{"other":"x"}}')
    cluster.apply({**config, "data": {"a": "9"}})
    assert cluster.get("-n", namespace, "configmap", "c")["data"] == {"a": "9", "other": "x"}


def test_get_in_every_form(cluster: RunningCluster, namespace: str) -> None:
    """Tables with upstream's columns, yaml, json paths, names, selectors."""
    cluster.apply(pod("one", namespace), pod("two", namespace, labels={"tier": "back"}))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    wide = cluster.kubectl("-n", namespace, "get", "pods", "-o", "wide").stdout.splitlines()
    columns = ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED", "NODE", "READINESS", "GATES"]
    assert wide[0].split() == columns
    assert wide[1].split()[:4] == ["one", "1/1", "Running", "0"]
    assert (
        f"name: one\n  namespace: {namespace}\n"
        in cluster.kubectl("-n", namespace, "get", "pod", "one", "-o", "yaml").stdout
    )
    path = "jsonpath={.status.phase} {.spec.containers[0].name}"
    assert cluster.kubectl("-n", namespace, "get", "pod", "one", "-o", path).stdout == "Running web"
    assert cluster.kubectl("-n", namespace, "get", "pods", "-l", "tier=back", "-o", "name").stdout == "pod/two\n"
    nodes = cluster.kubectl("get", "nodes", "-o", "wide").stdout
    assert "e2e-node-1" in nodes
    assert "Ready" in nodes


@pytest.mark.parametrize("kind", ["pod", "deployment", "node", "service"])
def test_describe(cluster: RunningCluster, namespace: str, kind: str) -> None:
    """`describe` reads events, endpoints, leases and quotas beside the object; any missing one is an error there."""
    if kind == "node":
        text = cluster.kubectl("describe", "node", "e2e-node-1").stdout
        expected = [
            "Capacity:",
            "Allocatable:",
            "KubeletReady",
            "PodCIDR:",
            "Non-terminated Pods:",
            "Allocated resources:",
        ]
    else:
        cluster.apply(deployment("web", namespace, 1), service("web", namespace))
        cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
        text = cluster.kubectl("-n", namespace, "describe", kind, *([] if kind == "pod" else ["web"])).stdout
        expected = {
            "pod": [
                "Controlled By:  ReplicaSet/web-",
                "Scheduled",
                "Successfully assigned",
                "Pulled",
                "Created",
                "Started",
            ],
            "deployment": [
                "1 desired | 1 updated | 1 total | 1 available",
                "ScalingReplicaSet",
                "NewReplicaSetAvailable",
            ],
            "service": ["Selector:", "app=web", "Endpoints:", ":8080"],
        }[kind]
    assert [word for word in expected if word not in text] == []


def test_scale_set_image_and_roll_back(cluster: RunningCluster, namespace: str) -> None:
    """The life of a Deployment: more replicas, a new version, the old one again, a restart."""
    cluster.apply(deployment("web", namespace, 1))

    def rolled_out() -> None:
        cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=90s")

    rolled_out()
    cluster.kubectl("-n", namespace, "scale", "deployment", "web", "--replicas=3")
    rolled_out()
    assert cluster.get("-n", namespace, "deployment", "web")["status"]["availableReplicas"] == 3
    cluster.kubectl("-n", namespace, "set", "image", "deployment/web", "web=kaa-hello:none")
    eventually(
        lambda: "kaa-hello:none" in cluster.kubectl("-n", namespace, "get", "pods", "-o", "yaml").stdout, "new pods"
    )
    assert cluster.get("-n", namespace, "deployment", "web")["status"]["availableReplicas"] >= 2
    assert (
        "deployment.apps/web rolled back"
        in cluster.kubectl("-n", namespace, "rollout", "undo", "deployment/web").stdout
    )
    rolled_out()
    image = cluster.get("-n", namespace, "deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == IMAGE
    before = {p["metadata"]["uid"] for p in cluster.get("-n", namespace, "pods")["items"]}
    cluster.kubectl("-n", namespace, "rollout", "restart", "deployment/web")
    rolled_out()
    eventually(
        lambda: not before & {p["metadata"]["uid"] for p in cluster.get("-n", namespace, "pods")["items"]},
        "pods replaced",
    )
    assert "REVISION" in cluster.kubectl("-n", namespace, "rollout", "history", "deployment/web").stdout


def test_expose_gives_an_address_that_answers(cluster: RunningCluster, namespace: str) -> None:
    """`expose` makes a Service; from inside another pod its name and its address lead to the pods."""
    cluster.apply(deployment("web", namespace, 2))
    cluster.kubectl("-n", namespace, "expose", "deployment", "web", "--port=80", "--target-port=8080")
    cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    cluster.apply(shell_pod("client", namespace, "sleep 600"))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
    for host in (
        "web",
        f"web.{namespace}.svc.cluster.local",
        cluster.get("-n", namespace, "svc", "web")["spec"]["clusterIP"],
    ):
        page = cluster.kubectl("-n", namespace, "exec", "client", "--", "sh", "-c", fetch(host)).stdout
        assert page.startswith("web-"), host


def test_logs(cluster: RunningCluster, namespace: str) -> None:
    """What a container printed, as it prints it, and what the one before it printed."""
    script = "if [ -e /state/seen ]; then echo second; sleep 600; fi; touch /state/seen; echo first; exit 3"
    volumes = {
        "containers": [
            container(command=["sh", "-c", script], volumeMounts=[{"name": "state", "mountPath": "/state"}])
        ],
        "volumes": [{"name": "state", "emptyDir": {}}],
    }
    cluster.apply(pod("twice", namespace, **volumes))
    eventually(lambda: cluster.kubectl("-n", namespace, "logs", "twice").stdout == "second\n", "the second run's log")
    assert cluster.kubectl("-n", namespace, "logs", "twice", "--previous").stdout == "first\n"
    cluster.apply(shell_pod("counter", namespace, "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.2; done"))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/counter", "--timeout=60s")
    command = [str(BIN / "kubectl"), "-n", namespace, "logs", "-f", "counter"]
    with subprocess.Popen(command, env=cluster.environment, stdout=subprocess.PIPE, text=True) as follow:
        assert follow.stdout is not None
        assert [follow.stdout.readline() for _ in range(8)] == [f"line {i}\n" for i in range(8)]
        follow.terminate()
    assert cluster.kubectl("-n", namespace, "logs", "counter", "--tail=1").stdout.count("line") == 1
    missing = cluster.kubectl("-n", namespace, "logs", "counter", "-c", "nope", check=False)
    assert "container nope is not valid for pod counter" in missing.stderr


def run_in_terminal(cluster: RunningCluster, words: list[str], keys: str, until: str, *, exit_code: int) -> str:
    """Runs kubectl in a pseudo-terminal and types into the shell that it leads to, then `exit 7`.

    Returns all that the screen showed; kubectl must end with `exit_code`.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(str(BIN / "kubectl"), ["kubectl", *words], cluster.environment)
    screen, typed, deadline = b"", False, time.monotonic() + 30
    try:
        while time.monotonic() < deadline and until.encode() not in screen:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    screen += os.read(terminal, 4096)
                except OSError:
                    break  # the other end is closed
            if not typed and b"/ # " in screen:
                os.write(terminal, keys.encode())
                typed = True
        os.write(terminal, b"exit 7\n")
        with contextlib.suppress(OSError):
            while chunk := os.read(terminal, 4096):
                screen += chunk
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == exit_code, screen
    return screen.decode()


def test_exec_with_a_terminal(cluster: RunningCluster, namespace: str) -> None:
    """A shell in a container: keys go in, the screen comes out, the exit code comes back."""
    cluster.apply(pod("box", namespace))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/box", "--timeout=60s")
    screen = run_in_terminal(
        cluster,
        ["-n", namespace, "exec", "-it", "box", "--", "sh"],
        "echo $((6*7)) $(tty)\n",
        "42 /dev/pts",
        exit_code=7,
    )
    assert "42 /dev/pts/0" in screen


def test_exec_without_a_terminal(cluster: RunningCluster, namespace: str) -> None:
    """Pipes: input whole, output and errors apart, exit codes, a command that does not exist."""
    cluster.apply(pod("box", namespace))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/box", "--timeout=60s")
    text = "".join(f"{i}\n" for i in range(50_000))
    sent = cluster.kubectl(
        "-n", namespace, "exec", "-i", "box", "--", "sh", "-c", "cat; echo bad >&2; exit 5", stdin=text, check=False
    )
    assert sent.stdout == text
    assert sent.stderr.startswith("bad\n")
    assert sent.returncode == 5
    missing = cluster.kubectl("-n", namespace, "exec", "box", "--", "no-such-command", check=False)
    assert missing.returncode != 0
    assert "executable file not found in $PATH" in missing.stderr


def test_run_interactively_and_remove(cluster: RunningCluster, namespace: str) -> None:
    """`run --rm -it`: attaches to a new pod's terminal, and the pod is gone afterwards."""
    words = ["-n", namespace, "run", "tmp", "--rm", "-it", f"--image={IMAGE}", "--command", "--", "sh"]
    screen = run_in_terminal(cluster, words, "echo $((6*7)) here\n", "42 here", exit_code=0)
    assert 'pod "tmp" deleted' in screen
    eventually(lambda: cluster.get("-n", namespace, "pods")["items"] == [], "the pod is gone")


@contextlib.contextmanager
def port_forward(cluster: RunningCluster, namespace: str, target: str, port: int) -> Iterator[int]:
    command = [str(BIN / "kubectl"), "-n", namespace, "port-forward", target, f":{port}"]
    with subprocess.Popen(command, env=cluster.environment, stdout=subprocess.PIPE, text=True) as forward:
        assert forward.stdout is not None
        line = forward.stdout.readline()
        try:
            yield int(line.split("127.0.0.1:")[1].split()[0])
        finally:
            forward.terminate()


def test_port_forward(cluster: RunningCluster, namespace: str) -> None:
    """A pod's port on this host's loopback, several connections one after another; through a Service too."""
    cluster.apply(pod("web", namespace), service("web", namespace))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for target, port in (("pod/web", 8080), ("service/web", 80)):
        with port_forward(cluster, namespace, target, port) as local:
            for _ in range(3):
                assert opener.open(f"http://127.0.0.1:{local}/", timeout=10).read() == b"web\n"


def test_cp_both_ways(cluster: RunningCluster, namespace: str, tmp_path: Path) -> None:
    """`cp` is tar through exec: binary data must come through unchanged."""
    cluster.apply(pod("box", namespace))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/box", "--timeout=60s")
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(1_000_000))
    cluster.kubectl("cp", str(there), f"{namespace}/box:/tmp/data")
    cluster.kubectl("cp", f"{namespace}/box:/tmp/data", str(back))
    assert back.read_bytes() == there.read_bytes()


def test_delete_and_wait(cluster: RunningCluster, namespace: str) -> None:
    """`wait` follows conditions, phases and deletion; `delete` returns when the object is gone."""
    cluster.apply(pod("web", namespace))
    cluster.kubectl("-n", namespace, "wait", "--for=jsonpath={.status.phase}=Running", "pod/web", "--timeout=60s")
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    assert cluster.kubectl("-n", namespace, "delete", "pod", "web").stdout.startswith('pod "web" deleted')
    assert cluster.kubectl("-n", namespace, "get", "pod", "web", check=False).stderr.strip() == (
        'Error from server (NotFound): pods "web" not found'
    )
    cluster.apply(pod("web", namespace))
    cluster.kubectl("-n", namespace, "delete", "pod", "web", "--wait=false")
    cluster.kubectl("-n", namespace, "wait", "--for=delete", "pod/web", "--timeout=60s")


def test_auth_can_i(cluster: RunningCluster, namespace: str) -> None:
    """The administrator may; a service account may what its role says and no more."""
    assert cluster.kubectl("auth", "can-i", "create", "pods", "-A").stdout == "yes\n"
    who = f"--as=system:serviceaccount:{namespace}:default"
    denied = cluster.kubectl("auth", "can-i", "list", "secrets", "-n", namespace, who, check=False)
    assert (denied.stdout, denied.returncode) == ("no\n", 1)
    cluster.kubectl("-n", namespace, "create", "role", "reader", "--verb=list", "--resource=secrets")
    subject = f"--serviceaccount={namespace}:default"
    cluster.kubectl("-n", namespace, "create", "rolebinding", "reader", "--role=reader", subject)
    eventually(
        lambda: (
            cluster.kubectl("auth", "can-i", "list", "secrets", "-n", namespace, who, check=False).stdout == "yes\n"
        ),
        "the role",
    )
    assert "secrets" in cluster.kubectl("auth", "can-i", "--list", "-n", namespace, who).stdout


def test_api_resources_and_explain(cluster: RunningCluster) -> None:
    """Discovery names every kind with its short names."""
    rows = cluster.kubectl("api-resources").stdout
    assert "deployments" in rows
    assert "deploy" in rows
    assert "networkpolicies" in rows
    assert cluster.kubectl("api-resources", "--api-group=apps", "-o", "name").stdout.splitlines() == [
        "controllerrevisions.apps",
        "daemonsets.apps",
        "deployments.apps",
        "replicasets.apps",
        "statefulsets.apps",
    ]


def test_top_says_that_metrics_are_missing(cluster: RunningCluster) -> None:
    """A sentence, as on any cluster without a metrics server."""
    top = cluster.kubectl("top", "node", check=False)
    assert top.returncode == 1
    assert top.stderr.strip() == "error: Metrics API not available"
