"""Files written so that a reader sees all of the old ones or all of the new ones: upstream's AtomicWriter.

    <volume>/..2030_01_01_00_00_00.3141592/key   the files
    <volume>/..data -> ..2030_01_01_00_00_00.3141592
    <volume>/key -> ..data/key                   what the pod opens

An update writes a new dated directory and then renames `..data` over the old link: one atomic step.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random

from kaa.kubelet.volumes.ownership import give

DATA_LINK = "..data"
NEW_DATA_LINK = "..data_tmp"


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int = 0o644
    uid: int | None = None


Payload = Mapping[str, File]
"""Files by relative path; a path has no `..` in it."""


def write_payload(directory: Path, payload: Payload, now: datetime, random: Random, group: int | None = None) -> bool:
    """Brings the directory to hold exactly the payload, readable by `group`. Returns whether anything has changed."""
    directory.mkdir(parents=True, exist_ok=True)
    current = directory / DATA_LINK
    wanted = {path: (file.data, _mode(file, group)) for path, file in payload.items()}
    if current.is_symlink() and _content(current) == wanted:
        _link_names(directory, payload)
        return False
    dated = directory / f"..{now:%Y_%m_%d_%H_%M_%S}.{random.randrange(10**10)}"
    _make_directory(dated, group)
    for path, file in payload.items():
        target = dated / path
        for parent in reversed(target.relative_to(dated).parents[:-1]):
            _make_directory(dated / parent, group)
        target.write_bytes(file.data)
        give(target, file.uid, group)
        target.chmod(_mode(file, group))
    _swap(directory, dated)
    _link_names(directory, payload)
    return True


def _swap(directory: Path, dated: Path) -> None:
    current, new = directory / DATA_LINK, directory / NEW_DATA_LINK
    new.unlink(missing_ok=True)
    new.symlink_to(dated.name)
    new.rename(current)
    # Besides the former content this takes away what a crash left half written.
    for entry in directory.glob("..*.*"):
        if entry.is_dir() and not entry.is_symlink() and entry != dated:
            shutil.rmtree(entry)


def _mode(file: File, group: int | None) -> int:
    return file.mode if group is None else file.mode | 0o440


def _make_directory(path: Path, group: int | None) -> None:
    if path.exists():
        return
    path.mkdir()
    if group is not None:
        give(path, None, group)
    path.chmod(0o755 if group is None else 0o2755)


def _content(directory: Path) -> dict[str, tuple[bytes, int]]:
    paths = [Path(root, name) for root, _, names in os.walk(directory) for name in names]
    return {str(p.relative_to(directory)): (p.read_bytes(), p.stat().st_mode & 0o7777) for p in paths}


def _link_names(directory: Path, payload: Payload) -> None:
    wanted = {path.split("/", 1)[0] for path in payload}
    for entry in directory.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
    for name in wanted:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA_LINK}/{name}")
