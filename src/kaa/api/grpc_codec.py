"""Dicts over grpclib: its codec for messages that are made of a table (`wire.Message`)."""

from typing import Any

from grpclib.encoding.base import CodecBase


class DictCodec(CodecBase):
    """`message_type` is a `wire.Message`; values are dicts."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message_type.encode(message))

    def decode(self, data: bytes, message_type: Any) -> Any:
        return message_type.decode(data)
