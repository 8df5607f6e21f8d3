"""Unpacking a layer's tar into a directory that can be a lower directory of an overlay mount.

A layer is not trusted. Every name is resolved as if the layer's directory were `/` (openat2), so no `..`, absolute
name, or link in the archive reaches outside. What a layer deletes is written the way overlayfs reads it:
`.wh.NAME` becomes a character device 0:0 called NAME, and `.wh..wh..opq` the attribute that hides what is below.

A layer may add to a directory that only a lower layer describes, or link to a file of one: attributes and contents are
then taken from the layers under it.
"""

import bz2
import errno
import gzip
import hashlib
import lzma
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from kaa.cri.content import CHUNK_BYTES
from kaa.lib.libc import open_in_root

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
OPAQUE_ATTRIBUTE = "trusted.overlay.opaque"
XATTR_HEADER = "SCHILY.xattr."

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


class LayerError(Exception):
    """A layer that cannot be unpacked: damaged, of an unknown compression, or not the one it should be."""


class _Hashing:
    """A file that hashes what is read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


def decompressed(file: BinaryIO) -> BinaryIO:
    """The layer's tar, whatever it is compressed with: its first bytes tell, media types do not always."""
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        try:
            import zstandard  # type: ignore[import-not-found]  # optional: only needed for such layers
        except ImportError:
            raise LayerError("the layer is compressed with zstd: install the package python3-zstandard") from None
        return cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(file))
    if magic.startswith(b"BZh"):
        return cast(BinaryIO, bz2.BZ2File(file))
    if magic == b"\xfd7zXZ\x00":
        return cast(BinaryIO, lzma.LZMAFile(file))
    return file


def unpack(blob: BinaryIO, target: Path, lower: Sequence[Path], diff_id: str) -> int:
    """Unpacks into the empty directory `target` and returns how many bytes its files have.

    `lower` are the directories of the layers under it, nearest first. Raises LayerError if the tar's digest is not
    `diff_id`.
    """
    tar_stream = _Hashing(decompressed(blob))
    try:
        with _Unpacking(target, lower) as unpacking, tarfile.open(fileobj=tar_stream, mode="r|") as tar:  # type: ignore[call-overload]
            for member in tar:
                unpacking.add(tar, member)
                tar.members.clear()  # a stream of any length in bounded memory
        while tar_stream.read(CHUNK_BYTES):  # the padding belongs to the digest too
            continue
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, lzma.LZMAError) as e:
        raise LayerError(f"the layer {diff_id} is damaged: {e}") from e
    actual = f"sha256:{tar_stream.sha256.hexdigest()}"
    if actual != diff_id:
        raise LayerError(f"the layer's content has the digest {actual}, expected {diff_id}")
    return unpacking.size_bytes


class _Unpacking:
    def __init__(self, target: Path, lower: Sequence[Path]) -> None:
        self.size_bytes = 0
        self._root = os.open(target, _DIRECTORY)
        self._lower = [os.open(path, _DIRECTORY) for path in lower]
        self._parent = ("", os.dup(self._root))  # the directory of the last entry: most follow one another
        self._directory_times: list[tuple[str, float]] = []

    def __enter__(self) -> "_Unpacking":
        return self

    def __exit__(self, *_: object) -> None:
        # Directories get their times last: every entry made in them would change it again.
        for path, mtime in reversed(self._directory_times):
            with self._opened(path) as fd:
                os.utime(fd, (mtime, mtime))
        for fd in (self._root, self._parent[1], *self._lower):
            os.close(fd)

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise LayerError(f"the entry {member.name!r} would be outside of the image")
        if not parts:
            if member.isdir():
                self._set_attributes(self._root, ".", member)
            return
        name = parts[-1]
        parent = self._open_parent("/".join(parts[:-1]))
        if name == OPAQUE:
            os.setxattr(parent, OPAQUE_ATTRIBUTE, b"y")
        elif name.startswith(WHITEOUT):
            hidden = name.removeprefix(WHITEOUT)
            if hidden in ("", ".", ".."):
                raise LayerError(f"the entry {member.name!r} hides nothing")
            _remove(parent, hidden)
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=parent)
        else:
            self._create(tar, member, parent, name)

    def _create(self, tar: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
        if not (member.isdir() and _is_directory(parent, name)):
            _remove(parent, name)
        if member.isdir():
            if not _is_directory(parent, name):
                os.mkdir(name, dir_fd=parent)
            self._directory_times.append((member.name, member.mtime))
        elif member.isreg():
            self._write_file(tar, member, parent, name)
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
        elif member.islnk():
            self._link(member, parent, name)
            return  # its attributes are those of the file it shares
        elif member.ischr() or member.isblk():
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            os.mknod(name, kind | 0o600, os.makedev(member.devmajor, member.devminor), dir_fd=parent)
        elif member.isfifo():
            os.mkfifo(name, dir_fd=parent)
        else:
            raise LayerError(f"the entry {member.name!r} is of the unknown type {member.type!r}")
        self._set_attributes(parent, name, member)

    def _write_file(self, tar: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
        source = tar.extractfile(member)
        assert source is not None
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
        with os.fdopen(fd, "wb") as file:
            shutil.copyfileobj(source, file, CHUNK_BYTES)
        self.size_bytes += member.size

    def _link(self, member: tarfile.TarInfo, parent: int, name: str) -> None:
        directory, _, file_name = member.linkname.strip("/").rpartition("/")
        try:
            with self._opened(directory) as source:
                os.link(file_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            self._copy_from_below(member, parent, name)

    def _copy_from_below(self, member: tarfile.TarInfo, parent: int, name: str) -> None:
        for lower in self._lower:
            try:
                source = open_in_root(lower, member.linkname, os.O_RDONLY | os.O_NOFOLLOW)
            except OSError:
                continue
            with os.fdopen(source, "rb") as file:
                status = os.fstat(source)
                if not stat.S_ISREG(status.st_mode):
                    continue
                target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent)
                with os.fdopen(target, "wb") as copy:
                    shutil.copyfileobj(file, copy, CHUNK_BYTES)
                    os.fchown(target, status.st_uid, status.st_gid)
                    os.fchmod(target, stat.S_IMODE(status.st_mode))
                self.size_bytes += status.st_size
                return
        raise LayerError(f"the entry {member.name!r} links to {member.linkname!r}, which does not exist")

    @contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        fd = open_in_root(self._root, path, _DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    def _open_parent(self, path: str) -> int:
        """The entry's directory, made if the archive has not described it. Stays open until the next call."""
        if path != self._parent[0]:
            os.close(self._parent[1])
            self._parent = ("", os.dup(self._root))
            try:
                fd = open_in_root(self._root, path, _DIRECTORY)
            except FileNotFoundError:
                self._make_directories(path)
                fd = open_in_root(self._root, path, _DIRECTORY)
            os.close(self._parent[1])
            self._parent = (path, fd)
        return self._parent[1]

    def _make_directories(self, path: str) -> None:
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            with self._opened("/".join(parts[: count - 1])) as parent:
                try:
                    os.mkdir(parts[count - 1], dir_fd=parent)
                except FileExistsError:
                    continue
                self._copy_attributes("/".join(parts[:count]), parent, parts[count - 1])

    def _copy_attributes(self, path: str, parent: int, name: str) -> None:
        for lower in self._lower:
            try:
                source = open_in_root(lower, path, _DIRECTORY)
            except OSError as e:
                if e.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    raise
                continue
            status = os.fstat(source)
            os.close(source)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=parent, follow_symlinks=False)
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=parent)
            return
        os.chmod(name, 0o755, dir_fd=parent)

    def _set_attributes(self, parent: int, name: str, member: tarfile.TarInfo) -> None:
        os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        if not member.issym():
            os.chmod(name, stat.S_IMODE(member.mode), dir_fd=parent)
        for header, value in member.pax_headers.items():
            if header.startswith(XATTR_HEADER):
                _set_xattr(parent, name, header.removeprefix(XATTR_HEADER), value.encode("utf-8", "surrogateescape"))
        if not member.isdir():
            os.utime(name, (member.mtime, member.mtime), dir_fd=parent, follow_symlinks=False)


def _set_xattr(parent: int, name: str, attribute: str, value: bytes) -> None:
    # `trusted.overlay.*` is how overlayfs keeps its own books: an image must not write into them.
    if attribute.startswith("trusted."):
        return
    try:
        os.setxattr(f"/proc/self/fd/{parent}/{name}", attribute, value, follow_symlinks=False)
    except OSError as e:
        if e.errno not in (errno.ENOTSUP, errno.EPERM):  # a link, or a file system without this kind
            raise


def _is_directory(parent: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _remove(parent: int, name: str) -> None:
    """Takes away what an earlier entry of the same archive made under this name."""
    if _is_directory(parent, name):
        shutil.rmtree(name, dir_fd=parent)
        return
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
