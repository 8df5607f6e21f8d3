"""downwardAPI: the pod's own fields as files, kept up to date."""

from pathlib import Path

from kaa.api.objects import Object
from kaa.kubelet.field_ref import InvalidFieldRef, field_value, resource_value
from kaa.kubelet.volumes.keys import default_mode
from kaa.kubelet.volumes.ownership import fs_group
from kaa.kubelet.volumes.payload import File, write_payload
from kaa.kubelet.volumes.volume import Request, VolumeFault


def downward_payload(request: Request, items: list[Object], mode: int) -> dict[str, File]:
    payload = {}
    for item in items:
        try:
            if ref := item.get("fieldRef"):
                text = field_value(request.facts, ref["fieldPath"])
            else:
                text = resource_value(request.facts, item["resourceFieldRef"])
        except InvalidFieldRef as error:
            raise VolumeFault(str(error)) from error
        own = item.get("mode")
        payload[item["path"]] = File(text.encode(), mode if own is None else own)
    return payload


async def mount_downward_api(request: Request) -> Path:
    payload = downward_payload(request, request.source.get("items") or [], default_mode(request.source))
    request.directory.mkdir(parents=True, exist_ok=True)
    request.mounts.tmpfs(request.directory, 0)
    write_payload(request.directory, payload, request.clock.now(), request.clock.random, fs_group(request.pod))
    return request.directory
