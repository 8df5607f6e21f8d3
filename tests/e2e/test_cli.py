"""The `kaa` command as a person uses it."""

import subprocess
import sys
from pathlib import Path

import yaml

from tests.e2e.objects import container, deployment, pod
from tests.e2e.registry import registry_with
from tests.e2e.running import IMAGE, ROOT, RunningCluster, eventually, load_image, new_cluster


def test_up_again_changes_nothing(cluster: RunningCluster) -> None:
    """`kaa up` on a running cluster is a no-op, not a restart."""
    before = [(row["name"], row["pid"]) for row in cluster.status()["components"]]
    cluster.up()
    assert [(row["name"], row["pid"]) for row in cluster.status()["components"]] == before


def test_status_names_every_component(cluster: RunningCluster) -> None:
    """What runs, where it listens, what it costs; the kubeconfig's path for scripts."""
    status = cluster.status()
    rows = {row["name"]: row for row in status["components"]}
    assert list(rows) == ["supervisor", "apiserver", "controllers", "e2e-node-1", "e2e-node-1/init"]
    assert all(row["state"] == "running" and row["pid"] > 0 and row["memory_bytes"] > 0 for row in rows.values())
    assert rows["apiserver"]["address"] == status["server"]
    assert Path(status["kubeconfig"]).exists()
    table = cluster.kaa("status", "--name", "e2e").stdout
    assert "COMPONENT" in table
    assert "Memory in all:" in table


def test_list_and_kubeconfig(cluster: RunningCluster) -> None:
    """The context is merged as kind does; `kaa kubectl` needs no context at all."""
    assert cluster.kaa("list").stdout.startswith("e2e\trunning\thttps://127.0.0.1:")
    config = yaml.safe_load(cluster.kaa("kubeconfig", "--name", "e2e").stdout)
    assert config["clusters"][0]["cluster"]["server"] == cluster.status()["server"]
    merged = yaml.safe_load(Path(cluster.environment["KUBECONFIG"]).read_text())
    assert merged["current-context"] == "kaa-e2e"
    assert cluster.kubectl("--context", "kaa-e2e", "get", "nodes", "-o", "name").stdout == "node/e2e-node-1\n"
    assert cluster.kaa("kubectl", "--name", "e2e", "get", "nodes", "-o", "name").stdout == "node/e2e-node-1\n"
    assert 'no cluster "nope" (clusters here: e2e)' in cluster.kaa("status", "--name", "nope", check=False).stderr


def test_logs_of_components(cluster: RunningCluster) -> None:
    """A component's own words, and which there are when the name is wrong."""
    assert "apiserver started" in cluster.kaa("logs", "supervisor", "--name", "e2e").stdout
    assert len(cluster.kaa("logs", "supervisor", "--name", "e2e", "--tail", "1").stdout.splitlines()) == 1
    wrong = cluster.kaa("logs", "scheduler", "--name", "e2e", check=False)
    assert wrong.returncode == 1
    assert 'no component "scheduler"; there are: apiserver, controllers, e2e-node-1, supervisor' in wrong.stderr


def test_images_are_pulled_through_the_hosts_network(cluster: RunningCluster, namespace: str, tmp_path: Path) -> None:
    """The node has no way out; a registry on the host's loopback is reached all the same, by command and by kubelet."""
    archive = tmp_path / "hello.tar"
    subprocess.run([sys.executable, str(ROOT / "examples/hello/build_image.py"), str(archive)], check=True)
    with registry_with(archive) as registry:
        assert f"Pulled {registry}/tool:1" in cluster.kaa("image", "pull", "--name", "e2e", f"{registry}/tool:1").stdout
        listed = cluster.kaa("image", "list", "--name", "e2e").stdout
        assert f"{registry}/tool:1" in listed
        assert f"library/{IMAGE}" in listed  # the same image, so both are its names
        cluster.apply(pod("pulled", namespace, containers=[container(image=f"{registry}/other:2")]))
        cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/pulled", "--timeout=30s")
    events = cluster.kubectl("-n", namespace, "get", "events", "-o", "jsonpath={.items[*].message}").stdout
    assert f'Successfully pulled image "{registry}/other:2"' in events
    cluster.kaa("image", "remove", "--name", "e2e", f"{registry}/tool:1")
    left = cluster.kaa("image", "list", "--name", "e2e").stdout
    assert f"{registry}/tool:1" not in left
    assert f"library/{IMAGE}" in left
    gone = cluster.kaa("image", "pull", "--name", "e2e", f"{registry}/tool:1", check=False)
    assert gone.returncode == 1
    assert "Traceback" not in gone.stderr


def test_stop_snapshot_and_restore(tmp_path: Path) -> None:
    """A stopped cluster goes on from its files; a snapshot puts its objects back, and their pods run again."""
    kept = new_cluster("kept", tmp_path)
    snapshot = str(tmp_path / "objects.snapshot")
    try:
        kept.up()
        load_image(kept, tmp_path)
        eventually(lambda: kept.get("serviceaccount", "default"), "default ServiceAccount")
        kept.apply(deployment("web", "default", 1))
        kept.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        assert kept.kaa("snapshot", "save", snapshot, "--name", "kept").stdout.startswith("Saved ")
        running = kept.kaa("snapshot", "restore", snapshot, "--name", "kept", check=False)
        assert running.returncode == 1
        kept.kubectl("delete", "deployment", "web")
        kept.kaa("stop", "--name", "kept")
        assert {row["state"] for row in kept.status()["components"]} == {"stopped"}
        assert kept.kaa("list").stdout.startswith("kept\tstopped\t")
        kept.kaa("snapshot", "restore", snapshot, "--name", "kept")
        kept.up()
        kept.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    finally:
        kept.down()


def test_a_file_that_is_no_image(cluster: RunningCluster, tmp_path: Path) -> None:
    """One line that says so."""
    (tmp_path / "page.tar").write_text("<html>")
    failed = cluster.kaa("image", "load", "--name", "e2e", str(tmp_path / "page.tar"), check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("kaa: ")
    assert failed.stderr.count("\n") == 1
