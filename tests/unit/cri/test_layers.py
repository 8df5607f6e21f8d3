"""Unpacking layers that are as they should be, and layers that mean harm. Needs root, as the runtime does."""

import contextlib
import gzip
import hashlib
import importlib.util
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from kaa.cri import layers
from kaa.cri.layers import LayerError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def layer(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def unpack(path: Path, data: bytes, lower: tuple[Path, ...] = ()) -> int:
    path.mkdir()
    return layers.unpack(io.BytesIO(data), path, lower, f"sha256:{hashlib.sha256(data).hexdigest()}")


def test_files_come_out_as_they_are(tmp_path: Path) -> None:
    """Protects owners, modes, times, links, devices and attributes."""
    data = layer(
        (member("d", tarfile.DIRTYPE, mode=0o1777, uid=5, mtime=1000), b""),
        (member("d/f", mode=0o4755, uid=1, gid=2, mtime=1234, pax_headers={"SCHILY.xattr.user.a": "b"}), b"content"),
        (member("d/s", tarfile.SYMTYPE, linkname="/anything"), b""),
        (member("d/h", tarfile.LNKTYPE, linkname="d/f"), b""),
        (member("null", tarfile.CHRTYPE, devmajor=1, devminor=3), b""),
        (member("pipe", tarfile.FIFOTYPE), b""),
    )
    root = tmp_path / "root"
    assert unpack(root, data) == 7
    status = (root / "d/f").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), status.st_mtime) == (1, 2, 0o4755, 1234)
    assert os.getxattr(root / "d/f", "user.a") == b"b"
    assert (root / "d").stat().st_mtime == 1000
    assert (root / "d/s").readlink() == Path("/anything")
    assert (root / "d/h").samefile(root / "d/f")
    assert (root / "null").stat().st_rdev == os.makedev(1, 3)
    assert stat.S_ISFIFO((root / "pipe").stat().st_mode)


def test_deletions_are_written_as_overlayfs_reads_them(tmp_path: Path) -> None:
    """Protects that a file deleted in a later layer is not seen, and that an opaque directory hides the ones below."""
    data = layer(
        (member("a/.wh.gone"), b""), (member("b", tarfile.DIRTYPE), b""), (member("b/.wh..wh..opq"), b""),
        (member("b/new"), b"x"),
    )  # fmt: skip
    root = tmp_path / "root"
    unpack(root, data)
    gone = (root / "a/gone").stat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    assert os.getxattr(root / "b", layers.OPAQUE_ATTRIBUTE) == b"y"
    assert not (root / "b/.wh..wh..opq").exists()


@pytest.mark.parametrize(
    "entries",
    [
        [(member("../escaped"), b"x")],
        [(member("a/../../escaped"), b"x")],
        [(member("link", tarfile.SYMTYPE, linkname=".."), b""), (member("link/escaped"), b"x")],
        [(member("link", tarfile.SYMTYPE, linkname="/../.."), b""), (member("link/escaped"), b"x")],
        [(member("h", tarfile.LNKTYPE, linkname="../secret"), b"")],
        [(member("h", tarfile.LNKTYPE, linkname="/../secret"), b"")],
        [(member(".wh..."), b"")],
    ],
)
def test_nothing_gets_out(tmp_path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    """Protects the node from a malicious image: no entry writes or links outside of the layer's directory."""
    (tmp_path / "secret").write_text("secret")
    data = layer(*entries)
    with contextlib.suppress(LayerError):
        unpack(tmp_path / "root", data)
    assert sorted(os.listdir(tmp_path)) == ["root", "secret"]
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_a_link_in_the_way_is_replaced_not_followed(tmp_path: Path) -> None:
    """Protects from an entry that first makes a link and then writes through it."""
    (tmp_path / "victim").write_text("untouched")
    link = member("f", tarfile.SYMTYPE, linkname=str(tmp_path / "victim"))
    unpack(tmp_path / "root", layer((link, b""), (member("f"), b"new")))
    assert (tmp_path / "victim").read_text() == "untouched"
    assert (tmp_path / "root/f").read_text() == "new"


def test_overlayfs_own_attributes_are_not_taken_from_an_image(tmp_path: Path) -> None:
    """Protects the overlay from an image that redirects its directories."""
    info = member("d", tarfile.DIRTYPE, pax_headers={"SCHILY.xattr.trusted.overlay.redirect": "/etc"})
    unpack(tmp_path / "root", layer((info, b"")))
    assert os.listxattr(tmp_path / "root/d") == []


def test_what_only_lower_layers_have_is_taken_from_them(tmp_path: Path) -> None:
    """Protects /tmp's mode when a layer only adds a file to it, and hard links to a file of a lower layer."""
    below = tmp_path / "below"
    unpack(
        below,
        layer((member("tmp", tarfile.DIRTYPE, mode=0o1777, uid=7), b""), (member("f", mode=0o600, uid=3), b"low")),
    )
    data = layer((member("tmp/new"), b"x"), (member("h", tarfile.LNKTYPE, linkname="f"), b""))
    unpack(tmp_path / "root", data, (below,))
    status = (tmp_path / "root/tmp").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o1777, 7)
    assert (tmp_path / "root/h").read_text() == "low"
    assert (tmp_path / "root/h").stat().st_uid == 3


def test_damage_is_found(tmp_path: Path) -> None:
    """Protects against a layer that is not the one the image names, is cut off, or is no archive."""
    good = layer((member("f"), b"x" * 5000))
    compressed = gzip.compress(good)
    (tmp_path / "a").mkdir()
    diff_id = f"sha256:{hashlib.sha256(good).hexdigest()}"
    layers.unpack(io.BytesIO(compressed), tmp_path / "a", (), diff_id)
    for name, data in {"other": compressed, "cut": compressed[:-20], "junk": b"junk" * 500}.items():
        (tmp_path / name).mkdir()
        with pytest.raises(LayerError):
            layers.unpack(io.BytesIO(data), tmp_path / name, (), "sha256:" + "0" * 64)


@pytest.mark.skipif(importlib.util.find_spec("zstandard") is not None, reason="the module is there")
def test_zstd_says_what_is_missing() -> None:
    """Protects the user of an image compressed with zstd where Python has no module for it."""
    with pytest.raises(LayerError, match="install"):
        layers.decompressed(io.BytesIO(b"\x28\xb5\x2f\xfd\x00\x00"))
