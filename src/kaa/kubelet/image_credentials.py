"""Registry credentials for an image, from a pod's imagePullSecrets. Pure."""

import base64
import binascii
from collections.abc import Iterable

import orjson

from kaa.api.objects import Object
from kaa.cri.cri import Message
from kaa.kubelet.environment import decoded

DOCKER_HUB = "docker.io"
DOCKER_HUB_NAMES = (DOCKER_HUB, "index.docker.io", "registry-1.docker.io")


def registry_of(image: str) -> str:
    """The registry's host: what stands before the first slash, if it looks like a host."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else DOCKER_HUB


def credentials(image: str, secrets: Iterable[Object]) -> list[Message]:
    """CRI's AuthConfigs to try in turn, the one with the longest matching path first."""
    found: list[tuple[int, Message]] = []
    for secret in secrets:
        for address, entry in _registries(secret).items():
            place = address.removeprefix("https://").removeprefix("http://").rstrip("/")
            host, _, path = place.partition("/")
            if path in ("v1", "v2"):
                path = ""
            if _matches(image, host, path):
                found.append((len(path), _auth_config(entry) | {"server_address": host}))
    return [auth for _, auth in sorted(found, key=lambda pair: -pair[0])]


def _matches(image: str, host: str, path: str) -> bool:
    registry = registry_of(image)
    same = host == registry or (host in DOCKER_HUB_NAMES and registry in DOCKER_HUB_NAMES)
    repository = image.partition("/")[2] if image.startswith(f"{registry}/") else image
    return same and (not path or repository == path or repository.startswith(f"{path}/"))


def _registries(secret: Object) -> dict[str, Object]:
    """Empty for a secret that is not readable as what its type says: the pull then fails with the registry's answer."""
    data = decoded(secret)
    try:
        if ".dockerconfigjson" in data:
            return dict(orjson.loads(data[".dockerconfigjson"]).get("auths") or {})
        return dict(orjson.loads(data.get(".dockercfg", b"{}")))
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return {}


def _auth_config(entry: Object) -> Message:
    username, password = entry.get("username", ""), entry.get("password", "")
    if not username and entry.get("auth"):
        try:
            username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return {"auth": entry["auth"]}
    return {"username": username, "password": password, "identity_token": entry.get("identitytoken", "")}
