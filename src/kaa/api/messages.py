"""Messages of published .proto files (etcd's, CRI's, OpenAPI v2's): dicts with the .proto's names, to bytes and back.

Enumerations are names, int64 is int, bytes are bytes. A field at its default may be absent, in both directions: proto3
does not tell the two apart; `completed` puts it back. `generated/<name>.txt`, written by `tools/generate_messages.py`,
has a block for each message, enumeration and service:

    message Compare                     enum Compare.CompareTarget    service etcdserverpb.Watch
    key 3 bytes                         VERSION 0                     Watch WatchRequest WatchResponse ... stream
    mod_revision 6 int64                CREATE 1

A process loads the tables that it needs, and a message is compiled when it is first used.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from kaa.api import wire
from kaa.api.wire import MAP, ONCE, REPEATED, Message, ValueType, WireField

TEXT_OR_BYTES = wire.converted(wire.RAW_BYTES, bytes, lambda value: value.encode() if isinstance(value, str) else value)
"""Where the .proto says bytes, a str means its UTF-8: some fields were strings before, and people write them so."""

SCALARS = {**wire.SCALARS, "bytes": TEXT_OR_BYTES}

ZEROS: dict[str, Callable[[], Any]] = {"string": str, "bytes": bytes, "bool": bool, "double": float, "float": float}
"""The value that absence means, by type; of the other scalars it is int's."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a service: `path` is gRPC's, e.g. /etcdserverpb.KV/Range."""

    name: str
    path: str
    request: str
    response: str
    client_streams: bool = False
    server_streams: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A message's fields as Python sees them: the zero value of each, or the name of the message that it holds."""

    zeros: dict[str, Callable[[], Any]]
    inner: dict[str, str]


class Messages:
    """One table: `encode` and `decode` by message name, and the services' methods."""

    def __init__(self, text: str) -> None:
        self._blocks: dict[str, list[str]] = {}
        self._messages: dict[str, Message] = {}
        self._shapes: dict[str, Shape] = {}
        self._enums: dict[str, ValueType] = {}
        self._first_names: dict[str, str] = {}  # of each enumeration: what absence means
        self.services: dict[str, dict[str, Method]] = {}
        for block in text.rstrip("\n").split("\n\n"):
            head, *lines = block.split("\n")
            kind, name = head.split(" ")
            if kind == "message":
                self._blocks[name] = lines
            elif kind == "enum":
                self._enums[name] = wire.enum({n: int(v) for n, v in (line.split(" ") for line in lines)})
                self._first_names[name] = lines[0].split(" ")[0]
            else:
                methods = [_method(name, line) for line in lines]
                self.services[name.rpartition(".")[2]] = {method.name: method for method in methods}

    def encode(self, name: str, value: Mapping[str, Any]) -> bytes:
        return bytes(self.message(name).encode(value))

    def decode(self, name: str, data: bytes) -> dict[str, Any]:
        """Raises ValueError."""
        return self.message(name).decode(data)

    def names(self) -> list[str]:
        return list(self._blocks)

    def method(self, name: str) -> Method:
        """`KV.Range`. Raises KeyError."""
        service, _, method = name.partition(".")
        return self.services[service][method]

    def message(self, name: str) -> Message:
        """Raises KeyError for a name that is no message."""
        message = self._messages.get(name)
        if message is None:
            lines = self._blocks[name]
            message = self._messages[name] = Message()
            message.define(self._field(*line.split(" ")) for line in lines)
        return message

    def completed(self, name: str, value: dict[str, Any]) -> dict[str, Any]:
        """The same dict with every scalar, enumeration, list and map in it; messages that are absent stay so."""
        shape = self._shape(name)
        for field, inner in shape.inner.items():
            found = value.get(field)
            for each in found if isinstance(found, list) else [found] if found is not None else []:
                self.completed(inner, each)
        for field, zero in shape.zeros.items():
            if field not in value:
                value[field] = zero()
        return value

    def _shape(self, name: str) -> Shape:
        shape = self._shapes.get(name)
        if shape is None:
            shape = self._shapes[name] = Shape({}, {})
            for field, _, type_ in (line.split(" ") for line in self._blocks[name]):
                element = type_.removeprefix("[]")
                if element in self._blocks:
                    shape.inner[field] = element
                if type_ not in self._blocks:
                    shape.zeros[field] = self._zero(type_)
        return shape

    def _zero(self, type_: str) -> Callable[[], Any]:
        if type_.startswith("[]"):
            return list
        if type_.startswith("map["):
            return dict
        if type_ in self._first_names:
            first = self._first_names[type_]
            return lambda: first
        return ZEROS.get(type_, int)

    def _field(self, name: str, number: str, type_: str) -> WireField:
        if type_.startswith("[]"):
            return WireField(name, int(number), self._type(type_[2:]), REPEATED)
        if type_.startswith("map[string]"):
            element = type_.removeprefix("map[string]")
            zero = dict if element in self._blocks else self._zero(element)
            return WireField(name, int(number), wire.map_entry(wire.STRING, self._type(element), zero), MAP)
        return WireField(name, int(number), self._type(type_), ONCE)

    def _type(self, name: str) -> ValueType:
        return SCALARS.get(name) or self._enums.get(name) or self.message(name).type


def _method(service: str, line: str) -> Method:
    name, request, response, *streams = line.split(" ")
    return Method(name, f"/{service}/{name}", request, response, "client-stream" in streams, "stream" in streams)


def _table(name: str) -> Messages:
    return Messages(files("kaa.api.generated").joinpath(name).read_text())


@cache
def openapi_messages() -> Messages:
    """OpenAPI v2 documents as protobuf (gnostic's)."""
    return _table("openapi_v2.txt")


@cache
def etcd_messages() -> Messages:
    """What the store calls of etcd's v3 API."""
    return _table("etcd.txt")


@cache
def cri_messages() -> Messages:
    """What the kubelet calls, and the runtime serves, of CRI v1."""
    return _table("cri.txt")
