"""Kubernetes objects as protobuf: `application/vnd.kubernetes.protobuf`.

A body is the four bytes `k8s\\0` and a runtime.Unknown, which says what the object is and holds its bytes:

    k8s\\0  Unknown{1: TypeMeta{1: apiVersion, 2: kind}, 2: object, 3: contentEncoding, 4: contentType}

The messages' fields and numbers are those of the schema (`schema.py`); the codec is `wire.py`. What comes in is as Go's
types have it, zero values included: `conform.py` makes the usual object of it. A few types have a JSON form of
their own, and are listed here.
"""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import orjson

from kaa.api import wire
from kaa.api.objects import Object
from kaa.api.scalars import in_utc
from kaa.api.schema import Field, Schema, builtin_schema
from kaa.api.wire import INLINE, MAP, ONCE, REPEATED, Message, ValueType, WireField

MAGIC = b"k8s\x00"
_JSON_SCHEMA = "apiextensions.v1.JSONSchemaProps"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode_object(body: bytes, api_version: str, kind: str) -> Object:
    """The object in a body, with the apiVersion and kind that it states; those given are for one that states none.

    Raises ValueError, also for an object whose type has no protobuf form.
    """
    if not body.startswith(MAGIC):
        raise ValueError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    unknown = _unknown().decode(body[len(MAGIC) :])
    type_meta = unknown.get("typeMeta") or {}
    api_version, kind = type_meta.get("apiVersion") or api_version, type_meta.get("kind") or kind
    definition = builtin_schema().for_kind(api_version, kind)
    if definition is None:
        raise ValueError(f'no kind "{kind}" is registered for version "{api_version}"')
    obj = builtin_codec().message(definition.name).decode(unknown.get("raw", b""))
    return {"apiVersion": api_version, "kind": kind, **obj}


def encode_object(obj: Object) -> bytes:
    """The body for an object of a built-in kind, a list included. Raises KeyError for a kind without protobuf."""
    definition = builtin_schema().for_kind(obj["apiVersion"], obj["kind"])
    if definition is None:
        raise KeyError(obj["kind"])
    raw = builtin_codec().message(definition.name).encode(obj)
    type_meta = {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
    return MAGIC + _unknown().encode({"typeMeta": type_meta, "raw": raw, "contentEncoding": "", "contentType": ""})


def has_protobuf(api_version: str, kind: str) -> bool:
    """Whether objects of the kind have a protobuf form: Table has none, nor have custom kinds."""
    definition = builtin_schema().for_kind(api_version, kind)
    return definition is not None and any(field.number != "0" for field in definition.fields.values())


def encode_watch_event(event_type: str, encoded_object: bytes) -> bytes:
    """One frame of a watch: its length in four bytes, then the event with the object as `encode_object` made it."""
    event = _watch_event().encode({"type": event_type, "object": {"raw": encoded_object}})
    return len(event).to_bytes(4, "big") + event


class Codec:
    """The message types of one schema, made when first used."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._messages: dict[str, Message] = {}
        self._types: dict[str, ValueType] = {**wire.SCALARS, **_special_types()}

    def message(self, name: str) -> Message:
        message = self._messages.get(name)
        if message is None:
            message = self._messages[name] = Message()
            fields = [(f.number.split("."), f) for f in self._schema.definition(name).fields.values()]
            message.define(self._wire_fields(fields))
        return message

    def _wire_fields(self, fields: list[tuple[list[str], Field]]) -> list[WireField]:
        """Fields with the numbers `2.1` and `2.2` are those of a message that is number 2."""
        out = [self._wire_field(int(numbers[0]), field) for numbers, field in fields if len(numbers) == 1]
        nested: dict[str, list[tuple[list[str], Field]]] = {}
        for (outer, *inner), field in fields:
            if inner:
                nested.setdefault(outer, []).append((inner, field))
        for outer, inner_fields in nested.items():
            message = Message()
            message.define(self._wire_fields(inner_fields))
            out.append(WireField("", int(outer), message.type, INLINE))
        return [field for field in out if field.number]

    def _wire_field(self, number: int, field: Field) -> WireField:
        type_ = field.type.removeprefix("*")
        if type_.startswith("[]"):
            return WireField(field.name, number, self.type(type_[2:]), REPEATED)
        if type_.startswith("map[string]"):
            element = type_.removeprefix("map[string]")
            zero: Callable[[], Any] = dict if self._schema.is_type(element) else lambda: ""
            return WireField(field.name, number, wire.map_entry(wire.STRING, self.type(element), zero), MAP)
        return WireField(field.name, number, self.type(type_), ONCE)

    def type(self, name: str) -> ValueType:
        name = name.removeprefix("*").partition(":")[0]
        if name in self._types:
            return self._types[name]
        if name.startswith("schemaor"):
            return self._types.setdefault(name, self._json_schema_or(name))
        return self.message(name).type

    def _json_schema_or(self, name: str) -> ValueType:
        """A schema, or a bool, a list of schemas, a list of strings: a message with a field for each."""
        others = {
            "schemaorbool": ("allows", WireField("allows", 1, wire.SCALARS["bool"]), 2),
            "schemaorarray": ("list", WireField("list", 2, self.message(_JSON_SCHEMA).type, REPEATED), 1),
            "schemaorstrings": ("list", WireField("list", 2, wire.STRING, REPEATED), 1),
        }
        other, other_field, schema_number = others[name]
        message = Message()
        message.define((other_field, WireField("schema", schema_number, self.message(_JSON_SCHEMA).type)))
        nothing: Any = False if other == "allows" else []

        def from_wire(value: dict[str, Any]) -> Any:
            return value["schema"] if "schema" in value else value.get(other, nothing)

        def to_wire(value: Any) -> dict[str, Any]:
            # Where there is a schema, Go has `allows` true.
            return {"schema": value, "allows": True} if isinstance(value, dict) else {other: value}

        return wire.converted(message.type, from_wire, to_wire)


def _message(*fields: WireField) -> ValueType:
    message = Message()
    message.define(fields)
    return message.type


def _special_types() -> dict[str, ValueType]:
    integer, text, raw = wire.SCALARS["int64"], wire.STRING, wire.RAW_BYTES
    timestamp = _message(WireField("seconds", 1, integer), WireField("nanos", 2, integer))
    wrapped_text = _message(WireField("string", 1, text))
    wrapped_json = _message(WireField("raw", 1, raw))
    wrapped_list = _message(WireField("items", 1, text, REPEATED))
    either = _message(WireField("type", 1, integer), WireField("intVal", 2, integer), WireField("strVal", 3, text))
    as_json = wire.converted(wrapped_json, _json_from_wire, lambda value: {"raw": orjson.dumps(value)})
    return {
        "bytes": wire.converted(raw, lambda value: base64.b64encode(value).decode(), base64.b64decode),
        "time": wire.converted(timestamp, _seconds_from_wire, _timestamp),
        "microtime": wire.converted(timestamp, _microseconds_from_wire, _timestamp),
        "quantity": wire.converted(wrapped_text, lambda value: value.get("string", "0"), lambda q: {"string": str(q)}),
        "intorstring": wire.converted(either, _int_or_string_from_wire, _int_or_string_to_wire),
        "strings": wire.converted(wrapped_list, lambda value: value.get("items", []), lambda items: {"items": items}),
        "raw": as_json,
        "fieldsv1": as_json,
        "json": as_json,
    }


def _json_from_wire(value: dict[str, Any]) -> Any:
    return orjson.loads(value["raw"]) if value.get("raw") else None


def _moment(value: dict[str, Any]) -> datetime | None:
    """None is Go's zero time, whose message is empty."""
    seconds, nanos = value.get("seconds", 0), value.get("nanos", 0)
    if not seconds and not nanos:
        return None
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise ValueError("timestamp out of range") from None


def _seconds_from_wire(value: dict[str, Any]) -> str | None:
    moment = _moment(value)
    return in_utc(moment, "seconds") if moment else None


def _microseconds_from_wire(value: dict[str, Any]) -> str | None:
    moment = _moment(value)
    return in_utc(moment, "microseconds") if moment else None


def _timestamp(text: str) -> dict[str, int]:
    since = datetime.fromisoformat(text) - _EPOCH
    return {"seconds": since.days * 86400 + since.seconds, "nanos": since.microseconds * 1000}


def _int_or_string_from_wire(value: dict[str, Any]) -> int | str:
    result: int | str = value.get("strVal", "") if value.get("type") else value.get("intVal", 0)
    return result


def _int_or_string_to_wire(value: int | str) -> dict[str, Any]:
    if isinstance(value, str):
        return {"type": 1, "intVal": 0, "strVal": value}
    return {"type": 0, "intVal": value, "strVal": ""}


@cache
def _unknown() -> Message:
    type_meta = _message(WireField("apiVersion", 1, wire.STRING), WireField("kind", 2, wire.STRING))
    message = Message()
    message.define(
        (
            WireField("typeMeta", 1, type_meta),
            WireField("raw", 2, wire.RAW_BYTES),
            WireField("contentEncoding", 3, wire.STRING),
            WireField("contentType", 4, wire.STRING),
        )
    )
    return message


@cache
def _watch_event() -> Message:
    """A watch's object is bytes here, unlike in JSON: an envelope of its own."""
    message = Message()
    raw_extension = _message(WireField("raw", 1, wire.RAW_BYTES))
    message.define((WireField("type", 1, wire.STRING), WireField("object", 2, raw_extension)))
    return message


@cache
def builtin_codec() -> Codec:
    return Codec(builtin_schema())
