"""secret: its keys as files in memory, kept up to date. Never written to a disk."""

from pathlib import Path

from kaa.kubelet.volumes.keys import default_mode, keys_payload
from kaa.kubelet.volumes.ownership import fs_group
from kaa.kubelet.volumes.payload import write_payload
from kaa.kubelet.volumes.volume import Request


async def mount_secret(request: Request) -> Path:
    source = request.source
    payload = await keys_payload(request, "Secret", source.get("secretName", ""), source, default_mode(source))
    request.directory.mkdir(parents=True, exist_ok=True)
    request.mounts.tmpfs(request.directory, 0)
    write_payload(request.directory, payload, request.clock.now(), request.clock.random, fs_group(request.pod))
    return request.directory
