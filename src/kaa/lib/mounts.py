"""Memory file systems, and what is mounted where. Needs CAP_SYS_ADMIN."""

import os
from pathlib import Path

from kaa.lib import libc

MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8

MAX_STACKED = 16
"""Mounts on top of each other that `unmount` takes off one path: more means that somebody keeps mounting."""


def mount_tmpfs(target: Path, *, size_bytes: int = 0, mode: int = 0o777) -> None:
    """`size_bytes` 0 is the kernel's default: half of the memory. Raises OSError with the target's path."""
    options = f"mode={mode:o}" + (f",size={size_bytes}" if size_bytes else "")
    libc.mount("tmpfs", str(target), "tmpfs", 0, options)


def unmount(target: Path) -> None:
    """Detaches whatever is mounted at the path, also if it is busy. Nothing mounted is success."""
    for _ in range(MAX_STACKED):
        if not is_mount_point(target):
            return
        libc.umount2(str(target), MNT_DETACH | UMOUNT_NOFOLLOW)


def is_mount_point(path: Path) -> bool:
    """False for a path that does not exist. A bind mount within one file system is not seen by `os.path.ismount`."""
    wanted = os.path.realpath(path.parent) + "/" + path.name
    with open("/proc/self/mountinfo", "rb") as table:
        return any(_unescaped(line.split(b" ")[4]) == os.fsencode(wanted) for line in table)


def mount_points_below(directory: Path) -> list[Path]:
    """Deepest first, so that they can be unmounted in this order."""
    prefix = os.fsencode(os.path.realpath(directory)) + b"/"
    with open("/proc/self/mountinfo", "rb") as table:
        found = [point for line in table if (point := _unescaped(line.split(b" ")[4])).startswith(prefix)]
    return [Path(os.fsdecode(point)) for point in sorted(found, key=lambda p: p.count(b"/"), reverse=True)]


def _unescaped(field: bytes) -> bytes:
    """mountinfo writes space, tab, newline and backslash as octal."""
    for octal, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(octal, char)
    return field
