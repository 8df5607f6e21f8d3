"""Carrying out what stops things: one container with its hook and grace, or a whole pod in order."""

import asyncio

from kaa.api.objects import Object
from kaa.kubelet.handlers import PROBE_FIELDS, Target, run_hook
from kaa.kubelet.machinery import Machinery
from kaa.kubelet.pod_actions import ProbeKind, stop_waves
from kaa.kubelet.pod_runtime import PodRuntime, RuntimeContainer
from kaa.kubelet.pod_spec import container_named, grace_seconds

MIN_GRACE_SECONDS = 2
"""Given to every container, so that one that ends at once on SIGTERM is not killed instead."""


async def stop_pod(machinery: Machinery, pod: Object, seen: PodRuntime, grace: int) -> None:
    """Returns when nothing of the pod runs. Cancelled and called again with a shorter grace it goes on from there."""
    running = [container for container in seen.containers if container.is_running]
    deadline = machinery.clock.monotonic() + grace
    for wave in stop_waves(pod, running):
        left = max(int(deadline - machinery.clock.monotonic()), 0)
        async with asyncio.TaskGroup() as group:
            for container in wave:
                group.create_task(
                    stop_container(machinery, pod, container, f"Stopping container {container.name}", left)
                )
    for sandbox in seen.sandboxes:
        if sandbox.is_ready:
            await machinery.runtime.stop_pod_sandbox({"pod_sandbox_id": sandbox.id})


async def stop_container(
    machinery: Machinery, pod: Object, container: RuntimeContainer, message: str, grace: int
) -> None:
    machinery.events.container(pod, container.name, "Normal", "Killing", message)
    begun = machinery.clock.monotonic()
    if grace > 0:
        await _pre_stop(machinery, pod, container, grace)
    left = max(grace - int(machinery.clock.monotonic() - begun), MIN_GRACE_SECONDS)
    await machinery.runtime.stop_container({"container_id": container.id, "timeout": left})


async def _pre_stop(machinery: Machinery, pod: Object, container: RuntimeContainer, grace: int) -> None:
    """A hook that fails or takes too long does not keep the container from being stopped."""
    named = container_named(pod, container.name)
    hook = ((named[1].get("lifecycle") or {}).get("preStop") if named is not None else None) or None
    if named is None or hook is None:
        return
    ip = (pod.get("status") or {}).get("podIP") or machinery.options.node_ip
    target = Target(container.id, named[1], ip)
    result = await run_hook(machinery.clock, machinery.handlers, "preStop", target, hook, float(grace))
    if not result.succeeded:
        text = f"PreStopHook failed: {result.output}" if result.output else "PreStopHook failed"
        machinery.events.container(pod, container.name, "Warning", "FailedPreStopHook", text)


def kill_grace(pod: Object, name: str, probe: ProbeKind | None) -> int:
    """A failed probe's own terminationGracePeriodSeconds wins over the pod's."""
    named = container_named(pod, name)
    if probe is not None and named is not None:
        own = (named[1].get(PROBE_FIELDS[probe]) or {}).get("terminationGracePeriodSeconds")
        if own is not None:
            return int(own)
    return grace_seconds(pod)
