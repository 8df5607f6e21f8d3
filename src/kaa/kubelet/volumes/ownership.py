"""fsGroup: the group that a pod's volumes belong to, so that containers of any user can use them."""

import os
from pathlib import Path

from kaa.api.objects import Object
from kaa.kubelet.security_context import pod_context

FILE_BITS, DIRECTORY_BITS = 0o660, 0o2770
"""Added for the group; the set-group-id bit makes new files belong to it too."""


def fs_group(pod: Object) -> int | None:
    group = pod_context(pod).get("fsGroup")
    return None if group is None else int(group)


def give(path: Path, user: int | None, group: int | None) -> None:
    """Changes the owner; only root can, and a simulated node need not be run by root."""
    if os.geteuid() == 0:
        os.chown(path, -1 if user is None else user, -1 if group is None else group, follow_symlinks=False)


def own(directory: Path, pod: Object) -> None:
    """Gives the tree to the pod's fsGroup, if it has one. OnRootMismatch takes a right root for a right tree."""
    group = fs_group(pod)
    if group is None:
        return
    if pod_context(pod).get("fsGroupChangePolicy") == "OnRootMismatch" and _is_owned(directory, group):
        return
    for root, directories, files in os.walk(directory, topdown=False):
        for name in (*directories, *files):
            _give(Path(root, name), group)
    _give(directory, group)


def _is_owned(path: Path, group: int) -> bool:
    found = path.stat()
    return found.st_gid == group and found.st_mode & DIRECTORY_BITS == DIRECTORY_BITS


def _give(path: Path, group: int) -> None:
    if path.is_symlink():
        give(path, None, group)
        return
    bits = DIRECTORY_BITS if path.is_dir() else FILE_BITS
    give(path, None, group)
    path.chmod(path.stat().st_mode & 0o7777 | bits)
