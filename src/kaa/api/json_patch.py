"""JSON Patch (RFC 6902): a list of operations, of which all are applied or none.

A path is a JSON Pointer (RFC 6901: `/spec/containers/0/image`, `~1` is a slash, `~0` a tilde, `-` the end of a list).
As in upstream's implementation a negative index counts from a list's end, a value that is left out is null, and
`replace` may name a member that an object does not have yet.
"""

from collections.abc import Callable
from typing import Any

import orjson

from kaa.api.errors import APIError, bad_request
from kaa.api.objects import copy_object

MAX_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 * 1024 * 1024
"""Of all `copy` operations of a patch together, as upstream: a value that is copied into itself doubles."""


class _DoesNotApply(Exception):
    """An operation that the document has no place for, or a failed test."""


def apply_json_patch(document: Any, patch: Any) -> Any:
    """Raises BadRequest for what is no patch, Invalid (422) for one that does not apply, RequestEntityTooLarge."""
    if not isinstance(patch, list) or not all(isinstance(operation, dict) for operation in patch):
        found = {dict: "object", str: "string", bool: "bool", list: "array"}.get(type(patch), "number")
        raise bad_request(f"json: cannot unmarshal {found} into Go value of type jsonpatch.Patch")
    if len(patch) > MAX_OPERATIONS:
        limit = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}"
        raise APIError("RequestEntityTooLarge", f"Request entity too large: {limit}")
    root = {"": copy_object(document)}
    copied_bytes = 0
    try:
        for operation in patch:
            copied_bytes += _apply(root, operation)
            if copied_bytes > MAX_COPIED_BYTES:
                raise _DoesNotApply("the accumulated size increase of copying exceeds the limit")
    except _DoesNotApply:
        message = "the server rejected our request due to an error in our request"
        raise APIError("Invalid", message) from None
    return root.get("")  # the document as a whole can be removed, too


def _apply(root: dict[str, Any], operation: dict[str, Any]) -> int:
    """Carries an operation out, and says how many bytes it has copied."""
    name = operation.get("op")
    apply = _OPERATIONS.get(name) if isinstance(name, str) else None
    if apply is None:
        raise _DoesNotApply(f"unexpected kind: {name}")
    return apply(root, operation) or 0


def _pointer(operation: dict[str, Any], member: str) -> list[str]:
    """The path's tokens, after the one for the document as a whole."""
    path = operation.get(member)
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise _DoesNotApply(f"bad {member}: {path}")
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")]


def _parent(root: dict[str, Any], tokens: list[str]) -> Any:
    """The container that the last token is looked up in."""
    container: Any = root
    for token in tokens[:-1]:
        container = _child(container, token)
    return container


def _child(container: Any, token: str) -> Any:
    if isinstance(container, dict) and token in container:
        return container[token]
    if isinstance(container, list):
        return container[_index(token, len(container) - 1)]
    raise _DoesNotApply(f"missing value: {token}")


def _index(token: str, last: int) -> int:
    digits = token.removeprefix("-")
    if not digits.isdecimal() or not digits.isascii() or len(digits) > 9:
        raise _DoesNotApply(f"bad index: {token}")
    index = int(token) + (last + 1 if token.startswith("-") else 0)
    if not 0 <= index <= last:
        raise _DoesNotApply(f"index out of bounds: {token}")
    return index


def _add_at(root: dict[str, Any], tokens: list[str], value: Any) -> None:
    container, last = _parent(root, tokens), tokens[-1]
    if isinstance(container, dict):
        container[last] = value
    elif isinstance(container, list):
        container.insert(len(container) if last == "-" else _index(last, len(container)), value)
    else:
        raise _DoesNotApply(f"no container: {last}")


def _remove_at(root: dict[str, Any], tokens: list[str]) -> Any:
    container, last = _parent(root, tokens), tokens[-1]
    value = _child(container, last)
    if isinstance(container, dict):
        del container[last]
    else:
        del container[_index(last, len(container) - 1)]
    return value


def _copied(value: Any) -> Any:
    return copy_object({"": value})[""]


def _add(root: dict[str, Any], operation: dict[str, Any]) -> None:
    _add_at(root, _pointer(operation, "path"), _copied(operation.get("value")))


def _remove(root: dict[str, Any], operation: dict[str, Any]) -> None:
    _remove_at(root, _pointer(operation, "path"))


def _replace(root: dict[str, Any], operation: dict[str, Any]) -> None:
    tokens = _pointer(operation, "path")
    container, last = _parent(root, tokens), tokens[-1]
    if not isinstance(container, (dict, list)):
        raise _DoesNotApply(f"no container: {last}")
    key: Any = last if isinstance(container, dict) else _index(last, len(container) - 1)
    container[key] = _copied(operation.get("value"))


def _move(root: dict[str, Any], operation: dict[str, Any]) -> None:
    source, target = _pointer(operation, "from"), _pointer(operation, "path")
    if source == target[: len(source)] and len(source) < len(target):
        raise _DoesNotApply("a value cannot be moved into itself")
    _add_at(root, target, _remove_at(root, source))


def _copy(root: dict[str, Any], operation: dict[str, Any]) -> int:
    source = _pointer(operation, "from")
    try:
        encoded = orjson.dumps(_child(_parent(root, source), source[-1]))
    except orjson.JSONEncodeError:
        raise _DoesNotApply("the value is nested too deep") from None
    _add_at(root, _pointer(operation, "path"), orjson.loads(encoded))
    return len(encoded)


def _test(root: dict[str, Any], operation: dict[str, Any]) -> None:
    tokens, expected = _pointer(operation, "path"), operation.get("value")
    try:
        found = _child(_parent(root, tokens), tokens[-1])
    except _DoesNotApply:
        found = None  # null is what an absent value is equal to
    if not _equal(found, expected):
        raise _DoesNotApply("test failed")


def _equal(a: Any, b: Any) -> bool:
    """Equality of JSON values: unlike in Python, true is not 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


_OPERATIONS: dict[str, Callable[[dict[str, Any], dict[str, Any]], int | None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}
