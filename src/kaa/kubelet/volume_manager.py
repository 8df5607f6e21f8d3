"""A pod's volumes as a whole: mounts them all, says what is wrong with each, and takes everything away again.

Directories: `<root>/pods/<uid>/volumes/<plugin>/<name>`, as upstream's, so that nothing a pod leaves behind lies
elsewhere. `subPath` is resolved inside its volume: neither `..` nor a symbolic link may lead out of it.
"""

import os
import shutil
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.kubelet.environment import ConfigError, Objects
from kaa.kubelet.expansion import expand
from kaa.kubelet.field_ref import PodFacts
from kaa.kubelet.volumes import VOLUMES
from kaa.kubelet.volumes.pod_certificates import PodCertificates
from kaa.kubelet.volumes.tokens import TokenSource
from kaa.kubelet.volumes.volume import Mounts, Request, VolumeFault, told
from kaa.lib import mounts as mount_calls
from kaa.lib.clock import Clock


class LinuxMounts:
    """The kernel's mount table."""

    def tmpfs(self, target: Path, size_bytes: int) -> None:
        if not mount_calls.is_mount_point(target):
            mount_calls.mount_tmpfs(target, size_bytes=size_bytes)

    def detach_below(self, directory: Path) -> None:
        for point in mount_calls.mount_points_below(directory):
            mount_calls.unmount(point)
        mount_calls.unmount(directory)


@dataclass(frozen=True, slots=True)
class MountedVolumes:
    """Paths on the node by volume name, and what is wrong with the others, as event messages."""

    paths: dict[str, Path]
    faults: list[str]


class VolumeManager:
    def __init__(
        self, root: Path, client: Client, objects: Objects, mounts: Mounts, clock: Clock, node_files: Path = Path("/")
    ) -> None:
        self._root = root
        self._client = client
        self._objects = objects
        self._mounts = mounts
        self._clock = clock
        self._node_files = node_files
        self._tokens = TokenSource(client, clock)
        self._certificates = PodCertificates(client, clock)

    def pod_directory(self, uid: str) -> Path:
        return self._root / "pods" / uid

    async def mount(self, facts: PodFacts) -> MountedVolumes:
        """Mounts what is not mounted, and brings the rest up to date."""
        paths: dict[str, Path] = {}
        faults: list[str] = []
        for spec in facts.pod["spec"].get("volumes") or ():
            if "image" in spec:
                continue  # the runtime mounts it, when it makes the container
            try:
                paths[spec["name"]] = await self._mount_one(facts, spec)
            except (VolumeFault, APIError, TransportError, OSError) as fault:
                faults.append(f'MountVolume.SetUp failed for volume "{spec["name"]}" : {told(fault)}')
        return MountedVolumes(paths, faults)

    async def _mount_one(self, facts: PodFacts, spec: Object) -> Path:
        row = next((row for row in VOLUMES if row.field in spec), None)
        if row is None:
            # The API's default for a volume that names no source at all.
            kinds = sorted(spec.keys() - {"name"}) or ["emptyDir"]
            raise VolumeFault(f"volumes of type {kinds[0]} are not supported")
        directory = self.pod_directory(facts.pod["metadata"]["uid"]) / "volumes" / row.plugin / spec["name"]
        request = Request(
            pod=facts.pod,
            name=spec["name"],
            source=spec[row.field],
            directory=directory,
            facts=facts,
            objects=self._objects,
            client=self._client,
            tokens=self._tokens,
            certificates=self._certificates,
            mounts=self._mounts,
            clock=self._clock,
            node_files=self._node_files,
        )
        return await row.mount(request)

    def unmount(self, uid: str) -> None:
        """Takes away all that the pod has on this node. Twice is once."""
        self._tokens.forget(uid)
        self._certificates.forget(uid)
        directory = self.pod_directory(uid)
        if directory.exists():
            self._mounts.detach_below(directory)
            shutil.rmtree(directory)

    def pods_on_disk(self) -> set[str]:
        directory = self._root / "pods"
        return {entry.name for entry in directory.iterdir()} if directory.exists() else set()


def mount_sources(
    container: Object, volumes: dict[str, Path], variables: dict[str, str], images: Container[str] = ()
) -> dict[str, Path]:
    """Host paths by mount path for one container, but for volumes that are `images`. Raises ConfigError.

    subPaths are made if missing.
    """
    sources: dict[str, Path] = {}
    for mount in container.get("volumeMounts") or ():
        if mount["name"] in images:
            continue
        if mount["name"] not in volumes:
            raise ConfigError(f'volume "{mount["name"]}" is not mounted')
        sub_path = mount.get("subPath") or expand(mount.get("subPathExpr") or "", variables)
        base = volumes[mount["name"]]
        sources[mount["mountPath"]] = _inside(base, sub_path) if sub_path else base
    return sources


def _inside(base: Path, sub_path: str) -> Path:
    if sub_path.startswith("/") or ".." in sub_path.split("/"):
        raise ConfigError(f"failed to create subPath directory for volumeMount: invalid subPath {sub_path!r}")
    real_base = Path(os.path.realpath(base))
    path = Path(os.path.realpath(real_base / sub_path))
    if not path.is_relative_to(real_base):
        raise ConfigError(f"subPath {sub_path!r} leads out of its volume")
    if not path.exists():
        mode = real_base.stat().st_mode & 0o7777
        path.mkdir(parents=True)
        path.chmod(mode)
    return path
