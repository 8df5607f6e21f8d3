"""What server and client share of gRPC: the codec of dicts for grpclib, and gRPC's status names."""

from typing import Any

from grpclib.const import Status
from grpclib.encoding.base import CodecBase

STATUS_OF_NAME = {"".join(part.capitalize() for part in status.name.split("_")): status for status in Status}
"""`NotFound` -> Status.NOT_FOUND: how `RuntimeFault.code` says it."""

NAME_OF_STATUS = {status: name for name, status in STATUS_OF_NAME.items()}

MESSAGE_LIMIT_BYTES = 16 * 1024 * 1024
"""The largest message, as upstream's."""


class DictCodec(CodecBase):
    """`message_type` is a `wire.Message`; values are dicts."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message_type.encode(message))

    def decode(self, data: bytes, message_type: Any) -> Any:
        return message_type.decode(data)
