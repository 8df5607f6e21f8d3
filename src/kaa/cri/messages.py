"""CRI's messages on the wire, made of the table in `generated/messages.txt` when first used.

proto3 leaves fields of value zero out, so a peer's reply may lack any; `Call.completed` puts them back, and a caller
need not know who answered.

The table's lines: `rpc SERVICE.CALL REQUEST REPLY [stream]`, `message NAME` followed by `FIELD NUMBER TYPE` (`[]T` is
repeated, `map[string]T` a map), `enum NAME` followed by `VALUE NUMBER`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from kaa.api import wire
from kaa.api.wire import MAP, ONCE, RAW_BYTES, REPEATED, SCALARS, STRING, Message, ValueType, WireField

PACKAGE = "runtime.v1"

_ZEROS: dict[str, Callable[[], Any]] = {"string": str, "bytes": bytes, "bool": bool, "double": float}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a service. `streams`: it answers with any number of messages.

    The messages are `wire.Message`s, which grpclib takes for types.
    """

    service: str
    name: str
    request: Any
    reply: Any
    streams: bool
    reply_shape: "Shape"

    @property
    def path(self) -> str:
        return f"/{PACKAGE}.{self.service}/{self.name}"

    def completed(self, reply: dict[str, Any]) -> dict[str, Any]:
        """The reply with every scalar, enumeration, list and map in it; messages that are absent stay so."""
        return self.reply_shape.completed(reply)


class Shape:
    """A message's fields as Python sees them: the zero value of each, or the shape of the message it holds."""

    def __init__(self) -> None:
        self.zeros: dict[str, Callable[[], Any]] = {}
        self.inner: dict[str, Shape] = {}

    def completed(self, message: dict[str, Any]) -> dict[str, Any]:
        for name, shape in self.inner.items():
            value = message.get(name)
            for each in value if isinstance(value, list) else [value] if value is not None else []:
                shape.completed(each)
        for name, zero in self.zeros.items():
            if name not in message:
                message[name] = zero()
        return message


@cache
def calls() -> dict[str, Call]:
    """Every call, by its name."""
    return _Table((files("kaa.cri.generated") / "messages.txt").read_text()).calls


class _Table:
    def __init__(self, text: str) -> None:
        rpcs: list[list[str]] = []
        blocks: list[tuple[str, str, list[list[str]]]] = []
        for line in text.splitlines():
            words = line.split()
            if words[0] == "rpc":
                rpcs.append(words[1:])
            elif words[0] in ("message", "enum") and len(words) == 2:
                blocks.append((words[0], words[1], []))
            else:
                blocks[-1][2].append(words)
        self._messages = {name: Message() for kind, name, _ in blocks if kind == "message"}
        # Where the .proto says bytes, a str means its UTF-8: the field was a string before, and people write it so.
        given = wire.converted(RAW_BYTES, bytes, lambda value: value.encode() if isinstance(value, str) else value)
        self._types: dict[str, ValueType] = {**SCALARS, "bytes": given}
        for kind, name, rows in blocks:
            if kind == "enum":
                self._types[name] = wire.enum({value: int(number) for value, number in rows})
        self._first_values = {name: rows[0][0] for kind, name, rows in blocks if kind == "enum"}
        self._shapes = {name: Shape() for name in self._messages}
        for kind, name, rows in blocks:
            if kind == "message":
                self._messages[name].define(self._field(row[0], int(row[1]), row[2]) for row in rows)
                for field, _, type_name in rows:
                    self._shape(self._shapes[name], field, type_name)
        self.calls = {}
        for rpc in rpcs:
            service, _, call = rpc[0].partition(".")
            request, reply = self._messages[rpc[1]], self._messages[rpc[2]]
            self.calls[call] = Call(service, call, request, reply, len(rpc) > 3, self._shapes[rpc[2]])

    def _shape(self, shape: Shape, field: str, type_name: str) -> None:
        element = type_name.removeprefix("[]")
        if element in self._shapes:
            shape.inner[field] = self._shapes[element]
        if type_name.startswith("[]"):
            shape.zeros[field] = list
        elif type_name.startswith("map"):
            shape.zeros[field] = dict
        elif type_name in self._first_values:
            first = self._first_values[type_name]
            shape.zeros[field] = lambda: first
        elif type_name not in self._shapes:
            shape.zeros[field] = _ZEROS.get(type_name, int)

    def _field(self, name: str, number: int, type_name: str) -> WireField:
        if type_name.startswith("[]"):
            return WireField(name, number, self._type(type_name[2:]), REPEATED)
        if type_name.startswith("map[string]"):
            zero: Callable[[], Any] = str
            return WireField(name, number, wire.map_entry(STRING, self._type(type_name[11:]), zero), MAP)
        return WireField(name, number, self._type(type_name), ONCE)

    def _type(self, name: str) -> ValueType:
        return self._types[name] if name in self._types else self._messages[name].type
