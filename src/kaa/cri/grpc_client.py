"""CRI's services over a unix socket: containerd's, CRI-O's, or our own in another process."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from kaa.api.grpc import DictCodec, method_of
from kaa.api.messages import cri_messages
from kaa.cri.cri import Message, RuntimeFault
from kaa.cri.grpc_status import NAME_OF_STATUS

CALL_TIMEOUT_SECONDS = 120.0
"""As the kubelet's --runtime-request-timeout."""

UNBOUNDED = frozenset({"PullImage"})
"""Calls that may take as long as they take; whoever calls cancels them."""


GONE_IS_DONE = ("Stop", "Remove")
"""Beginnings of calls that succeed on what is gone; containerd says NotFound for some of them."""


class _Client:
    service = ""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def _call(self, name: str, request: Message, extra_seconds: float = 0.0) -> Message:
        """Raises RuntimeFault, with the code Unavailable when nobody answers at the socket."""
        timeout_seconds = None if name in UNBOUNDED else CALL_TIMEOUT_SECONDS + extra_seconds
        try:
            async with asyncio.timeout(timeout_seconds):
                reply: Message = await self._method(name)(request)
        except GRPCError as e:
            if e.status is Status.NOT_FOUND and name.startswith(GONE_IS_DONE):
                return {}
            raise RuntimeFault(NAME_OF_STATUS[e.status], e.message or "") from e
        except TimeoutError as e:
            raise RuntimeFault("DeadlineExceeded", f"{name}: no answer within {timeout_seconds:g}s") from e
        except (OSError, StreamTerminatedError) as e:
            raise RuntimeFault("Unavailable", f"connection error: {e}") from e
        return self._completed(name, reply)

    async def _stream(self, name: str, request: Message) -> AsyncIterator[Message]:
        try:
            async with self._method(name).open() as stream:
                await stream.send_message(request, end=True)
                async for reply in stream:
                    yield self._completed(name, reply)
        except GRPCError as e:
            raise RuntimeFault(NAME_OF_STATUS[e.status], e.message or "") from e
        except (OSError, StreamTerminatedError) as e:
            raise RuntimeFault("Unavailable", f"connection error: {e}") from e

    def _method(self, name: str) -> Any:
        return method_of(self._channel, cri_messages(), f"{self.service}.{name}")

    def _completed(self, name: str, reply: Message) -> Message:
        """A peer may leave out fields of value zero; a caller need not know who answered."""
        messages = cri_messages()
        return messages.completed(messages.method(f"{self.service}.{name}").response, reply)


def connect(path: str) -> Channel:
    """A channel to the socket, for both clients. It connects at the first call, and again when it has broken."""
    return Channel(path=path, codec=DictCodec())


class RuntimeClient(_Client):
    """The RuntimeService behind a channel."""

    service = "RuntimeService"

    async def version(self, request: Message) -> Message:
        return await self._call("Version", request)

    async def run_pod_sandbox(self, request: Message) -> Message:
        return await self._call("RunPodSandbox", request)

    async def stop_pod_sandbox(self, request: Message) -> Message:
        return await self._call("StopPodSandbox", request)

    async def remove_pod_sandbox(self, request: Message) -> Message:
        return await self._call("RemovePodSandbox", request)

    async def pod_sandbox_status(self, request: Message) -> Message:
        return await self._call("PodSandboxStatus", request)

    async def list_pod_sandbox(self, request: Message) -> Message:
        return await self._call("ListPodSandbox", request)

    async def update_pod_sandbox_resources(self, request: Message) -> Message:
        return await self._call("UpdatePodSandboxResources", request)

    async def create_container(self, request: Message) -> Message:
        return await self._call("CreateContainer", request)

    async def start_container(self, request: Message) -> Message:
        return await self._call("StartContainer", request)

    async def stop_container(self, request: Message) -> Message:
        return await self._call("StopContainer", request, float(request.get("timeout", 0)))

    async def remove_container(self, request: Message) -> Message:
        return await self._call("RemoveContainer", request)

    async def list_containers(self, request: Message) -> Message:
        return await self._call("ListContainers", request)

    async def container_status(self, request: Message) -> Message:
        return await self._call("ContainerStatus", request)

    async def update_container_resources(self, request: Message) -> Message:
        return await self._call("UpdateContainerResources", request)

    async def reopen_container_log(self, request: Message) -> Message:
        return await self._call("ReopenContainerLog", request)

    async def exec_sync(self, request: Message) -> Message:
        return await self._call("ExecSync", request, float(request.get("timeout", 0)))

    async def exec(self, request: Message) -> Message:
        return await self._call("Exec", request)

    async def attach(self, request: Message) -> Message:
        return await self._call("Attach", request)

    async def port_forward(self, request: Message) -> Message:
        return await self._call("PortForward", request)

    async def container_stats(self, request: Message) -> Message:
        return await self._call("ContainerStats", request)

    async def list_container_stats(self, request: Message) -> Message:
        return await self._call("ListContainerStats", request)

    async def pod_sandbox_stats(self, request: Message) -> Message:
        return await self._call("PodSandboxStats", request)

    async def list_pod_sandbox_stats(self, request: Message) -> Message:
        return await self._call("ListPodSandboxStats", request)

    async def update_runtime_config(self, request: Message) -> Message:
        return await self._call("UpdateRuntimeConfig", request)

    async def status(self, request: Message) -> Message:
        return await self._call("Status", request)

    def get_container_events(self, request: Message) -> AsyncIterator[Message]:
        return self._stream("GetContainerEvents", request)


class ImageClient(_Client):
    """The ImageService behind a channel."""

    service = "ImageService"

    async def list_images(self, request: Message) -> Message:
        return await self._call("ListImages", request)

    async def image_status(self, request: Message) -> Message:
        return await self._call("ImageStatus", request)

    async def pull_image(self, request: Message) -> Message:
        return await self._call("PullImage", request)

    async def remove_image(self, request: Message) -> Message:
        return await self._call("RemoveImage", request)

    async def image_fs_info(self, request: Message) -> Message:
        return await self._call("ImageFsInfo", request)
