"""projected: several sources in one directory; the service account's token is one of them.

A token file is readable by the one user that all containers run as, or by the fsGroup, or else by everyone.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from kaa.api.objects import Object
from kaa.kubelet.pod_spec import all_containers
from kaa.kubelet.security_context import effective
from kaa.kubelet.volumes.downward_api import downward_payload
from kaa.kubelet.volumes.keys import default_mode, keys_payload
from kaa.kubelet.volumes.ownership import fs_group
from kaa.kubelet.volumes.payload import File, write_payload
from kaa.kubelet.volumes.volume import Request, VolumeFault

DEFAULT_EXPIRATION_SECONDS = 3600

Source = Callable[[Request, Object, int], Awaitable[dict[str, File]]]


async def _config_map(request: Request, source: Object, mode: int) -> dict[str, File]:
    return await keys_payload(request, "ConfigMap", source.get("name", ""), source, mode)


async def _secret(request: Request, source: Object, mode: int) -> dict[str, File]:
    return await keys_payload(request, "Secret", source.get("name", ""), source, mode)


async def _downward_api(request: Request, source: Object, mode: int) -> dict[str, File]:
    return downward_payload(request, source.get("items") or [], mode)


async def _token(request: Request, source: Object, mode: int) -> dict[str, File]:
    expiration = int(source.get("expirationSeconds") or DEFAULT_EXPIRATION_SECONDS)
    token = await request.tokens.token(request.pod, source.get("audience", ""), expiration)
    users = {effective(request.pod, container, "runAsUser") for _, container in all_containers(request.pod)}
    user = users.pop() if len(users) == 1 else None
    private = user is not None or fs_group(request.pod) is not None
    return {source["path"]: File(token.encode(), 0o600 if private else mode, user)}


SOURCES: dict[str, Source] = {
    "configMap": _config_map,
    "secret": _secret,
    "downwardAPI": _downward_api,
    "serviceAccountToken": _token,
}


async def mount_projected(request: Request) -> Path:
    payload: dict[str, File] = {}
    for projection in request.source.get("sources") or ():
        for field, source in projection.items():
            if field not in SOURCES:
                raise VolumeFault(f"projected volume source {field} is not supported")
            payload |= await SOURCES[field](request, source, default_mode(request.source))
    request.directory.mkdir(parents=True, exist_ok=True)
    request.mounts.tmpfs(request.directory, 0)
    write_payload(request.directory, payload, request.clock.now(), request.clock.random, fs_group(request.pod))
    return request.directory
