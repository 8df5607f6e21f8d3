"""What is wrong gets Kubernetes' own error, from a server and a node that live on."""

import contextlib
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.objects import container, pod
from tests.e2e.running import BIN, RunningCluster, eventually, new_cluster


def post(cluster: RunningCluster, body: bytes, content_type: str, path: str = "/api/v1/namespaces/default/pods") -> Any:
    """A raw POST with the administrator's certificate: (code, Status)."""
    directory = cluster.directory / "pki"
    server = cluster.status()["server"]
    script = f"""
import json, ssl, sys, urllib.request, urllib.error
context = ssl.create_default_context(cafile={str(directory / "ca.crt")!r})
pair = {str(directory / "apiserver-kubelet-client")!r}
context.load_cert_chain(pair + ".crt", pair + ".key")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}), urllib.request.HTTPSHandler(context=context))
request = urllib.request.Request({server + path!r}, sys.stdin.buffer.read(), {{"Content-Type": {content_type!r}}})
try:
    answer = opener.open(request, timeout=10)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())
"""
    done = subprocess.run([str(BIN / "python"), "-c", script], input=body, capture_output=True, check=True)
    code, _, text = done.stdout.decode().partition(" ")
    return int(code), json.loads(text)


@pytest.mark.parametrize(
    ("body", "content_type", "code", "reason"),
    [
        (b'{"kind": "Pod", ', "application/json", 400, "BadRequest"),
        (b"kind: [Pod", "application/yaml", 400, "BadRequest"),
        (b"k8s\0\xff\xff\xff", "application/vnd.kubernetes.protobuf", 400, "BadRequest"),
        (b"\xff\xfe", "application/json", 400, "BadRequest"),
        (b"[" * 200_000, "application/json", 400, "BadRequest"),
        (b"<pod/>", "application/xml", 415, "UnsupportedMediaType"),
        (b'{"apiVersion":"v1","kind":"Service","metadata":{"name":"x"}}', "application/json", 400, "BadRequest"),
        (b'{"a":"' + b"x" * (3 * 1024 * 1024 + 1) + b'"}', "application/json", 413, "RequestEntityTooLarge"),
    ],
    ids=["json", "yaml", "protobuf", "utf-8", "nesting", "media-type", "other-kind", "too-large"],
)
def test_broken_bodies(cluster: RunningCluster, body: bytes, content_type: str, code: int, reason: str) -> None:
    """A Status with the right code and reason, and a server that still answers."""
    answer = post(cluster, body, content_type)
    assert (answer[0], answer[1]["kind"], answer[1]["reason"]) == (code, "Status", reason)
    assert cluster.kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_unknown_kinds_and_fields(cluster: RunningCluster, namespace: str) -> None:
    """kubectl's own words for a kind that is not there; a field that is not there is named with its path."""
    unknown = cluster.kubectl("get", "unicorns", check=False).stderr
    assert unknown.strip() == 'error: the server doesn\'t have a resource type "unicorns"'
    wrong = pod("wrong", namespace)
    wrong["spec"]["replicaz"] = 3
    refused = cluster.kubectl("apply", "-f", "-", stdin=json.dumps(wrong), check=False)
    assert refused.returncode == 1
    assert 'unknown field "spec.replicaz"' in refused.stderr
    invalid = pod("Bad_Name", namespace)
    text = cluster.kubectl("apply", "-f", "-", stdin=json.dumps(invalid), check=False).stderr
    assert 'The Pod "Bad_Name" is invalid' in text
    assert "metadata.name: Invalid value" in text


def waiting_reason(cluster: RunningCluster, namespace: str, name: str) -> str:
    status = cluster.get("-n", namespace, "pod", name)["status"]["containerStatuses"][0]
    return str((status["state"].get("waiting") or {}).get("reason", ""))


def test_an_image_that_does_not_exist(cluster: RunningCluster, namespace: str) -> None:
    """ErrImagePull, then ImagePullBackOff, and an event that says which image and why."""
    cluster.apply(pod("none", namespace, containers=[container(image="127.0.0.1:9/none:1")]))
    eventually(lambda: waiting_reason(cluster, namespace, "none") in ("ErrImagePull", "ImagePullBackOff"), "the error")
    eventually(lambda: waiting_reason(cluster, namespace, "none") == "ImagePullBackOff", "the back-off")
    events = cluster.kubectl("-n", namespace, "describe", "pod", "none").stdout
    assert 'Failed to pull image "127.0.0.1:9/none:1"' in events


def test_a_command_that_does_not_exist(cluster: RunningCluster, namespace: str) -> None:
    """RunContainerError or its back-off, with runc's sentence."""
    cluster.apply(pod("none", namespace, containers=[container(command=["no-such-command"])]))
    expected = ("RunContainerError", "CrashLoopBackOff")
    eventually(lambda: waiting_reason(cluster, namespace, "none") in expected, "the error")
    text = eventually(
        lambda: (
            (t := cluster.kubectl("-n", namespace, "describe", "pod", "none").stdout).count("executable file not found")
            and t
        ),
        "the sentence",
    )
    assert "no-such-command" in text


def test_a_port_in_use(tmp_path: Path) -> None:
    """Says which port and what to do, and leaves nothing behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cluster = new_cluster("taken", tmp_path)
        failed = cluster.kaa("up", "--name", "taken", "--isolated", "--api-port", str(port), check=False)
    assert failed.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in failed.stderr
    assert "--api-port" in failed.stderr
    assert not cluster.directory.exists()


def test_a_full_disk(tmp_path: Path) -> None:
    """Writes say so and what to do, reads go on; with space again all works, and nothing acknowledged is lost."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], check=True)
    full = new_cluster("full", disk)
    try:
        full.up()
        full.kubectl("create", "configmap", "kept", "--from-literal=a=b")
        filler = disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        (tmp_path / "blob").write_text("x" * 400_000)
        for name in ("one", "two"):
            refused = full.kubectl("create", "configmap", name, f"--from-file={tmp_path / 'blob'}", check=False)
            assert "no space left on device; free space and try again" in refused.stderr
        assert full.kubectl("get", "configmap", "kept", "-o", "name").stdout == "configmap/kept\n"
        filler.unlink()
        eventually(lambda: full.kubectl("create", "configmap", "after", check=False).returncode == 0, "writes again")
        names = {c["metadata"]["name"] for c in full.get("configmaps")["items"]}
        assert {"kept", "after"} <= names
        assert not names & {"one", "two"}
        assert all(row["restarts"] == 0 for row in full.status()["components"])
    finally:
        full.down()
        subprocess.run(["umount", str(disk)], check=True)


def test_not_root(tmp_path: Path) -> None:
    """One line that says so."""
    environment = {**os.environ, "KAA_HOME": str(tmp_path)}
    code = "import os, sys, kaa.cli.commands.up, kaa.cli.main as m; os.setuid(65534); sys.argv[1:] = ['up']; m.main()"
    done = subprocess.run(
        [str(BIN / "python"), "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        1,
        "kaa: a cluster needs root (namespaces, mounts, nftables): run it again with sudo\n",
    )


def test_a_missing_package(tmp_path: Path) -> None:
    """Names it, and the command that installs it."""
    environment = {**os.environ, "KAA_HOME": str(tmp_path), "PATH": str(tmp_path)}
    done = subprocess.run([str(BIN / "kaa"), "up"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "missing system packages: runc, conmon" in done.stderr
    assert "apt-get install -y runc conmon" in done.stderr
