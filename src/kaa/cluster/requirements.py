"""What a machine must have before a cluster can run on it."""

import os
import shutil
from collections.abc import Callable, Iterable

from kaa.cluster.spec import ClusterError

PACKAGES = {
    "runc": "runc",
    "conmon": "conmon",
    "catatonit": "catatonit",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
"""Program -> the Debian package that has it."""


def missing_packages(which: Callable[[str], str | None] = shutil.which) -> list[str]:
    """Packages to install, in the table's order."""
    return [package for program, package in PACKAGES.items() if which(program) is None]


def check(user_id: int, missing: Iterable[str]) -> None:
    """Raises ClusterError naming what is missing and the command that mends it."""
    if user_id != 0:
        raise ClusterError("a cluster needs root (namespaces, mounts, nftables): run it again with sudo")
    if packages := list(missing):
        command = f"apt-get install -y {' '.join(packages)}"
        raise ClusterError(f"missing system packages: {', '.join(packages)}; install them with: {command}")


def check_machine() -> None:
    """`check` of this process and machine."""
    check(os.geteuid(), missing_packages())
