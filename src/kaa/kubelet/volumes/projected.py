"""projected: several sources in one directory; the service account's token is one of them.

A token or a key is readable by the one user that all containers run as, or by the fsGroup, or else by everyone.
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
from kaa.kubelet.volumes.trust_bundles import trust_anchors
from kaa.kubelet.volumes.volume import Request, VolumeFault

DEFAULT_EXPIRATION_SECONDS = 3600

Source = Callable[[Request, Object, int, int], Awaitable[dict[str, File]]]
"""(request, what stands under the source's type, the files' mode, the source's place in the volume) -> files."""


async def _config_map(request: Request, source: Object, mode: int, number: int) -> dict[str, File]:
    return await keys_payload(request, "ConfigMap", source.get("name", ""), source, mode)


async def _secret(request: Request, source: Object, mode: int, number: int) -> dict[str, File]:
    return await keys_payload(request, "Secret", source.get("name", ""), source, mode)


async def _downward_api(request: Request, source: Object, mode: int, number: int) -> dict[str, File]:
    return downward_payload(request, source.get("items") or [], mode)


async def _token(request: Request, source: Object, mode: int, number: int) -> dict[str, File]:
    expiration = int(source.get("expirationSeconds") or DEFAULT_EXPIRATION_SECONDS)
    token = await request.tokens.token(request.pod, source.get("audience", ""), expiration)
    return {source["path"]: _private(request, token, mode)}


def _private(request: Request, text: str, mode: int) -> File:
    users = {effective(request.pod, container, "runAsUser") for _, container in all_containers(request.pod)}
    user = users.pop() if len(users) == 1 else None
    private = user is not None or fs_group(request.pod) is not None
    return File(text.encode(), 0o600 if private else mode, user)


async def _trust_bundle(request: Request, source: Object, mode: int, number: int) -> dict[str, File]:
    return {source["path"]: File(await trust_anchors(request, source), mode)}


async def _certificate(request: Request, source: Object, mode: int, number: int) -> dict[str, File]:
    found = await request.certificates.credentials(request, source, number)
    texts = {
        "credentialBundlePath": found.key + found.chain,
        "keyPath": found.key,
        "certificateChainPath": found.chain,
    }
    return {source[field]: _private(request, text, mode) for field, text in texts.items() if source.get(field)}


SOURCES: dict[str, Source] = {
    "configMap": _config_map,
    "secret": _secret,
    "downwardAPI": _downward_api,
    "serviceAccountToken": _token,
    "clusterTrustBundle": _trust_bundle,
    "podCertificate": _certificate,
}


async def mount_projected(request: Request) -> Path:
    payload: dict[str, File] = {}
    for number, projection in enumerate(request.source.get("sources") or ()):
        for field, source in projection.items():
            if field not in SOURCES:
                raise VolumeFault(f"projected volume source {field} is not supported")
            payload |= await SOURCES[field](request, source, default_mode(request.source), number)
    request.directory.mkdir(parents=True, exist_ok=True)
    request.mounts.tmpfs(request.directory, 0)
    write_payload(request.directory, payload, request.clock.now(), request.clock.random, fs_group(request.pod))
    return request.directory
