"""CRI over a unix socket: both services of our runtime for whoever speaks gRPC (a kubelet, crictl)."""

import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from grpclib.const import Cardinality, Handler
from grpclib.exceptions import GRPCError
from grpclib.server import Server

from kaa.api.grpc import DictCodec
from kaa.api.messages import Method, cri_messages
from kaa.cri.cri import ImageService, RuntimeFault, RuntimeService
from kaa.cri.grpc_status import STATUS_OF_NAME


class _Service:
    """What grpclib wants of a service: a handler by path."""

    def __init__(self, name: str, implementation: object) -> None:
        self._handlers = {
            method.path: _handler(method, getattr(implementation, snake_case(method.name)))
            for method in cri_messages().services[name].values()
        }

    def __mapping__(self) -> dict[str, Handler]:
        return self._handlers


def snake_case(name: str) -> str:
    """`ListPodSandbox` -> `list_pod_sandbox`: a call's name as our method's."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _handler(method: Method, serve: Callable[[Any], Any]) -> Handler:
    handle = _streaming(serve) if method.server_streams else _unary(serve)
    cardinality = Cardinality.UNARY_STREAM if method.server_streams else Cardinality.UNARY_UNARY
    # grpclib takes the codec's messages for types.
    request: Any = cri_messages().message(method.request)
    reply: Any = cri_messages().message(method.response)
    return Handler(handle, cardinality, request, reply)


def _unary(method: Callable[[Any], Any]) -> Callable[[Any], Awaitable[None]]:
    async def handle(stream: Any) -> None:
        request = await stream.recv_message()
        try:
            await stream.send_message(await method(request))
        except RuntimeFault as fault:
            raise GRPCError(STATUS_OF_NAME[fault.code], fault.message) from fault

    return handle


def _streaming(method: Callable[[Any], Any]) -> Callable[[Any], Awaitable[None]]:
    async def handle(stream: Any) -> None:
        request = await stream.recv_message()
        async for message in method(request):
            await stream.send_message(message)

    return handle


async def serve(runtime: RuntimeService, images: ImageService, path: Path) -> None:
    """Serves at the socket until cancelled. Only root may connect."""
    server = Server([_Service("RuntimeService", runtime), _Service("ImageService", images)], codec=DictCodec())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        await server.start(path=str(path))
    finally:
        os.umask(before)
    try:
        await server.wait_closed()
    finally:
        path.unlink(missing_ok=True)
        server.close()
        await server.wait_closed()
