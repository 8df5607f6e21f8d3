"""What the runtime need not keep. Pure.

Of each container the newest is kept, and the one before it: it says how the container last ended. Of sandboxes the
newest is kept, and any that still has a container.
"""

from kaa.kubelet.pod_runtime import PodRuntime

KEPT_PER_CONTAINER = 2


def dead_containers(seen: PodRuntime) -> list[str]:
    """Ids to remove. A running container is never among them."""
    kept: dict[str, int] = {}
    dead = []
    for container in seen.containers:
        kept[container.name] = kept.get(container.name, 0) + 1
        if kept[container.name] > KEPT_PER_CONTAINER and not container.is_running:
            dead.append(container.id)
    return dead


def dead_sandboxes(seen: PodRuntime) -> list[str]:
    removed = set(dead_containers(seen))
    used = {container.sandbox_id for container in seen.containers if container.id not in removed}
    return [sandbox.id for sandbox in seen.sandboxes[1:] if not sandbox.is_ready and sandbox.id not in used]
