"""Sets of fields: FieldsV1 as it is on the wire, so that nothing is converted when an object is read or written.

    {"f:metadata": {"f:labels": {"f:app": {}}},
     "f:spec": {"f:containers": {"k:{\\"name\\":\\"main\\"}": {".": {}, "f:image": {}}}}}

A *node* is what stands under a path element. It is a member of the set if it is empty or has a "."; a node without
either only leads to members. Path elements: `f:` a field, `k:` a list's item by its keys, `v:` by its value, `i:` by
its index. The root is a node that is no member: an empty set is `{}`.

Nodes are never changed once made, and so may be shared.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import orjson

FieldSet: TypeAlias = dict[str, Any]
Node: TypeAlias = dict[str, Any]

MEMBER: Node = {}
"""The node of a field that has nothing below it."""
SELF = "."
PREFIXES = frozenset({"f:", "k:", "v:", "i:"})


def field(name: str) -> str:
    return "f:" + name


def is_member(node: Node) -> bool:
    return not node or SELF in node


def as_member(node: Node) -> Node:
    """The same node, as a member too."""
    return node if not node or SELF in node else {SELF: MEMBER, **node}


def union(a: FieldSet, b: FieldSet) -> FieldSet:
    """What is in either: `a` itself if `b` has nothing more."""
    if not a or not b or a is b:
        return a or b
    out = a
    for element, node in b.items():
        mine = a.get(element)
        joined = node if mine is None else _joined(mine, node)
        if joined is not mine:
            if out is a:
                out = dict(a)
            out[element] = joined
    return out


def _joined(a: Node, b: Node) -> Node:
    if not b:
        return as_member(a)
    return union(a, b) if a else as_member(b)


def difference(a: FieldSet, b: FieldSet) -> FieldSet:
    """What is in `a` and not in `b`: `a` itself if nothing is in both.

    A member of `b` takes only itself away, not what is below it.
    """
    if not a or not b:
        return a
    out = a
    for element, taken in b.items():
        node = a.get(element)
        if node is None or element == SELF:
            continue
        left = _left(node, taken)
        if left is not node:
            if out is a:
                out = dict(a)
            if left is None:
                del out[element]
            else:
                out[element] = left
    return out


def _left(node: Node, taken: Node) -> Node | None:
    """The node without the members of another; None if no member is left."""
    if not node:
        return None if is_member(taken) else node
    below = difference(node, taken)
    if SELF in below and is_member(taken):
        below = {element: node for element, node in below.items() if element != SELF}
    elif SELF in below:
        return below if len(below) > 1 else MEMBER
    return below or None


def intersection(a: FieldSet, b: FieldSet) -> FieldSet:
    if not a or not b:
        return {}
    out: FieldSet = {}
    for element, node in a.items():
        other = b.get(element)
        if other is None or element == SELF:
            continue
        below = intersection(node, other)
        if is_member(node) and is_member(other):
            out[element] = as_member(below)
        elif below:
            out[element] = below
    return out


def in_order(fields: FieldSet) -> FieldSet:
    """The same set with its elements sorted: clients compare FieldsV1 byte by byte, whichever way it has come."""
    out: FieldSet = {}
    for element in sorted(fields):
        below = fields[element]
        out[element] = in_order(below) if below else MEMBER
    return out


def paths(fields: FieldSet) -> Iterator[tuple[str, ...]]:
    """The members, as path elements: those of a level before those below them."""
    elements = sorted(element for element in fields if element != SELF)
    for element in elements:
        if is_member(fields[element]):
            yield (element,)
    for element in elements:
        for path in paths(fields[element]):
            yield (element, *path)


def path_text(path: tuple[str, ...]) -> str:
    """A path as upstream's messages show it: `.spec.containers[name="main"].image`."""
    return "".join(_element_text(element) for element in path)


def _element_text(element: str) -> str:
    kind, _, text = element.partition(":")
    match kind:
        case "f":
            return f".{text}"
        case "k":
            return f"[{_keys_text(text)}]"
        case "v":
            return f"[={text}]"
        case _:
            return f"[{text}]"


def _keys_text(text: str) -> str:
    """`name="main"`; the text itself if it is no object, as clients may send anything."""
    try:
        keys = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    if not isinstance(keys, dict):
        return text
    return ",".join(f"{name}={orjson.dumps(keys[name]).decode()}" for name in sorted(keys))


def is_field_set(value: Any) -> bool:
    """Whether a value that came from outside is a set of fields."""
    if type(value) is not dict:
        return False
    for key, below in value.items():
        # Most have nothing below.
        if (key[:2] not in PREFIXES and key != SELF) or not (is_field_set(below) if below else below == {}):
            return False
    return True
