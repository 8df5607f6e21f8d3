"""Mounts by mount(2): bind, tmpfs, overlay; and taking them away again."""

import errno

from kaa.lib import libc

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

OPTIONS_LIMIT_BYTES = 4095
"""mount(2) copies one page of options."""


def bind(source: str, target: str, *, read_only: bool = False) -> None:
    libc.mount(source, target, "", MS_BIND)
    if read_only:
        libc.mount(source, target, "", MS_BIND | MS_REMOUNT | MS_RDONLY)


def tmpfs(target: str, size_bytes: int, mode: str = "1777") -> None:
    libc.mount("shm", target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, f"mode={mode},size={size_bytes}")


def overlay(target: str, lower: list[str], upper: str, work: str) -> None:
    """`lower` is topmost first. None of the paths may contain `:` or `,`.

    `volatile` leaves out syncing the upper directory: it is a container's, and a container does not outlive a crash
    of the machine.
    """
    options = f"lowerdir={':'.join(lower)},upperdir={upper},workdir={work},volatile"
    if len(options) > OPTIONS_LIMIT_BYTES:
        raise OSError(errno.E2BIG, f"{len(lower)} layers do not fit into the options of one mount", target)
    libc.mount("overlay", target, "overlay", 0, options)


def read_only_overlay(target: str, lower: list[str]) -> None:
    """`lower` is topmost first, at least two. None of the paths may contain `:` or `,`."""
    libc.mount("overlay", target, "overlay", MS_RDONLY, f"lowerdir={':'.join(lower)}")


def unmount(target: str) -> None:
    """Detaches what is mounted at `target`; nothing there is success."""
    try:
        libc.umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW)
    except OSError as e:
        if e.errno not in (errno.EINVAL, errno.ENOENT):
            raise
