"""What Go's JSON scanner says of a malformed text.

Parsing is orjson's; only when it has failed is the text scanned again here, for the message that people and tools know
(`invalid character '}' looking for beginning of value`).
"""

import re

_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_NUMBER = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_LITERALS = (b"true", b"false", b"null")
MAX_DEPTH = 1000
"""orjson refuses a deeper text; Go does at ten times that."""


class _Bad(Exception):
    """Where the scan ended, and what was going on there."""


def go_syntax_error(text: bytes, position: int) -> str:
    """The message for a text that is no JSON; `position` is used where the scan finds nothing wrong (bad UTF-8)."""
    try:
        at = _value(text, _skip(text, 0), 0)
        at = _skip(text, at)
        if at < len(text):
            raise _Bad(at, "after top-level value")
    except _Bad as bad:
        at, context = bad.args
        if at >= len(text):
            # Go ends a number or a literal by feeding its scanner a space, and complains about that.
            return (
                f"invalid character ' ' {context}"
                if context.endswith(("numeric literal", "')"))
                else "unexpected end of JSON input"
            )
        return f"invalid character {_quoted(text[at:])} {context}" if context else "exceeded max depth"
    return f"invalid character {_quoted(text[position:])} in string literal"


def _quoted(rest: bytes) -> str:
    character = rest[:4].decode(errors="replace")[:1]
    if character in ("'", "\\"):
        return f"'\\{character}'"
    return "'\"'" if character == '"' else repr(character)


def _skip(text: bytes, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _value(text: bytes, at: int, depth: int) -> int:
    """Scans one value that begins at `at`; returns where it ends."""
    if depth > MAX_DEPTH:
        raise _Bad(at, "")
    first = text[at : at + 1]
    if first == b"{":
        return _members(text, at, depth)
    if first == b"[":
        return _elements(text, at, depth)
    if first == b'"':
        return _string(text, at)
    for literal in _LITERALS:
        if first == literal[:1]:
            return _literal(text, at, literal)
    if first == b"-" or first.isdigit():
        return _number(text, at)
    raise _Bad(at, "looking for beginning of value")


def _members(text: bytes, at: int, depth: int) -> int:
    at = _skip(text, at + 1)
    if text[at : at + 1] == b"}":
        return at + 1
    while True:
        if text[at : at + 1] != b'"':
            raise _Bad(at, "looking for beginning of object key string")
        at = _skip(text, _string(text, at))
        if text[at : at + 1] != b":":
            raise _Bad(at, "after object key")
        at = _skip(text, _value(text, _skip(text, at + 1), depth + 1))
        if text[at : at + 1] == b"}":
            return at + 1
        if text[at : at + 1] != b",":
            raise _Bad(at, "after object key:value pair")
        at = _skip(text, at + 1)


def _elements(text: bytes, at: int, depth: int) -> int:
    at = _skip(text, at + 1)
    if text[at : at + 1] == b"]":
        return at + 1
    while True:
        at = _skip(text, _value(text, at, depth + 1))
        if text[at : at + 1] == b"]":
            return at + 1
        if text[at : at + 1] != b",":
            raise _Bad(at, "after array element")
        at = _skip(text, at + 1)


def _string(text: bytes, at: int) -> int:
    match = _STRING.match(text, at)
    end = match.end() if match else at
    if text[end : end + 1] == b'"':
        return end + 1
    if text[end : end + 1] != b"\\":
        raise _Bad(end, "in string literal")
    if text[end + 1 : end + 2] != b"u":
        raise _Bad(end + 1, "in string escape code")
    digits = re.compile(rb"[0-9a-fA-F]*").match(text, end + 2)
    raise _Bad(digits.end() if digits else end, "in \\u hexadecimal character escape")


def _literal(text: bytes, at: int, literal: bytes) -> int:
    for offset, expected in enumerate(literal.decode(), at):
        if text[offset : offset + 1] != expected.encode():
            raise _Bad(offset, f"in literal {literal.decode()} (expecting '{expected}')")
    return at + len(literal)


def _number(text: bytes, at: int) -> int:
    match = _NUMBER.match(text, at)
    if match is None:
        raise _Bad(at + 1, "in numeric literal")
    end = match.end()
    if text[end : end + 1] == b"." and b"." not in match.group():
        raise _Bad(end + 1, "after decimal point in numeric literal")
    if text[end : end + 1] in (b"e", b"E"):
        sign = 1 if text[end + 1 : end + 2] in (b"+", b"-") else 0
        raise _Bad(end + 1 + sign, "in exponent of numeric literal")
    return end
