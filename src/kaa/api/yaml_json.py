"""YAML as another spelling of JSON, the way sigs.k8s.io/yaml reads it.

One document; keys become strings; plain scalars resolve by the rules of Go's yaml.v2 (yes, on and 0777 as in YAML 1.1,
but no dates and no base-60 numbers). Aliases are copied, so their number is bounded: a small text must not become a
huge object. Errors are ValueError with messages in the style of Go's parser.
"""

import base64
import math
import re
from typing import Any

import yaml

MAX_DEPTH = 200
"""No object is nearly as deep; the reader calls itself twice a level, and Python allows a thousand calls."""
MAX_NODES = 1_000_000
"""Values in the whole object once aliases are copied. A body of 3 MiB without any has fewer."""

_INTEGER = re.compile(r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TRUE = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"}
_FALSE = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"}
_NULL = {"", "~", "null", "Null", "NULL"}
_LONG = 67
"""Integers of 64 bits are shorter than this in any base; a longer text is a float."""
_NOT_JSON = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_RESOLVED_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")}
_BINARY_TAG = "tag:yaml.org,2002:binary"


def parse_yaml(body: bytes) -> tuple[Any, list[str]]:
    """The document's value, and a message for each key that occurs twice in its mapping. Raises ValueError."""
    parser: yaml.CSafeLoader | None = None
    try:
        # Events, not PyYAML's node trees: those are composed by a recursion in C, which a deep text overflows.
        parser = yaml.CSafeLoader(body)
        reader = _Reader(parser)
        return reader.document(), reader.duplicates
    except yaml.YAMLError as error:
        raise ValueError(f"yaml: {_problem(error)}") from None
    finally:
        if parser is not None:
            parser.dispose()


def _problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).split("\n", 1)[0]
    return f"line {mark.line + 1}: {problem}" if mark is not None else problem


class _Reader:
    """Events to values. An anchor's value is shared by its aliases; how many values it stands for is counted."""

    def __init__(self, parser: Any) -> None:
        self.duplicates: list[str] = []
        self._next = parser.get_event
        self._count = 0
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._open: set[str] = set()

    def document(self) -> Any:
        """The stream's only document; null when there is none."""
        self._next()  # the stream's start
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._value(self._next(), 0)
        self._next()  # the document's end
        if not isinstance(self._next(), yaml.StreamEndEvent):
            raise ValueError("yaml: expected a single document in the stream")
        return value

    def _value(self, event: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(f"yaml: line {event.start_mark.line + 1}: exceeded max depth")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor)
        self._add(1)
        before = self._count
        anchor = event.anchor
        if anchor:
            self._open.add(anchor)
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(depth)
        else:
            value = self._mapping(depth)
        if anchor:
            self._open.discard(anchor)
            self._anchors[anchor] = (value, self._count - before + 1)
        return value

    def _add(self, count: int) -> None:
        self._count += count
        if self._count > MAX_NODES:
            raise ValueError("yaml: document contains excessive aliasing")

    def _alias(self, anchor: str | None) -> Any:
        if anchor in self._open:
            raise ValueError(f"yaml: anchor '{anchor}' value contains itself")
        if anchor is None or anchor not in self._anchors:
            raise ValueError(f"yaml: unknown anchor '{anchor}' referenced")
        value, count = self._anchors[anchor]
        self._add(count)
        return value

    def _sequence(self, depth: int) -> list[Any]:
        items = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, depth + 1))
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = _key(self._value(event, depth + 1))
            value = self._value(self._next(), depth + 1)
            if key == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
                merged = _merged(value) | merged
                continue
            if key in out:
                self.duplicates.append(f'line {event.start_mark.line + 1}: key "{key}" already set in map')
            out[key] = value
        return merged | out


def _merged(value: Any) -> dict[str, Any]:
    """`<<`: the keys of a mapping, or of several of which the first has precedence."""
    out: dict[str, Any] = {}
    for mapping in value if isinstance(value, list) else [value]:
        if not isinstance(mapping, dict):
            raise ValueError("yaml: map merge requires map or sequence of maps as the value")
        out = mapping | out
    return out


def _key(value: Any) -> str:
    """A mapping's key as JSON has it."""
    if isinstance(value, (dict, list)):
        raise ValueError(f"yaml: invalid map key: {value}")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.tag == _BINARY_TAG:
        return base64.b64decode(text).decode(errors="replace")
    if not event.implicit[0] and event.tag not in _RESOLVED_TAGS:
        return text
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INTEGER.fullmatch(text) and len(text) < _LONG:
        return _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise ValueError(f"json: unsupported value: {text}")
        return int(number) if number.is_integer() and abs(number) < 1 << 53 else number
    if _NOT_JSON.fullmatch(text):
        raise ValueError(f"json: unsupported value: {text}")
    return text


def _integer(text: str) -> int | float:
    digits = text.lstrip("+-")
    is_octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit() and not set(digits) & {"8", "9"}
    number = int(text, 8) if is_octal else int(text) if digits.isdigit() else int(text, 0)
    return number if -(1 << 63) <= number < 1 << 64 else float(number)
