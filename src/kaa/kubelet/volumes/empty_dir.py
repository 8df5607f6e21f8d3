"""emptyDir: a directory that lives and dies with the pod, on the node's disk or in memory."""

from pathlib import Path

from kaa.api.quantity import bytes_of
from kaa.kubelet.volumes.ownership import own
from kaa.kubelet.volumes.volume import Request, VolumeFault

MODE = 0o777
"""Any user of the pod may write, as in upstream."""


async def mount_empty_dir(request: Request) -> Path:
    medium = request.source.get("medium") or ""
    if medium not in ("", "Memory"):
        raise VolumeFault(f"unknown storage medium {medium!r}")
    if not request.directory.exists():
        request.directory.mkdir(parents=True)
        request.directory.chmod(MODE)
    if medium == "Memory":
        request.mounts.tmpfs(request.directory, bytes_of(request.source.get("sizeLimit") or 0))
    own(request.directory, request.pod)
    return request.directory
