"""Reading the runtime: one pod in full, or all pods in outline, as `PodRuntime` values."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from kaa.cri.cri import Message, RuntimeFault, RuntimeService
from kaa.kubelet import pod_runtime
from kaa.kubelet.log_format import tail_text
from kaa.kubelet.pod_runtime import PodRuntime, container_of, newest_first, sandbox_of

MAX_MESSAGE_BYTES = 4096
"""Of a termination message file; more is cut off, as upstream."""
FALLBACK_LINES, FALLBACK_BYTES = 80, 2048
"""Of the log, for terminationMessagePolicy FallbackToLogsOnError."""


class RuntimeView:
    def __init__(self, runtime: RuntimeService) -> None:
        self._runtime = runtime

    async def pod(self, uid: str) -> PodRuntime:
        """Everything about one pod. What vanishes while we look is left out. Raises RuntimeFault."""
        chosen = {"filter": {"label_selector": {pod_runtime.POD_UID_LABEL: uid}}}
        sandbox_items = (await self._runtime.list_pod_sandbox(chosen)).get("items") or []
        container_items = (await self._runtime.list_containers(chosen)).get("containers") or []
        sandboxes = [
            sandbox_of(status)
            for item in sandbox_items
            if (status := await _status(self._runtime.pod_sandbox_status, {"pod_sandbox_id": item["id"]}))
        ]
        containers = [
            container_of(status, item.get("pod_sandbox_id", ""), termination_message(status))
            for item in container_items
            if (status := await _status(self._runtime.container_status, {"container_id": item["id"]}))
        ]
        labels = (sandbox_items or container_items or [{}])[0].get("labels") or {}
        annotations = (sandbox_items or [{}])[0].get("annotations") or {}
        grace = annotations.get(pod_runtime.GRACE_ANNOTATION, "")
        return newest_first(
            uid,
            labels.get(pod_runtime.POD_NAME_LABEL, ""),
            labels.get(pod_runtime.POD_NAMESPACE_LABEL, ""),
            sandboxes,
            containers,
            int(grace) if grace.isdigit() else None,
        )

    async def outline(self) -> dict[str, frozenset[tuple[str, str]]]:
        """By pod uid: id and state of each of its sandboxes and containers. Equal outlines: nothing has happened."""
        found: dict[str, set[tuple[str, str]]] = {}
        for item in (await self._runtime.list_pod_sandbox({})).get("items") or ():
            found.setdefault(_uid(item), set()).add((item["id"], item.get("state", "SANDBOX_READY")))
        for item in (await self._runtime.list_containers({})).get("containers") or ():
            found.setdefault(_uid(item), set()).add((item["id"], item.get("state", "CONTAINER_CREATED")))
        return {uid: frozenset(entries) for uid, entries in found.items() if uid}


async def _status(call: Callable[[Message], Awaitable[Message]], request: Message) -> Message | None:
    try:
        status: Message = (await call(request))["status"]
    except RuntimeFault as fault:
        if fault.code != "NotFound":
            raise
        return None
    return status


def _uid(item: Message) -> str:
    uid: str = (item.get("labels") or {}).get(pod_runtime.POD_UID_LABEL, "")
    return uid


def termination_message(status: Message) -> str:
    """What an ended container left in its termination log, or at the end of its log if the policy says so."""
    if status.get("state") != "CONTAINER_EXITED":
        return ""
    annotations = status.get("annotations") or {}
    path = annotations.get(pod_runtime.TERMINATION_PATH_ANNOTATION)
    mount = next((m for m in status.get("mounts") or () if m.get("container_path") == path), None)
    text = _read_start(Path(mount["host_path"])) if mount is not None else ""
    policy = annotations.get(pod_runtime.TERMINATION_POLICY_ANNOTATION)
    if not text and policy == "FallbackToLogsOnError" and status.get("exit_code", 0) != 0:
        return tail_text(Path(status.get("log_path", "")), FALLBACK_LINES, FALLBACK_BYTES)
    return text


def _read_start(path: Path) -> str:
    """The container may have put anything there: only a regular file is read, and no link is followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MAX_MESSAGE_BYTES).decode(errors="replace")
