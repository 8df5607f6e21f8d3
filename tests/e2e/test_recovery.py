"""What fails is put right: containers, pods, components, all at once."""

import contextlib
import json
import os
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.machine import Machine
from tests.e2e.objects import container, deployment, pod, service, shell_pod
from tests.e2e.running import RunningCluster, eventually, load_image, new_cluster


def status_of(cluster: RunningCluster, namespace: str, name: str) -> Any:
    return cluster.get("-n", namespace, "pod", name)["status"]["containerStatuses"][0]


def kill_everything(cluster: RunningCluster, *, inits: bool) -> None:
    """SIGKILL to the supervisor and every component (and the nodes' inits, and with them all containers)."""
    rows = cluster.status()["components"]
    for row in sorted(rows, key=lambda r: str(r["name"]) != "supervisor"):  # it first: it must not restart the others
        if row["pid"] and (inits or not row["name"].endswith("/init")):
            os.kill(row["pid"], signal.SIGKILL)


def test_a_killed_container_is_restarted_with_back_off(cluster: RunningCluster, namespace: str) -> None:
    """The first restart comes at once; one that keeps dying waits longer each time, and says so."""
    cluster.apply(pod("web", namespace))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    before = status_of(cluster, namespace, "web")["containerID"]
    cluster.kubectl("-n", namespace, "exec", "web", "--", "kill", "-TERM", "1", check=False)
    cluster.kubectl("-n", namespace, "exec", "web", "--", "sh", "-c", "kill -9 -1", check=False)
    subprocess.run(["true"], check=True)

    def restarted() -> bool:
        status = status_of(cluster, namespace, "web")
        return status["restartCount"] >= 1 and status["ready"] and status["containerID"] != before

    # PID 1 of a namespace ignores signals from inside, so it's killed from the node.
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = process.read_bytes()
            cgroup = (process.parent / "cgroup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text.startswith(b"httpd\0-f") and before.removeprefix("containerd://").split("//")[-1][:12] in cgroup:
            os.kill(int(process.parent.name), signal.SIGKILL)
    eventually(restarted, "the container runs again")
    cluster.apply(shell_pod("crash", namespace, "exit 1"))
    crashing = eventually(
        lambda: (
            (s := status_of(cluster, namespace, "crash"))["restartCount"] >= 1
            and (s["state"].get("waiting") or {}).get("reason") == "CrashLoopBackOff"
            and s
        ),
        "back-off",
    )
    assert crashing["state"]["waiting"]["message"].startswith("back-off ")
    assert crashing["lastState"]["terminated"]["exitCode"] == 1
    assert "CrashLoopBackOff" in cluster.kubectl("-n", namespace, "get", "pod", "crash").stdout


def test_a_deleted_pod_is_replaced(cluster: RunningCluster, namespace: str) -> None:
    """A ReplicaSet makes another, and the Service follows."""
    cluster.apply(deployment("web", namespace, 2))
    cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    first = cluster.get("-n", namespace, "pods")["items"][0]["metadata"]["name"]
    cluster.kubectl("-n", namespace, "delete", "pod", first)

    def replaced() -> bool:
        pods = cluster.get("-n", namespace, "pods")["items"]
        names = {p["metadata"]["name"] for p in pods}
        ready = [
            p for p in pods if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"]["conditions"])
        ]
        return first not in names and len(ready) == 2

    eventually(replaced, "two other pods ready")


def test_a_failing_readiness_probe_takes_a_pod_out_of_its_service(cluster: RunningCluster, namespace: str) -> None:
    """And back in when it answers again; the container isn't restarted for it."""
    probe = {"exec": {"command": ["test", "-e", "/srv/index.html"]}, "periodSeconds": 1, "failureThreshold": 1}
    cluster.apply(pod("web", namespace, containers=[container(readinessProbe=probe)]), service("web", namespace))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")

    def ready_endpoints() -> list[bool]:
        slices = cluster.get("-n", namespace, "endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
        return [e["conditions"]["ready"] for s in slices for e in s.get("endpoints") or ()]

    eventually(lambda: ready_endpoints() == [True], "in the Service")
    cluster.kubectl("-n", namespace, "exec", "web", "--", "mv", "/srv/index.html", "/srv/away")
    eventually(lambda: ready_endpoints() == [False], "out of the Service")
    cluster.kubectl("-n", namespace, "exec", "web", "--", "mv", "/srv/away", "/srv/index.html")
    eventually(lambda: ready_endpoints() == [True], "in the Service again")
    assert status_of(cluster, namespace, "web")["restartCount"] == 0


def test_all_components_killed_at_once(cluster: RunningCluster, namespace: str) -> None:
    """The same containers still run afterwards, no acknowledged write is lost, and the cluster works on."""
    cluster.apply(deployment("web", namespace, 2), service("web", namespace, type="NodePort"))
    cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")

    def containers() -> dict[str, tuple[str, int]]:
        statuses = [p["status"]["containerStatuses"][0] for p in cluster.get("-n", namespace, "pods")["items"]]
        return {s["containerID"]: (s["state"]["running"]["startedAt"], s["restartCount"]) for s in statuses}

    before = containers()
    written = []
    for i in range(20):
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{i}", "namespace": namespace}}
        cluster.apply(config)
        written.append(f"c{i}")
    kill_everything(cluster, inits=False)
    node_port = cluster_node_port_url(cluster, namespace)
    cluster.up()
    names = {c["metadata"]["name"] for c in cluster.get("-n", namespace, "configmaps")["items"]}
    assert set(written) <= names
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert eventually(lambda: node_port(opener), "the NodePort").startswith("web-")
    assert containers() == before
    cluster.kubectl("-n", namespace, "scale", "deployment", "web", "--replicas=3")
    cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    assert before.items() <= containers().items()


def cluster_node_port_url(cluster: RunningCluster, namespace: str) -> Any:
    """A fetch of the Service's page through the node; looks the port up when it is called."""

    def fetch(opener: Any) -> str:
        port = cluster.get("-n", namespace, "service", "web")["spec"]["ports"][0]["nodePort"]
        address = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
        return str(opener.open(f"http://{address}:{port}/", timeout=5).read().decode())

    return fetch


def test_a_component_killed_alone_comes_back(cluster: RunningCluster) -> None:
    """The supervisor starts it again and counts it."""

    def rows() -> dict[str, Any]:
        return {row["name"]: row for row in cluster.status()["components"]}

    before = rows()
    os.kill(before["controllers"]["pid"], signal.SIGKILL)

    def back() -> bool:
        row = rows()["controllers"]
        return row["state"] == "running" and row["restarts"] == before["controllers"]["restarts"] + 1

    eventually(back, "the controllers run again")


@pytest.mark.parametrize("killed", [False, True], ids=["down", "kill-9-of-everything-in-a-rollout"])
def test_down_leaves_the_machine_as_it_was(cluster: RunningCluster, tmp_path: Path, killed: bool) -> None:
    """Processes, namespaces, links, routes, rules, mounts, cgroups, files: nothing left, and nothing of others gone.

    Another cluster runs beside it all the time.
    """
    eventually(lambda: not ending_namespaces(cluster), "the other cluster at rest")
    before = Machine.now()
    gone = new_cluster("gone", tmp_path)
    try:
        gone.up()
        load_image(gone, tmp_path)
        eventually(lambda: gone.get("-n", "default", "serviceaccount", "default"), "default ServiceAccount")
        gone.apply(deployment("web", "default", 4), service("web", "default", type="NodePort"))
        if killed:
            eventually(
                lambda: any(p["status"].get("phase") == "Running" for p in gone.get("-n", "default", "pods")["items"]),
                "a rollout under way",
            )
            kill_everything(gone, inits=True)
        else:
            gone.kubectl("-n", "default", "rollout", "status", "deployment/web", "--timeout=60s")
    finally:
        gone.down()
    (tmp_path / "hello.tar").unlink(missing_ok=True)
    with contextlib.suppress(AssertionError):
        eventually(lambda: not before.difference(Machine.now()), "nothing left", timeout_seconds=10)
    assert before.difference(Machine.now()) == {}
    assert not gone.directory.exists()
    config = tmp_path / "config"
    assert not config.exists() or "kaa-gone" not in config.read_text()


def ending_namespaces(cluster: RunningCluster) -> list[str]:
    names = cluster.get("namespaces")["items"]
    return [n["metadata"]["name"] for n in names if "deletionTimestamp" in n["metadata"]]


def test_memory_of_the_idle_cluster(cluster: RunningCluster) -> None:
    """All processes together, proportional set size: under 250 MB."""
    rows = cluster.status()["components"]
    total = sum(row["memory_bytes"] for row in rows)
    assert total < 250e6, json.dumps({row["name"]: row["memory_bytes"] for row in rows})
