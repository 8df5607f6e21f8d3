"""Carrying out what resizes a running pod: its containers' limits, and its own."""

from kaa.cri.cri import Message, RuntimeFault
from kaa.kubelet.machinery import Machinery
from kaa.kubelet.pod_actions import ResizeContainer


async def resize_container(machinery: Machinery, action: ResizeContainer) -> None:
    """Raises RuntimeFault."""
    if (limit := action.linux.get("memory_limit_in_bytes", 0)) > 0:
        await _check_usage(machinery, action, limit)
    await machinery.runtime.update_container_resources({"container_id": action.id, "linux": action.linux})


async def _check_usage(machinery: Machinery, action: ResizeContainer, limit_bytes: int) -> None:
    """The kernel would end a container that uses more than its new limit. Raises RuntimeFault."""
    stats = (await machinery.runtime.container_stats({"container_id": action.id})).get("stats") or {}
    usage = ((stats.get("memory") or {}).get("working_set_bytes") or {}).get("value", 0)
    if usage >= limit_bytes:
        message = (
            f'attempting to set container "{action.name}" memory limit ({limit_bytes}) below current usage ({usage})'
        )
        raise RuntimeFault("FailedPrecondition", message)


async def resize_sandbox(machinery: Machinery, sandbox_id: str, linux: Message) -> None:
    """Raises RuntimeFault. A runtime that leaves the pod's cgroup alone has not limited it either."""
    try:
        await machinery.runtime.update_pod_sandbox_resources({"pod_sandbox_id": sandbox_id, "resources": linux})
    except RuntimeFault as fault:
        if fault.code != "Unimplemented":
            raise
