"""Control groups, behind one interface for the two layouts that Linux machines have.

- `UnifiedCgroups`: version 2, one tree at /sys/fs/cgroup, a controller is enabled for children in
  `cgroup.subtree_control`.
- `LegacyCgroups`: version 1, one tree a controller (hybrid machines have a v2 tree beside them without controllers).

A path here is absolute within the trees (`/kaa/dev/node-1/kubepods/pod1`). Limits come as CRI's
LinuxContainerResources, in which 0 or absence means "leave as it is". Removing a group that is gone is success.
"""

import errno
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kaa.cri.linux.processes import signal_process

Resources = dict[str, Any]

KILL_ROUNDS = 100
"""How often a group's processes are listed and killed before giving up: each round kills all it sees."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a group has used. `working_set_bytes` is memory less the file cache that can be dropped at once."""

    cpu_nanoseconds: int = 0
    memory_bytes: int = 0
    working_set_bytes: int = 0
    rss_bytes: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    memory_limit_bytes: int = 0  # 0: none
    process_count: int = 0
    oom_kills: int = 0


class Cgroups(Protocol):
    unified: bool

    def create(self, path: str) -> None: ...
    def apply(self, path: str, resources: Resources) -> None: ...
    def usage(self, path: str) -> Usage: ...
    def pids(self, path: str) -> list[int]:
        """Every process in the group and below it, as numbered in our PID namespace."""
        ...

    def kill(self, path: str) -> None:
        """Kills every process in the group and below it, also those that fork meanwhile."""
        ...

    def remove(self, path: str) -> None:
        """Removes the group and all below it. Raises OSError (EBUSY) while a process is left."""
        ...

    def remove_empty(self, path: str) -> None:
        """Removes the group if nothing is below it and no process in it."""
        ...


def detect(root: Path = Path("/sys/fs/cgroup")) -> "Cgroups":
    """The layout of this machine."""
    if (root / "cgroup.controllers").exists():
        return UnifiedCgroups(root)
    return LegacyCgroups(root)


def cpu_weight(shares: int) -> int:
    """cpu.weight (1..10000) for cpu.shares (2..262144), as runc and the kubelet convert."""
    return 1 + ((min(max(shares, 2), 262_144) - 2) * 9999) // 262_142


def _read(path: Path) -> str:
    """The file's text; empty when it or its group is gone."""
    try:
        return path.read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as e:
        if e.errno == errno.ENODEV:  # the group went away between open and read
            return ""
        raise


def _number(path: Path) -> int:
    """The file's number; 0 for `max`, absence, and v1's huge page-rounded "no limit"."""
    text = _read(path)
    value = int(text) if text.lstrip("-").isdigit() else 0
    return value if 0 <= value < 1 << 60 else 0


def _table(path: Path) -> dict[str, int]:
    """A flat keyed file (`memory.stat`, `cpu.stat`, `memory.events`)."""
    pairs = (line.split() for line in _read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _groups(top: Path) -> Iterator[Path]:
    """The group and all below it, children first."""
    for directory, _, _ in os.walk(top, topdown=False):
        yield Path(directory)


def _process_ids(top: Path) -> list[int]:
    # 0 stands for a process outside our PID namespace, which we could not signal anyway.
    return [pid for group in _groups(top) for pid in map(int, _read(group / "cgroup.procs").split()) if pid]


def _remove_empty(group: Path) -> None:
    try:
        group.rmdir()
    except OSError as e:
        if e.errno not in (errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY):
            raise


def _remove_tree(top: Path) -> None:
    for group in _groups(top):
        try:
            group.rmdir()
        except FileNotFoundError:
            continue


class UnifiedCgroups:
    unified = True

    def __init__(self, root: Path) -> None:
        self._root = root

    def _directory(self, path: str) -> Path:
        return self._root / path.strip("/")

    def create(self, path: str) -> None:
        group = self._root
        for part in path.strip("/").split("/"):
            self._delegate(group)
            group = group / part
            group.mkdir(exist_ok=True)

    def _delegate(self, group: Path) -> None:
        """Enables every controller the group has for its children."""
        available = set(_read(group / "cgroup.controllers").split())
        missing = available - set(_read(group / "cgroup.subtree_control").split())
        for controller in sorted(missing):
            try:
                (group / "cgroup.subtree_control").write_text(f"+{controller}")
            except OSError as e:
                # A controller that cannot be passed on here (a process inside, a threaded group) is done without.
                if e.errno not in (errno.EBUSY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT):
                    raise

    def apply(self, path: str, resources: Resources) -> None:
        group = self._directory(path)
        for name, value in unified_settings(resources).items():
            if (group / name).exists():
                (group / name).write_text(value)

    def usage(self, path: str) -> Usage:
        group = self._directory(path)
        stat = _table(group / "memory.stat")
        memory = _number(group / "memory.current")
        return Usage(
            cpu_nanoseconds=_table(group / "cpu.stat").get("usage_usec", 0) * 1000,
            memory_bytes=memory,
            working_set_bytes=max(memory - stat.get("inactive_file", 0), 0),
            rss_bytes=stat.get("anon", 0),
            page_faults=stat.get("pgfault", 0),
            major_page_faults=stat.get("pgmajfault", 0),
            memory_limit_bytes=_number(group / "memory.max"),
            process_count=_number(group / "pids.current"),
            oom_kills=_table(group / "memory.events").get("oom_kill", 0),
        )

    def pids(self, path: str) -> list[int]:
        return _process_ids(self._directory(path))

    def kill(self, path: str) -> None:
        group = self._directory(path)
        try:
            (group / "cgroup.kill").write_text("1")
        except FileNotFoundError:  # gone, or a kernel before 5.14
            _kill_all(group)

    def remove(self, path: str) -> None:
        _remove_tree(self._directory(path))

    def remove_empty(self, path: str) -> None:
        _remove_empty(self._directory(path))


def unified_settings(resources: Resources) -> dict[str, str]:
    """v2 files and values for CRI's LinuxContainerResources."""
    settings: dict[str, str] = {}
    if shares := resources.get("cpu_shares"):
        settings["cpu.weight"] = str(cpu_weight(shares))
    if quota := resources.get("cpu_quota"):
        settings["cpu.max"] = f"{quota if quota > 0 else 'max'} {resources.get('cpu_period') or 100_000}"
    if limit := resources.get("memory_limit_in_bytes"):
        settings["memory.max"] = str(limit) if limit > 0 else "max"
    if cpus := resources.get("cpuset_cpus"):
        settings["cpuset.cpus"] = cpus
    if nodes := resources.get("cpuset_mems"):
        settings["cpuset.mems"] = nodes
    return settings | dict(resources.get("unified") or {})


def legacy_settings(resources: Resources) -> dict[tuple[str, str], str]:
    """v1 (controller, file) and values for CRI's LinuxContainerResources."""
    settings: dict[tuple[str, str], str] = {}
    if shares := resources.get("cpu_shares"):
        settings["cpu", "cpu.shares"] = str(shares)
    if period := resources.get("cpu_period"):
        settings["cpu", "cpu.cfs_period_us"] = str(period)
    if quota := resources.get("cpu_quota"):
        settings["cpu", "cpu.cfs_quota_us"] = str(quota)
    if limit := resources.get("memory_limit_in_bytes"):
        settings["memory", "memory.limit_in_bytes"] = str(limit)
    if cpus := resources.get("cpuset_cpus"):
        settings["cpuset", "cpuset.cpus"] = cpus
    if nodes := resources.get("cpuset_mems"):
        settings["cpuset", "cpuset.mems"] = nodes
    return settings


class LegacyCgroups:
    unified = False

    def __init__(self, root: Path) -> None:
        self._root = root
        # One tree a controller; `cpu` and `cpuacct` may be two names of one. All are made, so that a group means
        # the same in each: runc puts its processes into every one, the systemd and unified trees included.
        self._trees = sorted({tree.resolve() for tree in root.iterdir() if (tree / "cgroup.procs").exists()})
        self._members = root / "pids" if (root / "pids").exists() else self._trees[0]  # where processes are listed

    def _directory(self, controller: str, path: str) -> Path:
        return self._root / controller / path.strip("/")

    def create(self, path: str) -> None:
        for tree in self._trees:
            group = tree
            for part in path.strip("/").split("/"):
                parent, group = group, group / part
                group.mkdir(exist_ok=True)
                for name in ("cpuset.cpus", "cpuset.mems"):  # a new cpuset group is empty and takes no process
                    if (group / name).exists() and not _read(group / name):
                        (group / name).write_text(_read(parent / name))

    def apply(self, path: str, resources: Resources) -> None:
        for (controller, name), value in legacy_settings(resources).items():
            target = self._directory(controller, path) / name
            if target.exists():
                target.write_text(value)

    def usage(self, path: str) -> Usage:
        memory_group = self._directory("memory", path)
        stat = _table(memory_group / "memory.stat")
        memory = _number(memory_group / "memory.usage_in_bytes")
        return Usage(
            cpu_nanoseconds=_number(self._directory("cpuacct", path) / "cpuacct.usage"),
            memory_bytes=memory,
            working_set_bytes=max(memory - stat.get("total_inactive_file", 0), 0),
            rss_bytes=stat.get("total_rss", 0),
            page_faults=stat.get("total_pgfault", 0),
            major_page_faults=stat.get("total_pgmajfault", 0),
            memory_limit_bytes=_number(memory_group / "memory.limit_in_bytes"),
            process_count=_number(self._directory("pids", path) / "pids.current"),
            oom_kills=_table(memory_group / "memory.oom_control").get("oom_kill", 0),
        )

    def pids(self, path: str) -> list[int]:
        return _process_ids(self._members / path.strip("/"))

    def kill(self, path: str) -> None:
        _kill_all(self._members / path.strip("/"))
        # A frozen process takes its SIGKILL only once it is thawed.
        for group in _groups(self._directory("freezer", path)):
            if _read(group / "freezer.state") not in ("", "THAWED"):
                (group / "freezer.state").write_text("THAWED")

    def remove(self, path: str) -> None:
        for tree in self._trees:
            _remove_tree(tree / path.strip("/"))

    def remove_empty(self, path: str) -> None:
        for tree in self._trees:
            _remove_empty(tree / path.strip("/"))


def _kill_all(group: Path) -> None:
    """Kills until none is listed that has not been killed: a fork may escape one round, not all of them."""
    killed: set[int] = set()
    for _ in range(KILL_ROUNDS):
        fresh = set(_process_ids(group)) - killed
        if not fresh:
            return
        for pid in fresh:
            signal_process(pid, signal.SIGKILL)
        killed |= fresh
