"""Volumes on real directories."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from kaa.client.rest import Client
from kaa.kubelet.environment import ConfigError
from kaa.kubelet.field_ref import PodFacts
from kaa.kubelet.volume_manager import LinuxMounts, VolumeManager, mount_sources
from kaa.kubelet.volumes import VOLUMES
from kaa.kubelet.volumes.host_path import check_host_path
from kaa.kubelet.volumes.payload import File, write_payload
from kaa.kubelet.volumes.volume import VolumeFault
from kaa.lib.clock import WallClock
from kaa.lib.mounts import is_mount_point

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and ownership need root")


class Objects:
    """Objects by kind and name, in place of the API."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}

    async def get(self, kind: str, namespace: str, name: str, *, fresh: bool = False) -> dict[str, Any] | None:
        return self.objects.get((kind, name))


class Tokens:
    """A TokenRequest API: every call is counted and answered with a token good for an hour."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []

    async def request(self, method: str, path: str, **rest: Any) -> Any:
        import orjson

        from kaa.client.transport import Response

        self.requests.append((path, orjson.loads(rest["body"])))
        expires = WallClock().now().replace(year=2099).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = {"token": f"token-{len(self.requests)}", "expirationTimestamp": expires}
        return Response(201, {}, orjson.dumps({"status": status}))


class Bench:
    def __init__(self, root: Path) -> None:
        self.objects, self.tokens = Objects(), Tokens()
        client = Client(self.tokens)  # type: ignore[arg-type]
        self.manager = VolumeManager(root, client, self.objects, LinuxMounts(), WallClock())

    def put(self, kind: str, name: str, **fields: Any) -> None:
        self.objects.objects[(kind, name)] = {"kind": kind, "metadata": {"name": name}, **fields}

    async def mount(self, pod: dict[str, Any]) -> dict[str, Path]:
        mounted = await self.manager.mount(PodFacts(pod, ("10.0.0.9",)))
        assert mounted.faults == []
        return mounted.paths


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    made = Bench(tmp_path)
    yield made
    for uid in made.manager.pods_on_disk():
        made.manager.unmount(uid)
    assert not list((tmp_path / "pods").glob("*"))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_payload_is_swapped_as_a_whole(tmp_path: Path) -> None:
    """One link changes, so a reader never sees half an update; what is gone is taken away; no change, no write."""
    clock = WallClock()
    now, random = clock.now(), clock.random
    assert write_payload(tmp_path, {"a": File(b"1"), "d/e": File(b"2", 0o400)}, now, random)
    first = os.readlink(tmp_path / "..data")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert mode_of(tmp_path / "d/e") == 0o400
    assert not write_payload(tmp_path, {"a": File(b"1"), "d/e": File(b"2", 0o400)}, now, random)
    assert os.readlink(tmp_path / "..data") == first
    assert write_payload(tmp_path, {"a": File(b"3")}, now, random)
    assert (tmp_path / "a").read_bytes() == b"3"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(
        ["a", "..data", os.readlink(tmp_path / "..data")]
    )


async def test_config_map(bench: Bench, make_pod: Any) -> None:
    """Keys as files with items and modes, updated in place."""
    bench.put("ConfigMap", "c", data={"k": "v", "other": "x"}, binaryData={"b": "AAE="})
    items = [{"key": "k", "path": "sub/file", "mode": 0o600}]
    pod = make_pod(
        {
            "volumes": [
                {"name": "all", "configMap": {"name": "c", "defaultMode": 0o640}},
                {"name": "some", "configMap": {"name": "c", "items": items}},
                {"name": "none", "configMap": {"name": "missing", "optional": True}},
            ]
        }
    )
    paths = await bench.mount(pod)
    assert {entry.name for entry in paths["all"].iterdir() if not entry.name.startswith("..")} == {"k", "other", "b"}
    assert (paths["all"] / "b").read_bytes() == b"\0\1"
    assert mode_of(paths["all"] / "k") == 0o640
    assert (paths["some"] / "sub/file").read_text() == "v"
    assert mode_of(paths["some"] / "sub/file") == 0o600
    assert paths["none"].is_dir()
    bench.put("ConfigMap", "c", data={"k": "new"})
    await bench.mount(pod)
    assert (paths["some"] / "sub/file").read_text() == "new"


@NEEDS_ROOT
async def test_secret_stays_in_memory(bench: Bench, make_pod: Any) -> None:
    """A secret's files are on a tmpfs, belong to the pod's fsGroup, and go with the pod."""
    bench.put("Secret", "s", data={"p": "aHVzaA=="})
    volumes = [{"name": "v", "secret": {"secretName": "s", "defaultMode": 0o400}}]
    pod = make_pod({"volumes": volumes, "securityContext": {"fsGroup": 1234}})
    path = (await bench.mount(pod))["v"]
    assert is_mount_point(path)
    assert (path / "p").read_bytes() == b"hush"
    assert mode_of(path / "p") == 0o440
    assert (path / "p").stat().st_gid == 1234
    await bench.mount(pod)
    bench.manager.unmount("uid-web")
    assert not path.exists()


@NEEDS_ROOT
async def test_projected_token_is_kept_until_due(bench: Bench, make_pod: Any) -> None:
    """The token is bound to the pod, asked for once, private to the one user; ConfigMap and fields lie beside it."""
    bench.put("ConfigMap", "kube-root-ca.crt", data={"ca.crt": "CA"})
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    pod = make_pod({"volumes": [{"name": "t", "projected": {"sources": sources}}], "securityContext": {"runAsUser": 7}})
    path = (await bench.mount(pod))["t"]
    await bench.mount(pod)
    assert {name: (path / name).read_text() for name in ("token", "ca.crt", "namespace")} == {
        "token": "token-1",
        "ca.crt": "CA",
        "namespace": "default",
    }
    assert (mode_of(path / "token"), (path / "token").stat().st_uid) == (0o600, 7)
    ((request_path, body),) = bench.tokens.requests
    assert request_path == "/api/v1/namespaces/default/serviceaccounts/default/token"
    assert body["spec"]["boundObjectRef"] == {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid-web"}


@NEEDS_ROOT
async def test_empty_dir(bench: Bench, make_pod: Any) -> None:
    """Writable for all, in memory with a size if wanted, owned by the fsGroup; its content survives a second mount."""
    volumes = [{"name": "d", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    paths = await bench.mount(make_pod({"volumes": volumes, "securityContext": {"fsGroup": 1234}}))
    assert mode_of(paths["d"]) == 0o2777
    assert paths["d"].stat().st_gid == 1234
    assert os.statvfs(paths["m"]).f_blocks * os.statvfs(paths["m"]).f_frsize == 1024**2
    (paths["d"] / "x").write_text("kept")
    await bench.mount(make_pod({"volumes": volumes}))
    assert (paths["d"] / "x").read_text() == "kept"


def test_host_path_types(tmp_path: Path) -> None:
    """What is there must be what was asked for; OrCreate makes it. The path is the user's, wherever the node's lies."""
    check_host_path(tmp_path / "new", {"path": "/data", "type": "DirectoryOrCreate"})
    check_host_path(tmp_path / "file", {"path": "/data", "type": "FileOrCreate"})
    check_host_path(tmp_path / "new", {"path": "/data", "type": "Directory"})
    check_host_path(tmp_path / "anything", {"path": "/data", "type": ""})
    with pytest.raises(VolumeFault, match="hostPath type check failed: /data is not a directory"):
        check_host_path(tmp_path / "file", {"path": "/data", "type": "Directory"})
    with pytest.raises(VolumeFault, match="is not a socket"):
        check_host_path(tmp_path / "file", {"path": "/data", "type": "Socket"})


async def test_claim_of_a_local_volume(bench: Bench, make_pod: Any, tmp_path: Path) -> None:
    """A claim is mounted once it is bound; until then the pod is told why it waits."""
    pod = make_pod({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "p"}}]})
    mounted = await bench.manager.mount(PodFacts(pod))
    assert mounted.faults == ['MountVolume.SetUp failed for volume "v" : persistentvolumeclaim "p" not found']
    bench.put("PersistentVolumeClaim", "p", spec={"volumeName": "pv"}, status={"phase": "Bound"})
    bench.put("PersistentVolume", "pv", spec={"hostPath": {"path": str(tmp_path)}})
    assert (await bench.mount(pod))["v"] == tmp_path


async def test_faults_are_told_for_each_volume(bench: Bench, make_pod: Any) -> None:
    """A missing object and an unsupported kind of volume, each with its own message."""
    pod = make_pod({"volumes": [{"name": "c", "configMap": {"name": "x"}}, {"name": "n", "nfs": {"server": "s"}}]})
    assert (await bench.manager.mount(PodFacts(pod))).faults == [
        'MountVolume.SetUp failed for volume "c" : configmap "x" not found',
        'MountVolume.SetUp failed for volume "n" : volumes of type nfs are not supported',
    ]


async def test_a_fault_of_the_file_system_names_no_file(bench: Bench, make_pod: Any) -> None:
    """The file's name is new with each try: each would be another event, and another history of the same seed."""
    bench.put("ConfigMap", "c", data={"k": "text"})
    source = {"name": "c", "items": [{"key": "k", "path": "x" * 300}]}
    pod = make_pod({"volumes": [{"name": "v", "configMap": source}]})
    mounted = await bench.manager.mount(PodFacts(pod))
    assert mounted.faults == ['MountVolume.SetUp failed for volume "v" : File name too long']


def test_sub_path_cannot_leave_its_volume(tmp_path: Path) -> None:
    """Neither `..` nor a symbolic link of the pod's making reaches the node's files; a missing path is made."""
    volume = tmp_path / "v"
    volume.mkdir()
    (volume / "link").symlink_to("/etc")

    def source(sub_path: str) -> Path:
        container = {"volumeMounts": [{"name": "v", "mountPath": "/m", "subPathExpr": sub_path}]}
        return mount_sources(container, {"v": volume}, {"POD": "web"})["/m"]

    assert source("logs/$(POD)") == volume / "logs/web"
    assert (volume / "logs/web").is_dir()
    for evil in ("../x", "/etc", "link", "link/passwd"):
        with pytest.raises(ConfigError):
            source(evil)


def test_list_of_volumes_is_complete() -> None:
    """Every file that mounts something is in the one list, and no kind is listed twice."""
    fields = [volume.field for volume in VOLUMES]
    assert len(fields) == len(set(fields))
    directory = Path(__file__).parents[3] / "src/kaa/kubelet/volumes"
    defined = {
        word.split("(")[0]
        for file in directory.glob("*.py")
        for line in file.read_text().splitlines()
        if line.startswith("async def mount_")
        for word in [line.removeprefix("async def ")]
    }
    assert defined == {volume.mount.__name__ for volume in VOLUMES}
