"""The directories of local-path volumes, for all nodes of a cluster: nodes share this machine's file system.

A node whose agent is down, or that is gone, needs no help to have its volumes' directories removed.
"""

import asyncio
import shutil
from pathlib import Path

from kaa.cluster.spec import ClusterSpec

EVERYBODY = 0o777
"""Containers run as any user, and a hostPath gets no group of theirs."""


class NodeDirectories:
    """`controllers.local_directories.Directories`. The work is a thread's: a volume may hold a million files."""

    def __init__(self, spec: ClusterSpec) -> None:
        self._spec = spec

    async def make(self, node: str, volume: str) -> None:
        await asyncio.to_thread(_make, self._path(node, volume))

    async def remove(self, node: str, volume: str) -> None:
        await asyncio.to_thread(_remove, self._path(node, volume))

    def _path(self, node: str, volume: str) -> Path:
        if node not in {known.name for known in self._spec.nodes}:
            raise FileNotFoundError(f"no node {node!r} in cluster {self._spec.name}")
        return self._spec.node_volumes(node) / volume


def _make(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(EVERYBODY)


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
