"""The protobuf wire format, driven by tables: messages are dicts on one side and bytes on the other.

A message is a sequence of (tag, value): the tag is the field's number and one of four wire types (varint, eight bytes,
length and bytes, four bytes). A `ValueType` reads and writes the values of one type; `Message` is the one that is made
of fields, each with a name, a number and how often it occurs. Who knows what types there are (Kubernetes' schema, the
CRI's .proto) builds the Messages; this module knows neither.

Reading raises ValueError for bytes that are no message. Unknown fields are skipped, as protobuf wants.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Read: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
"""(buffer, position) -> (value, position after it). Raises ValueError or IndexError beyond the end."""
Write: TypeAlias = Callable[[bytearray, Any], None]


@dataclass(frozen=True, slots=True)
class ValueType:
    wire_type: int
    read: Read
    write: Write


def read_varint(buffer: bytes, position: int) -> tuple[int, int]:
    byte = buffer[position]
    if byte < 0x80:
        return byte, position + 1
    value, shift = byte & 0x7F, 7
    while True:
        position += 1
        byte = buffer[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position + 1
        shift += 7
        if shift >= 70:
            raise ValueError("proto: integer overflow")


def write_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _read_signed(buffer: bytes, position: int) -> tuple[int, int]:
    value, position = read_varint(buffer, position)
    return value - (1 << 64) if value >> 63 else value, position


def _write_signed(out: bytearray, value: int) -> None:
    write_varint(out, value & 0xFFFF_FFFF_FFFF_FFFF)


def _read_bool(buffer: bytes, position: int) -> tuple[bool, int]:
    value, position = read_varint(buffer, position)
    return value != 0, position


def _write_bool(out: bytearray, value: bool) -> None:
    out.append(1 if value else 0)


def read_bytes(buffer: bytes, position: int) -> tuple[bytes, int]:
    length = buffer[position]
    if length < 0x80:
        start = position + 1
    else:
        length, start = read_varint(buffer, position)
    end = start + length
    if end > len(buffer):
        raise ValueError("unexpected EOF")
    return buffer[start:end], end


def write_bytes(out: bytearray, value: bytes | bytearray) -> None:
    write_varint(out, len(value))
    out += value


def _read_string(buffer: bytes, position: int) -> tuple[str, int]:
    value, position = read_bytes(buffer, position)
    return value.decode(), position


def _write_string(out: bytearray, value: str) -> None:
    write_bytes(out, value.encode())


def _fixed(layout: str) -> tuple[Read, Write]:
    packed = struct.Struct(layout)

    def read(buffer: bytes, position: int) -> tuple[Any, int]:
        end = position + packed.size
        if end > len(buffer):
            raise ValueError("unexpected EOF")
        return packed.unpack_from(buffer, position)[0], end

    def write(out: bytearray, value: Any) -> None:
        out += packed.pack(value)

    return read, write


_SIGNED = ValueType(VARINT, _read_signed, _write_signed)
_UNSIGNED = ValueType(VARINT, read_varint, write_varint)
STRING = ValueType(BYTES, _read_string, _write_string)
RAW_BYTES = ValueType(BYTES, read_bytes, write_bytes)
SCALARS: dict[str, ValueType] = {
    "string": STRING,
    "bytes": RAW_BYTES,
    "bool": ValueType(VARINT, _read_bool, _write_bool),
    **dict.fromkeys(("int", "int32", "int64"), _SIGNED),
    **dict.fromkeys(("uint8", "uint16", "uint32", "uint64"), _UNSIGNED),
    **dict.fromkeys(("double", "float64"), ValueType(FIXED64, *_fixed("<d"))),
    "float": ValueType(FIXED32, *_fixed("<f")),
}


def enum(numbers: Mapping[str, int]) -> ValueType:
    """Named in dicts. A number without a name stays a number."""
    names = {number: name for name, number in numbers.items()}

    def read(buffer: bytes, position: int) -> tuple[Any, int]:
        number, position = _read_signed(buffer, position)
        return names.get(number, number), position

    def write(out: bytearray, value: Any) -> None:
        _write_signed(out, numbers[value] if isinstance(value, str) else value)

    return ValueType(VARINT, read, write)


def converted(inner: ValueType, from_wire: Callable[[Any], Any], to_wire: Callable[[Any], Any]) -> ValueType:
    """A type whose value in dicts is another than on the wire."""

    def read(buffer: bytes, position: int) -> tuple[Any, int]:
        value, position = inner.read(buffer, position)
        return from_wire(value), position

    def write(out: bytearray, value: Any) -> None:
        inner.write(out, to_wire(value))

    return ValueType(inner.wire_type, read, write)


ONCE, REPEATED, MAP, INLINE = range(4)
"""How a field's values land in the dict: as they are, in a list, in a dict by key, or as the message's own fields."""
INLINE_LIST = 4
"""Of readers only: a packed list, all of whose values come at once."""


@dataclass(frozen=True, slots=True)
class WireField:
    name: str  # "" for INLINE
    number: int
    type: ValueType
    mode: int = ONCE


class Message:
    """A message type. Its fields are given after it is made, because it may contain itself."""

    def __init__(self) -> None:
        self._readers: dict[int, tuple[str, Read, int]] = {}
        self._writers: list[tuple[str, bytes, Write, int]] = []
        self.type = ValueType(BYTES, self._read, self._write)

    def define(self, fields: Iterable[WireField]) -> None:
        for field in sorted(fields, key=lambda f: f.number):
            tag = field.number << 3 | field.type.wire_type
            self._readers[tag] = (field.name, field.type.read, field.mode)
            if field.mode == REPEATED and field.type.wire_type != BYTES:
                packed = field.number << 3 | BYTES
                self._readers[packed] = (field.name, _packed(field.type.read), INLINE_LIST)
            encoded_tag = bytearray()
            write_varint(encoded_tag, tag)
            self._writers.append((field.name, bytes(encoded_tag), field.type.write, field.mode))

    def decode(self, buffer: bytes) -> dict[str, Any]:
        """Raises ValueError."""
        readers = self._readers
        out: dict[str, Any] = {}
        position, end = 0, len(buffer)
        try:
            while position < end:
                tag = buffer[position]
                if tag < 0x80:
                    position += 1
                else:
                    tag, position = read_varint(buffer, position)
                reader = readers.get(tag)
                if reader is None:
                    position = _skip(buffer, position, tag)
                    continue
                name, read, mode = reader
                value, position = read(buffer, position)
                if mode == ONCE:
                    out[name] = value
                elif mode == REPEATED:
                    out.setdefault(name, []).append(value)
                elif mode == MAP:
                    out.setdefault(name, {})[value[0]] = value[1]
                elif mode == INLINE:
                    out.update(value)
                else:
                    out.setdefault(name, []).extend(value)
        except IndexError:
            raise ValueError("unexpected EOF") from None
        return out

    def encode(self, value: Mapping[str, Any]) -> bytearray:
        """Fields that are None or absent are left out; so are names that are no fields."""
        out = bytearray()
        for name, tag, write, mode in self._writers:
            if mode == INLINE:
                inner = bytearray()
                write(inner, value)
                if len(inner) > 1:  # more than the length of nothing
                    out += tag + inner
                continue
            item = value.get(name)
            if item is None:
                continue
            if mode == ONCE:
                out += tag
                write(out, item)
            else:
                for element in item if mode == REPEATED else item.items():
                    out += tag
                    write(out, element)
        return out

    def _read(self, buffer: bytes, position: int) -> tuple[dict[str, Any], int]:
        inner, position = read_bytes(buffer, position)
        return self.decode(inner), position

    def _write(self, out: bytearray, value: Mapping[str, Any]) -> None:
        write_bytes(out, self.encode(value))


def _packed(read: Read) -> Read:
    def read_all(buffer: bytes, position: int) -> tuple[list[Any], int]:
        inner, after = read_bytes(buffer, position)
        values, at = [], 0
        while at < len(inner):
            value, at = read(inner, at)
            values.append(value)
        return values, after

    return read_all


def map_entry(key: ValueType, value: ValueType, zero: Callable[[], Any]) -> ValueType:
    """What a map is on the wire: a message of key and value for each, read as a pair."""
    message = Message()
    message.define((WireField("key", 1, key), WireField("value", 2, value)))

    def read(buffer: bytes, position: int) -> tuple[tuple[Any, Any], int]:
        entry, position = message._read(buffer, position)
        return (entry.get("key", ""), entry["value"] if "value" in entry else zero()), position

    def write(out: bytearray, item: tuple[Any, Any]) -> None:
        message._write(out, {"key": item[0], "value": item[1]})

    return ValueType(BYTES, read, write)


def _skip(buffer: bytes, position: int, tag: int) -> int:
    match tag & 7:
        case 0:
            return read_varint(buffer, position)[1]
        case 1:
            return position + 8
        case 2:
            return read_bytes(buffer, position)[1]
        case 5:
            return position + 4
        case wire_type:
            raise ValueError(f"proto: illegal wireType {wire_type}")
