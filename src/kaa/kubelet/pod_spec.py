"""Questions about a pod's spec that the kubelet asks everywhere. Pure.

Terms: an *init container* runs to completion before the next; a *sidecar* is an init container with
`restartPolicy: Always`, which keeps running; *app containers* start when all init containers are done (sidecars:
started); an *ephemeral container* is added to a running pod and never restarted.
"""

import hashlib
from collections.abc import Iterator
from typing import Literal

from kaa.api.objects import Object

ContainerKind = Literal["init", "app", "ephemeral"]

DEFAULT_GRACE_SECONDS = 30
"""spec.terminationGracePeriodSeconds' default, for pods that were never defaulted by an API server."""


def init_containers(pod: Object) -> list[Object]:
    return pod["spec"].get("initContainers") or []


def app_containers(pod: Object) -> list[Object]:
    return pod["spec"].get("containers") or []


def ephemeral_containers(pod: Object) -> list[Object]:
    return pod["spec"].get("ephemeralContainers") or []


def all_containers(pod: Object) -> Iterator[tuple[ContainerKind, Object]]:
    yield from (("init", container) for container in init_containers(pod))
    yield from (("app", container) for container in app_containers(pod))
    yield from (("ephemeral", container) for container in ephemeral_containers(pod))


def container_named(pod: Object, name: str) -> tuple[ContainerKind, Object] | None:
    return next(((kind, c) for kind, c in all_containers(pod) if c["name"] == name), None)


def is_sidecar(container: Object) -> bool:
    """Of an init container: whether it keeps running beside the app containers."""
    return bool(container.get("restartPolicy") == "Always")


def sidecars(pod: Object) -> list[Object]:
    return [container for container in init_containers(pod) if is_sidecar(container)]


def restart_policy(pod: Object) -> str:
    return pod["spec"].get("restartPolicy") or "Always"


def uses_host_network(pod: Object) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def grace_seconds(pod: Object) -> int:
    """How long a pod's containers have to end: what the deletion says, else what the spec says."""
    deletion = pod["metadata"].get("deletionGracePeriodSeconds")
    if deletion is not None:
        return int(deletion)
    spec = pod["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE_SECONDS if spec is None else int(spec)


def container_hash(container: Object) -> str:
    """Changes when the container must be replaced: only its image can be changed in place."""
    identity = f"{container['name']}\n{container.get('image', '')}"
    return hashlib.sha256(identity.encode()).hexdigest()[:8]


def full_name(pod: Object) -> str:
    """`name_namespace(uid)`: how messages name a pod."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"


def is_finished(pod: Object) -> bool:
    """The pod's phase as the API has it is final; no container of it is ever started again."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
