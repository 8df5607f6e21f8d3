"""What a cluster could leave behind on this machine, as sets that can be compared."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

WATCHED = ("/run", "/var/lib", "/var/log", "/etc", "/opt")
"""Where programs put files outside a home directory; watched two levels deep. /tmp is anybody's: see OURS."""

OURS = ("kaa", "conmon", "runc", "catatonit", "httpd")
"""How the names of our processes, and of files of theirs in /tmp, begin."""


@dataclass(frozen=True)
class Machine:
    links: frozenset[str]
    routes: frozenset[str]
    rules: str
    mounts: frozenset[str]
    cgroups: frozenset[str]
    namespaces: frozenset[str]
    commands: frozenset[str]  # of processes that could be ours
    files: frozenset[str]
    forwarding: str

    @classmethod
    def now(cls) -> "Machine":
        return cls(
            links=frozenset(path.name for path in Path("/sys/class/net").iterdir()),
            routes=frozenset(_lines("ip", "route", "show", "table", "all")),
            rules="\n".join(_lines("nft", "list", "ruleset")),
            mounts=frozenset(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
            cgroups=frozenset(str(p) for p in Path("/sys/fs/cgroup").rglob("*kaa*") if p.is_dir()),
            namespaces=frozenset(_namespaces()),
            commands=frozenset(_commands()),
            files=frozenset(_files()),
            forwarding=Path("/proc/sys/net/ipv4/ip_forward").read_text().strip(),
        )

    def difference(self, other: "Machine") -> dict[str, object]:
        """What differs, by field; empty if nothing does."""
        found: dict[str, object] = {}
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs:
                found[field.name] = mine ^ theirs if isinstance(mine, frozenset) else (mine, theirs)
        return found


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _namespaces() -> Iterator[str]:
    """Those that our processes are in; what else could hold one is a mount."""
    for entry in _commands():
        process = Path("/proc") / entry.split()[0]
        for kind in ("net", "mnt", "pid"):
            try:
                yield str((process / "ns" / kind).readlink())
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it ended while we looked


def _commands() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name.startswith(OURS):
            yield f"{process.name} {name}"


def _files() -> Iterator[str]:
    for top in WATCHED:
        for path in [*Path(top).glob("*"), *Path(top).glob("*/*")]:
            yield str(path)
    yield from (str(path) for path in Path("/tmp").iterdir() if path.name.startswith(OURS))
