"""What this machine and our own process can do, read once: containers cannot be given more."""

import os
import resource
import stat
from dataclasses import dataclass
from pathlib import Path

from kaa.cri import capabilities

OPEN_FILES = 1_048_576
"""How many files a container may have open, where we may grant as many."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    capabilities: frozenset[str]  # our bounding set
    lowest_oom_score_adj: int  # without CAP_SYS_RESOURCE nobody may go below their own
    open_files: int
    unified_cgroups: bool
    swap_accounting: bool
    apparmor: bool
    architecture: str  # Go's name


@dataclass(frozen=True, slots=True)
class HostDevice:
    path: str  # in the container
    kind: str  # "c" or "b"
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


def read_facts(architecture: str, *, unified_cgroups: bool) -> HostFacts:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    bounding = capabilities.from_mask(int(status["CapBnd"], 16))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    may_raise = "SYS_RESOURCE" in bounding
    swap_file = "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"
    return HostFacts(
        capabilities=bounding,
        lowest_oom_score_adj=-1000 if may_raise else int(Path("/proc/self/oom_score_adj").read_text()),
        open_files=OPEN_FILES if may_raise or hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard),
        unified_cgroups=unified_cgroups,
        swap_accounting=unified_cgroups or os.path.exists(swap_file),
        apparmor=os.path.exists("/sys/kernel/security/apparmor"),
        architecture=architecture,
    )


def devices_at(host_path: str, container_path: str) -> list[HostDevice]:
    """The device node, or all nodes of a directory. Raises OSError when there is nothing."""
    status = os.stat(host_path)
    if stat.S_ISDIR(status.st_mode):
        names = sorted(os.listdir(host_path))
        return [d for n in names for d in _device(os.path.join(host_path, n), os.path.join(container_path, n))]
    return _device(host_path, container_path)


def all_devices() -> list[HostDevice]:
    """Every device node of /dev but those that a container gets its own of."""
    own = {"/dev/console", "/dev/ptmx"}
    found = []
    for directory, names, files in os.walk("/dev"):
        if directory == "/dev":
            names[:] = [name for name in names if name not in ("pts", "shm", "mqueue", "fd")]
        for name in files:
            path = os.path.join(directory, name)
            if path not in own and not os.path.islink(path):
                found += _device(path, path)
    return found


def _device(host_path: str, container_path: str) -> list[HostDevice]:
    status = os.stat(host_path)
    kinds = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}
    kind = kinds.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return []
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    mode = stat.S_IMODE(status.st_mode)
    return [HostDevice(container_path, kind, major, minor, mode, status.st_uid, status.st_gid)]
