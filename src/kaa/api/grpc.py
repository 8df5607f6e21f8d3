"""gRPC with dicts: grpclib's codec for messages that are made of a table, and its methods by their names there."""

from typing import Any

from grpclib.client import Channel, StreamStreamMethod, StreamUnaryMethod, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.encoding.base import CodecBase

from kaa.api.messages import Messages

METHOD_TYPES = {
    (False, False): UnaryUnaryMethod,
    (False, True): UnaryStreamMethod,
    (True, False): StreamUnaryMethod,
    (True, True): StreamStreamMethod,
}
"""(whether the client streams, whether the server does) -> grpclib's type."""


class DictCodec(CodecBase):
    """`message_type` is a `wire.Message`; values are dicts."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message_type.encode(message))

    def decode(self, data: bytes, message_type: Any) -> Any:
        return message_type.decode(data)


def method_of(channel: Channel, messages: Messages, name: str) -> Any:
    """grpclib's method for a name such as `KV.Range`, on a channel with a DictCodec."""
    method = messages.method(name)
    type_: Any = METHOD_TYPES[method.client_streams, method.server_streams]
    return type_(channel, method.path, messages.message(method.request), messages.message(method.response))
