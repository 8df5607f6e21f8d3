"""What Go's decoder makes of the values that are not structs: strings, numbers, times, quantities, bytes.

A walker takes a value that is not None, and the list of unknown fields (which only structs add to); it returns the
value in canonical form, or raises ValueError with Go's text.
"""

import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias

from kaa.api.quantity import format_quantity

Walker: TypeAlias = Callable[[Any, list[str]], Any]

JSON_KINDS = {str: "string", int: "number", float: "number", bool: "bool", list: "array", dict: "object"}


class Mismatch(ValueError):
    """A value of the wrong JSON type. The path is filled in on the way out, from the inside."""

    def __init__(self, value: Any, go_type: str) -> None:
        super().__init__()
        self.go_type = go_type
        self.struct = ""
        self.path: list[str] = []
        self.found = JSON_KINDS[type(value)]
        if self.found == "number" and go_type in INTEGER_LIMITS:
            self.found = f"number {value}"  # Go names the literal when its kind is right and its value is not

    def __str__(self) -> str:
        if not self.struct:
            return f"json: cannot unmarshal {self.found} into Go value of type {self.go_type}"
        place = f"{self.struct}.{'.'.join(reversed(self.path))}"
        return f"json: cannot unmarshal {self.found} into Go struct field {place} of type {self.go_type}"


INTEGER_LIMITS = {
    "int": (-(1 << 63), (1 << 63) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "uint8": (0, (1 << 8) - 1),
    "uint16": (0, (1 << 16) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 64) - 1),
}


def _integer(go_type: str) -> Walker:
    low, high = INTEGER_LIMITS[go_type]

    def walk(value: Any, unknown: list[str]) -> Any:
        if type(value) is not int or not low <= value <= high:
            raise Mismatch(value, go_type)
        return value

    return walk


def of_kind(kind: type, go_type: str) -> Walker:
    def walk(value: Any, unknown: list[str]) -> Any:
        if type(value) is not kind:
            raise Mismatch(value, go_type)
        return value

    return walk


def _float(value: Any, unknown: list[str]) -> Any:
    if type(value) not in (int, float):
        raise Mismatch(value, "float64")
    return value


def _bytes(value: Any, unknown: list[str]) -> Any:
    """Base64 text, which stays text."""
    if type(value) is not str:
        raise Mismatch(value, "[]uint8")
    text = value.replace("\n", "").replace("\r", "") if "\n" in value else value
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise ValueError(f"illegal base64 data at input byte {_base64_error_at(text)}") from None
    return text


def _base64_error_at(text: str) -> int:
    """The index that Go names: of a bad character, of text after the padding, or of a last group that is too short."""
    bad = re.search(r"[^A-Za-z0-9+/]", text)
    if bad is None:
        return len(text) - len(text) % 4
    at = bad.start()
    if bad.group() != "=" or at % 4 < 2:
        return at
    if at % 4 == 3:
        return at + 1
    if at + 1 == len(text):
        return len(text)
    return at + 2 if text[at + 1] == "=" else at


_DATE_PIECES = ("2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05")
_ZONE = r"Z|[+-]\d\d:\d\d"
_PIECE_PATTERNS = {"2006": r"\d{4}", "Z07:00": _ZONE, ".000000": r"\.\d{6}", "[fraction]": r"([.,]\d+)?"}


class _Layout:
    """One of Go's time layouts: the pieces that must follow each other, named as Go's messages name them."""

    def __init__(self, text: str, *tail: str) -> None:
        self.text = text
        pieces = (*_DATE_PIECES, *tail)
        self._pieces = [(piece, re.compile(self._pattern(piece), re.ASCII)) for piece in pieces]

    @staticmethod
    def _pattern(piece: str) -> str:
        return _PIECE_PATTERNS.get(piece) or (r"\d\d" if piece.isdigit() else piece)

    def parse(self, value: Any) -> datetime:
        if type(value) is not str:
            raise Mismatch(value, "string")
        position = 0
        for piece, pattern in self._pieces:
            match = pattern.match(value, position)
            if match is None:
                problem = f'cannot parse "{value[position:]}" as "{piece}"'
                raise ValueError(f'parsing time "{value}" as "{self.text}": {problem}')
            position = match.end()
        if position != len(value):
            raise ValueError(f'parsing time "{value}": extra text: "{value[position:]}"')
        try:
            return datetime.fromisoformat(value.replace(",", ".")).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            # Python says "month must be in 1..12", "day is out of range for month", ...
            raise ValueError(f'parsing time "{value}": {str(error).split(" ", 1)[0]} out of range') from None


_TIME = _Layout("2006-01-02T15:04:05Z07:00", "[fraction]", "Z07:00")
_MICROTIME = _Layout("2006-01-02T15:04:05.000000Z07:00", ".000000", "Z07:00")
_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", re.ASCII)
_SECONDS_LENGTH = len("2006-01-02T15:04:05Z")
_MICROSECONDS_LENGTH = len("2006-01-02T15:04:05.000000Z")

TIMES_KEPT = 1024
"""Texts that are known to be times. What happens together has the same few."""


def _time(value: Any, unknown: list[str]) -> Any:
    if type(value) is str and len(value) == _SECONDS_LENGTH and _is_in_utc(value):
        return value
    return in_utc(_TIME.parse(value), "seconds")


def in_utc(moment: datetime, timespec: str) -> str:
    return moment.isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


@lru_cache(maxsize=TIMES_KEPT)
def _is_in_utc(value: str) -> bool:
    """Whether a text is a time in the form that all times take."""
    if not _UTC.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _microtime(value: Any, unknown: list[str]) -> Any:
    if type(value) is str and len(value) == _MICROSECONDS_LENGTH and _is_in_utc(value):
        return value
    return in_utc(_MICROTIME.parse(value), "microseconds")


def _quantity(value: Any, unknown: list[str]) -> Any:
    return format_quantity(value if type(value) in (int, float) else str(value))


def _int_or_string(value: Any, unknown: list[str]) -> Any:
    return value if type(value) is str else _integer("int32")(value, unknown)


def anything(value: Any, unknown: list[str]) -> Any:
    return value


_string = of_kind(str, "string")


def _map_of_strings(value: Any, unknown: list[str]) -> Any:
    if type(value) is not dict:
        raise Mismatch(value, "map[string]string")
    for element in value.values():
        if type(element) is not str:
            break
    else:
        return value
    return {key: _string_or_empty(element) for key, element in value.items()}


def _strings(value: Any, unknown: list[str]) -> Any:
    if type(value) is not list:
        raise Mismatch(value, "[]string")
    return [_string_or_empty(element) for element in value]


def _string_or_empty(element: Any) -> str:
    if type(element) is str:
        return element
    if element is not None:
        raise Mismatch(element, "string")
    return ""


SCALARS: dict[str, Walker] = {
    "string": _string,
    "bool": of_kind(bool, "bool"),
    "bytes": _bytes,
    "float64": _float,
    "time": _time,
    "microtime": _microtime,
    "quantity": _quantity,
    "intorstring": _int_or_string,
    "raw": anything,
    "fieldsv1": anything,
    "json": anything,
    "map[string]string": _map_of_strings,
    "[]string": _strings,
    **{go_type: _integer(go_type) for go_type in INTEGER_LIMITS},
}
ZEROS: dict[str, Any] = {
    "string": "",
    "bool": False,
    "quantity": "0",
    "intorstring": 0,
    "float64": 0,
    **dict.fromkeys(INTEGER_LIMITS, 0),
}
"""What Go writes for the zero value of these, unless it leaves it out."""
