"""configMap: its keys as files, kept up to date."""

from pathlib import Path

from kaa.kubelet.volumes.keys import default_mode, keys_payload
from kaa.kubelet.volumes.ownership import fs_group
from kaa.kubelet.volumes.payload import write_payload
from kaa.kubelet.volumes.volume import Request


async def mount_config_map(request: Request) -> Path:
    source = request.source
    payload = await keys_payload(request, "ConfigMap", source.get("name", ""), source, default_mode(source))
    write_payload(request.directory, payload, request.clock.now(), request.clock.random, fs_group(request.pod))
    return request.directory
