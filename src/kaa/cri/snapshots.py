"""Snapshots: unpacked layers, shared by all, and for each container an overlay of them with a writable directory.

    layers/<chain>/fs, layer.json       a layer on top of all those under it; complete as soon as it has this name
    containers/<id>/upper, work, lower.json     and volumes.json, the layers of images that it has as volumes
    <links>/<short name> -> ...          short paths: a mount's options must fit into one page

Links are made anew whenever they are needed, in the run directory. A layer is kept while an image or a container
needs it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from kaa.cri import layers
from kaa.cri.linux import mounts
from kaa.cri.records import read_json, write_json
from kaa.lib import libc

LINK_CHARACTERS = 16


class Snapshots:
    def __init__(self, root: Path, links: Path) -> None:
        self._layers = root / "layers"
        self._containers = root / "containers"
        self._unpacking = root / "unpacking"
        self._links = links
        shutil.rmtree(self._unpacking, ignore_errors=True)  # what a crash left
        for directory in (self._layers, self._containers, self._unpacking, links):
            directory.mkdir(parents=True, exist_ok=True)

    # Layers.

    def has_layer(self, chain_id: str) -> bool:
        return self._layer(chain_id).exists()

    def _layer(self, chain_id: str) -> Path:
        return self._layers / chain_id.removeprefix("sha256:")

    def _layer_files(self, chain_id: str) -> Path:
        return self._layer(chain_id) / "fs"

    def unpack_layer(self, chain_id: str, below: Sequence[str], diff_id: str, blob: BinaryIO) -> None:
        """Unpacks a layer on those `below` it (chain ids, nearest first), unless it is there. Blocks."""
        if self.has_layer(chain_id):
            return
        temporary = Path(tempfile.mkdtemp(dir=self._unpacking))
        try:
            files = temporary / "fs"
            files.mkdir(mode=0o755)
            files.chmod(0o755)
            size_bytes = layers.unpack(blob, files, [self._layer_files(chain) for chain in below], diff_id)
            write_json(temporary / "layer.json", {"size_bytes": size_bytes, "diff_id": diff_id})
            fd = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
            try:
                libc.syncfs(fd)  # the name promises that the content is whole
            finally:
                os.close(fd)
            temporary.rename(self._layer(chain_id))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def layers_size_bytes(self) -> int:
        records = (read_json(layer / "layer.json") for layer in self._layers.iterdir())
        return sum(record["size_bytes"] for record in records if record)

    def prune_layers(self, needed: Iterable[str]) -> None:
        """Removes every layer that is neither needed (chain ids) nor under a container. Blocks."""
        keep = {chain_id.removeprefix("sha256:") for chain_id in needed}
        for container in self._containers.iterdir():
            for record in ("lower.json", "volumes.json"):
                keep |= {chain_id.removeprefix("sha256:") for chain_id in read_json(container / record) or ()}
        for layer in list(self._layers.iterdir()):
            if layer.name not in keep:
                doomed = self._unpacking / f"{layer.name}.removed"
                layer.rename(doomed)  # from now on it is not there, even if we die while removing it
                shutil.rmtree(doomed)

    # Containers.

    def create(self, container_id: str, chain: Sequence[str]) -> None:
        """The writable directory over the layers of `chain` (chain ids, lowest first)."""
        directory = self._containers / container_id
        directory.mkdir()
        (directory / "upper").mkdir(mode=0o755)
        (directory / "work").mkdir(mode=0o700)
        write_json(directory / "lower.json", list(reversed(chain)), durable=False)

    def mount_image(self, container_id: str, chain: Sequence[str], target: Path) -> None:
        """The files of an image, to read, for as long as the container is there."""
        record = self._containers / container_id / "volumes.json"
        write_json(record, [*(read_json(record) or ()), *chain], durable=False)
        lower = self._lower(reversed(chain))
        if len(lower) > 1:
            mounts.read_only_overlay(str(target), lower)
        else:
            mounts.bind(lower[0], str(target), read_only=True)

    def _lower(self, chain: Iterable[str]) -> list[str]:
        """Directories for overlayfs, topmost first; it wants at least one, also for an image without layers."""
        lower = [self._link(self._layer_files(chain_id)) for chain_id in chain]
        if lower:
            return lower
        empty = self._links / "empty"
        empty.mkdir(exist_ok=True)
        return [str(empty)]

    def mount(self, container_id: str, target: Path) -> None:
        directory = self._containers / container_id
        lower = self._lower(read_json(directory / "lower.json"))
        mounts.overlay(str(target), lower, self._link(directory / "upper"), self._link(directory / "work"))

    def _link(self, directory: Path) -> str:
        """A short path to the directory, free of the characters that mount options are divided by."""
        name = f"{directory.parent.name[:LINK_CHARACTERS]}{directory.name[0]}"
        link = self._links / name
        if not link.is_symlink():
            temporary = self._links / f".{name}"
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(directory)
            temporary.replace(link)
        return str(link)

    def usage(self, container_id: str) -> tuple[int, int]:
        """(bytes, inodes) of what the container has written. Walks the directory: blocks."""
        return disk_usage(self._containers / container_id / "upper")

    def remove(self, container_id: str) -> None:
        """Removes the writable directory. Blocks. Twice is once."""
        directory = self._containers / container_id
        for part in ("upper", "work"):
            (self._links / f"{container_id[:LINK_CHARACTERS]}{part[0]}").unlink(missing_ok=True)
        shutil.rmtree(directory, ignore_errors=True)

    def container_ids(self) -> list[str]:
        return [path.name for path in self._containers.iterdir()]


def disk_usage(top: Path) -> tuple[int, int]:
    """(bytes on disk, inodes) under a directory that may change meanwhile."""
    used, count = 0, 0
    pending = [str(top)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    try:
                        used += entry.stat(follow_symlinks=False).st_blocks * 512
                    except FileNotFoundError:
                        continue
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return used, count
