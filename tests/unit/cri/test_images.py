"""The image store over crashes, archives and removals."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import orjson
import pytest

from kaa.cri.archive import write_oci_archive
from kaa.cri.cri import RuntimeFault
from kaa.cri.images import Images
from kaa.cri.snapshots import Snapshots
from kaa.lib.clock import WallClock

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacking needs root")


def images_at(path: Path) -> Images:
    return Images(path / "images", Snapshots(path / "snapshots", path / "links"), WallClock())


def files(path: Path, **contents: str) -> Path:
    path.mkdir()
    for name, text in contents.items():
        (path / name).write_text(text)
    return path


def docker_archive(path: Path, layers: list[bytes], tags: list[str]) -> None:
    """As `docker save` writes: the configuration by name, layers by name, and manifest.json last."""
    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    config = orjson.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"diff_ids": diff_ids}})
    entries = {"config.json": config} | {f"{n}/layer.tar": layer for n, layer in enumerate(layers)}
    manifest = [{"Config": "config.json", "RepoTags": tags, "Layers": [f"{n}/layer.tar" for n in range(len(layers))]}]
    entries["manifest.json"] = orjson.dumps(manifest)
    with tarfile.open(path, "w") as tar:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def plain_layer(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


async def test_an_archive_is_loaded_and_found_after_a_restart(tmp_path: Path) -> None:
    """Protects images over restarts, by every way of naming one; and that the same files give the same image."""
    identifier = write_oci_archive(tmp_path / "a.tar", "hello:1", files(tmp_path / "files", f="text"), {"Cmd": ["x"]})
    assert write_oci_archive(tmp_path / "b.tar", "hello:1", tmp_path / "files", {"Cmd": ["x"]}) == identifier
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert await images_at(tmp_path).load_archive(tmp_path / "a.tar") == ["docker.io/library/hello:1"]
    images = images_at(tmp_path)
    for name in ("hello:1", "docker.io/library/hello:1", identifier, identifier.removeprefix("sha256:")):
        found = images.find(name)
        assert found is not None
        assert found.id == identifier
    assert images.config(found)["config"] == {"Cmd": ["x"]}


async def test_an_archive_of_docker_save_from_a_stream(tmp_path: Path) -> None:
    """Protects `docker save | kaa image load -`: several layers, several names, nothing to seek in."""
    docker_archive(tmp_path / "a.tar", [plain_layer("a", "1"), plain_layer("b", "2")], ["one:1", "two:2"])
    images = images_at(tmp_path)
    with (tmp_path / "a.tar").open("rb") as stream:
        names = await images.load_archive(stream)
    assert names == ["docker.io/library/one:1", "docker.io/library/two:2"]
    found = images.find("two:2")
    assert found is not None
    assert len(found.chain) == 2
    assert found == images.find("one:1")


async def test_a_name_moves_to_the_newer_image(tmp_path: Path) -> None:
    """Protects `latest`: an image loaded under a name takes it, and the older one is still there by its id."""
    images = images_at(tmp_path)
    old = write_oci_archive(tmp_path / "a.tar", "app", files(tmp_path / "old", f="old"), {})
    new = write_oci_archive(tmp_path / "b.tar", "app", files(tmp_path / "new", f="new"), {})
    await images.load_archive(tmp_path / "a.tar")
    await images.load_archive(tmp_path / "b.tar")
    by_name, by_id = images.find("app"), images.find(old)
    assert by_name is not None
    assert by_name.id == new
    assert by_id is not None
    assert by_id.names == ()


async def test_removal_takes_layers_that_nobody_else_needs(tmp_path: Path) -> None:
    """Protects the disk, and layers that are shared or that a container runs on."""
    snapshots = Snapshots(tmp_path / "snapshots", tmp_path / "links")
    images = Images(tmp_path / "images", snapshots, WallClock())
    shared, own = plain_layer("shared", "x"), plain_layer("own", "y")
    docker_archive(tmp_path / "a.tar", [shared], ["base"])
    docker_archive(tmp_path / "b.tar", [shared, own], ["app"])
    await images.load_archive(tmp_path / "a.tar")
    await images.load_archive(tmp_path / "b.tar")
    app = images.find("app")
    assert app is not None
    snapshots.create("c1", app.chain)
    await images.remove_image({"image": {"image": "app"}})
    assert all(snapshots.has_layer(chain_id) for chain_id in app.chain)
    snapshots.remove("c1")
    await images.remove_image({"image": {"image": "nothing"}})
    images_at(tmp_path)  # a restart prunes too
    assert [snapshots.has_layer(chain_id) for chain_id in app.chain] == [True, False]


async def test_what_a_crash_left_is_taken_away(tmp_path: Path) -> None:
    """Protects the disk: half blobs and half unpacked layers do not stay, whole images do."""
    images = images_at(tmp_path)
    write_oci_archive(tmp_path / "a.tar", "app", files(tmp_path / "files", f="x"), {})
    await images.load_archive(tmp_path / "a.tar")
    (tmp_path / "images/content/incoming/half").write_text("half")
    (tmp_path / "snapshots/unpacking/half").mkdir()
    (tmp_path / "images/content/blobs/sha256" / ("0" * 64)).write_text("unnamed")
    images = images_at(tmp_path)
    assert images.find("app") is not None
    assert os.listdir(tmp_path / "images/content/incoming") == []
    assert os.listdir(tmp_path / "snapshots/unpacking") == []
    assert not (tmp_path / "images/content/blobs/sha256" / ("0" * 64)).exists()


@pytest.mark.parametrize("content", [b"", b"junk" * 1000])
async def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    """Protects the caller: a readable error, and nothing is kept."""
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(RuntimeFault, match="archive"):
        await images_at(tmp_path).load_archive(tmp_path / "a.tar")


async def test_an_archive_with_a_forged_blob_is_refused(tmp_path: Path) -> None:
    """Protects content addresses: a blob is what its name says or it is not taken."""
    write_oci_archive(tmp_path / "a.tar", "app", files(tmp_path / "files", f="x"), {})
    with tarfile.open(tmp_path / "a.tar") as good, tarfile.open(tmp_path / "b.tar", "w") as bad:
        for member in good:
            source = good.extractfile(member)
            assert source is not None
            data = source.read()
            if member.name.startswith("blobs/"):
                data = data[:-1] + b"!"
            bad.addfile(member, io.BytesIO(data))
    with pytest.raises(RuntimeFault, match="content digest is"):
        await images_at(tmp_path).load_archive(tmp_path / "b.tar")


async def test_one_name_of_several_can_be_taken_away(tmp_path: Path) -> None:
    """A person removes a name; the image stays under its others, which pods may be made from."""
    root = files(tmp_path / "files", f="text")
    images = images_at(tmp_path)
    for name in ("a:1", "b:1"):
        write_oci_archive(tmp_path / "image.tar", name, root, {"Cmd": ["x"]})
        await images.load_archive(tmp_path / "image.tar")
    await images.untag("a:1")
    assert images.find("a:1") is None
    assert images.find("b:1") is not None
    await images.untag("b:1")
    assert (await images.list_images({}))["images"] == []
    with pytest.raises(RuntimeFault, match="no such image: b:1"):
        await images.untag("b:1")
