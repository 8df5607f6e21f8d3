"""The gRPC health protocol's Check, by hand: one string field in, one enumeration out (grpc.health.v1.Health)."""

import asyncio

from grpclib.client import Channel
from grpclib.const import Cardinality
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError

from kaa.kubelet.handlers import Result

SERVING = 1
STATES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


class RawBytes(CodecBase):
    """Messages that are bytes already."""

    __content_subtype__ = "proto"

    def encode(self, message: bytes, message_type: object) -> bytes:
        return message

    def decode(self, data: bytes, message_type: object) -> bytes:
        return data


async def check_health(host: str, port: int, service: str, timeout_seconds: float) -> Result:
    name = service.encode()
    # HealthCheckRequest.service is field 1, length-delimited; a service name is shorter than 128 bytes.
    message = bytes([0x0A, len(name)]) + name if name else b""
    channel = Channel(host, port, codec=RawBytes())
    try:
        async with asyncio.timeout(timeout_seconds):
            stream = channel.request("/grpc.health.v1.Health/Check", Cardinality.UNARY_UNARY, bytes, bytes)
            async with stream as call:
                await call.send_message(message, end=True)
                answer = await call.recv_message()
    except TimeoutError:
        return Result("failure", f'timeout: failed to connect service "{host}:{port}" within {timeout_seconds:g}s')
    except OSError as error:
        return Result("failure", f'failed to connect service "{host}:{port}": {error}')
    except GRPCError as error:
        return Result("failure", f"error: health rpc failed: {error.message}")
    finally:
        channel.close()
    # HealthCheckResponse.status is field 1, a varint; absent means 0.
    state = answer[1] if answer and len(answer) == 2 and answer[0] == 0x08 else 0
    if state == SERVING:
        return Result("success")
    return Result("failure", f'service unhealthy (responded with "{STATES.get(state, state)}")')
