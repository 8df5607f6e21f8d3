"""Messages of published .proto files (etcd's, OpenAPI v2's): dicts with the .proto's field names, to bytes and back.

Enumerations are names, int64 is int, bytes are bytes. A field at its default may be absent, in both directions: proto3
does not tell the two apart. `generated/<name>.txt` has a block for each message, enumeration and service:

    message Compare                     enum Compare.CompareTarget    service etcdserverpb.Watch
    key 3 bytes                         VERSION 0                     Watch WatchRequest WatchResponse ... stream
    mod_revision 6 int64                CREATE 1

A message is compiled when it is first used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from kaa.api import wire
from kaa.api.wire import MAP, ONCE, REPEATED, Message, ValueType, WireField


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a service: `path` is gRPC's, e.g. /etcdserverpb.KV/Range."""

    name: str
    path: str
    request: str
    response: str
    client_streams: bool = False
    server_streams: bool = False


class Messages:
    """One table: `encode` and `decode` by message name, and the services' methods."""

    def __init__(self, text: str) -> None:
        self._blocks: dict[str, list[str]] = {}
        self._messages: dict[str, Message] = {}
        self._enums: dict[str, ValueType] = {}
        self.services: dict[str, tuple[Method, ...]] = {}
        for block in text.rstrip("\n").split("\n\n"):
            head, *lines = block.split("\n")
            kind, name = head.split(" ")
            if kind == "message":
                self._blocks[name] = lines
            elif kind == "enum":
                self._enums[name] = wire.enum({n: int(v) for n, v in (line.split(" ") for line in lines)})
            else:
                self.services[name.rpartition(".")[2]] = tuple(_method(name, line) for line in lines)

    def encode(self, name: str, value: Mapping[str, Any]) -> bytes:
        return bytes(self.message(name).encode(value))

    def decode(self, name: str, data: bytes) -> dict[str, Any]:
        """Raises ValueError."""
        return self.message(name).decode(data)

    def names(self) -> list[str]:
        return list(self._blocks)

    def message(self, name: str) -> Message:
        """Raises KeyError for a name that is no message."""
        message = self._messages.get(name)
        if message is None:
            lines = self._blocks[name]
            message = self._messages[name] = Message()
            message.define(self._field(*line.split(" ")) for line in lines)
        return message

    def _field(self, name: str, number: str, type_: str) -> WireField:
        if type_.startswith("[]"):
            return WireField(name, int(number), self._type(type_[2:]), REPEATED)
        if type_.startswith("map[string]"):
            element = self._type(type_.removeprefix("map[string]"))
            zero = dict if type_.removeprefix("map[string]") in self._blocks else str
            return WireField(name, int(number), wire.map_entry(wire.STRING, element, zero), MAP)
        return WireField(name, int(number), self._type(type_), ONCE)

    def _type(self, name: str) -> ValueType:
        return wire.SCALARS.get(name) or self._enums.get(name) or self.message(name).type


def _method(service: str, line: str) -> Method:
    name, request, response, *streams = line.split(" ")
    return Method(name, f"/{service}/{name}", request, response, "client-stream" in streams, "stream" in streams)


@cache
def openapi_messages() -> Messages:
    """OpenAPI v2 documents as protobuf (gnostic's)."""
    return Messages(files("kaa.api.generated").joinpath("openapi_v2.txt").read_text())


@cache
def etcd_messages() -> Messages:
    return Messages(files("kaa.api.generated").joinpath("etcd.txt").read_text())
