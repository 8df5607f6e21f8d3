"""Shapes: what a type says of how its values are owned, compared, merged and cut.

    Leaf        one field: a scalar, an atomic list or map. Whoever sets it owns all of it.
    Fields      an object of named fields, a map of any keys, or both
    KeyedList   a list whose items are told apart by some of their fields
    ValueSet    a list whose items are scalars and occur once
    Deduced     what the schema does not say: a map by its keys, anything else a leaf

Three ways to make a set of a value:

- `owned`: the fields that an applied configuration sets. Objects that only hold fields are not among them.
- `appeared`: everything in a value that was not there at all before, the objects that hold it included.
- `compare`: what differs between two values that are both there, and not equal: (changed or appeared, disappeared).

`owned` and `compare` give None where nothing is. All raise ShapeError for a value of another type than its schema says:
a custom kind's object is validated after its fields have been counted, and its schema may change while it is stored.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import orjson

from kaa.api.managed_fields.field_sets import MEMBER, SELF, Node, as_member, is_member, path_text

Compared: TypeAlias = tuple[Node | None, Node | None]
NOTHING: Compared = (None, None)
CHANGED: Compared = (MEMBER, None)

KEY_ELEMENTS_KEPT = 1024
KEPT_CHARACTERS = 64
"""Path elements of items with a short key that are known at a time: most objects have the same few conditions."""


class ShapeError(ValueError):
    """A value that cannot be of its type. `path` leads to it, as path elements."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.path: list[str] = []

    def __str__(self) -> str:
        return f"{path_text(tuple(self.path))}: {self.args[0]}"


def expected(wanted: str, value: Any) -> ShapeError:
    return ShapeError(f"expected {wanted}, got &{{{_go_text(value)}}}")


def _go_text(value: Any) -> str:
    """A value as Go prints it in upstream's message."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_go_text(item) for item in value) + "]"
    return orjson.dumps(value).decode() if isinstance(value, bool) else str(value)


class Shape(ABC):
    @abstractmethod
    def owned(self, value: Any) -> Node | None: ...

    @abstractmethod
    def appeared(self, value: Any) -> Node: ...

    @abstractmethod
    def compare(self, old: Any, new: Any) -> Compared: ...

    @abstractmethod
    def merge(self, live: Any, applied: Any) -> Any:
        """The live value with what is applied laid over it."""
        ...

    @abstractmethod
    def remove(self, value: Any, node: Node) -> Any:
        """The value without the members below the node; EMPTIED if that was all of it."""
        ...

    @abstractmethod
    def named(self, node: Node) -> Node:
        """The node with every named field that leads to a member a member itself."""
        ...


class Leaf(Shape):
    def owned(self, value: Any) -> Node | None:
        return MEMBER

    def appeared(self, value: Any) -> Node:
        return MEMBER

    def compare(self, old: Any, new: Any) -> Compared:
        return CHANGED

    def merge(self, live: Any, applied: Any) -> Any:
        return applied

    def remove(self, value: Any, node: Node) -> Any:
        return value

    def named(self, node: Node) -> Node:
        return node


LEAF = Leaf()


@dataclass(slots=True)
class NamedField:
    """`zero` is what stands for absence in a field that its kind always writes; None in one that can be absent."""

    shape: Shape
    zero: Any = None


class Fields(Shape):
    def __init__(self, fields: Mapping[str, NamedField], rest: Shape | None = None) -> None:
        self.fields = dict(fields)
        self.rest = rest

    def _shape(self, key: str) -> Shape | None:
        known = self.fields.get(key)
        return known.shape if known is not None else self.rest

    def owned(self, value: Any) -> Node | None:
        if not isinstance(value, dict):
            raise expected("map", value)
        out: Node = {}
        fields, rest = self.fields, self.rest
        for key, item in value.items():
            known = fields.get(key)
            shape = known.shape if known is not None else rest
            if shape is None:
                continue
            try:
                node = MEMBER if item is None or item == {} else shape.owned(item)
            except ShapeError as error:
                error.path.insert(0, "f:" + key)
                raise
            if known is None:
                out["f:" + key] = MEMBER if node is None else as_member(node)
            elif node is not None:
                out["f:" + key] = node
        return out or None

    def appeared(self, value: Any) -> Node:
        if not value:
            return MEMBER
        if not isinstance(value, dict):
            raise expected("map", value)
        out: Node = {SELF: MEMBER}
        fields, rest = self.fields, self.rest
        for key, item in value.items():
            known = fields.get(key)
            shape = known.shape if known is not None else rest
            if shape is LEAF or item is None:
                out["f:" + key] = MEMBER
            elif shape is not None:
                out["f:" + key] = shape.appeared(item)
        return out

    def compare(self, old: Any, new: Any) -> Compared:
        if not isinstance(old, dict) or not isinstance(new, dict):
            raise expected("map", old if isinstance(new, dict) else new)
        changed: Node = {}
        removed: Node = {}
        fields, rest = self.fields, self.rest
        for key, item in new.items():
            before = old.get(key)
            if before is item or before == item:
                continue
            known = fields.get(key)
            shape = known.shape if known is not None else rest
            if shape is None:
                continue
            if before is None and known is not None:
                before = known.zero
            if before is None:
                changed["f:" + key] = MEMBER if item is None else shape.appeared(item)
            elif before != item:
                _put(changed, removed, "f:" + key, shape.compare(before, item))
        for key, item in old.items():
            if key in new or item is None:
                continue
            known = fields.get(key)
            shape = known.shape if known is not None else rest
            if shape is None:
                continue
            after = known.zero if known is not None else None
            if after is None:
                removed["f:" + key] = shape.appeared(item)
            elif item != after:
                _put(changed, removed, "f:" + key, shape.compare(item, after))
        return changed or None, removed or None

    def merge(self, live: Any, applied: Any) -> Any:
        if not isinstance(live, dict) or not applied:
            return live or applied
        merged = dict(live)
        for key, item in applied.items():
            shape = self._shape(key)
            here = merged.get(key)
            merged[key] = item if here is None or shape is None else shape.merge(here, item)
        return merged

    def remove(self, value: Any, node: Node) -> Any:
        if not isinstance(value, dict):
            raise expected("map", value)
        kept = {}
        for key, item in value.items():
            below = node.get("f:" + key)
            shape = self._shape(key)
            if below is None or shape is None:
                kept[key] = item
            elif not is_member(below):
                kept[key] = shape.remove(item, below)
        return kept or EMPTIED

    def named(self, node: Node) -> Node:
        out: Node = {}
        for element, below in node.items():
            key = element[2:]
            shape = self._shape(key) if element != SELF else None
            inner = below if shape is None else shape.named(below)
            out[element] = as_member(inner) if key in self.fields else inner
        return out


class ItemsByKey(Shape):
    """A list whose items have path elements of their own. What differs is `element` and `item`."""

    item: Shape

    @abstractmethod
    def element(self, value: Any) -> str:
        """The path element of an item. Raises ShapeError."""
        ...

    def _index(self, values: Iterable[Any]) -> dict[str, Any]:
        """The items by path element. Those that occur more than once count as one leaf: a list of them."""
        index: dict[str, Any] = {}
        for value in values:
            element = self.element(value)
            if element not in index:
                index[element] = value
            elif isinstance(index[element], _Repeated):
                index[element].append(value)
            else:
                index[element] = _Repeated([index[element], value])
        return index

    def owned(self, value: Any) -> Node | None:
        if not isinstance(value, list):
            raise expected("list", value)
        out: Node = {}
        for item in value:
            element = self.element(item)
            if element in out:
                raise ShapeError(f"duplicate entries for key {path_text((element,))}")
            try:
                out[element] = as_member(self.item.owned(item) or MEMBER)
            except ShapeError as error:
                error.path.insert(0, element)
                raise
        return out or None

    def appeared(self, value: Any) -> Node:
        if not value:
            return MEMBER
        if not isinstance(value, list):
            raise expected("list", value)
        out: Node = {SELF: MEMBER}
        appeared = self.item.appeared
        for element, item in self._index(value).items():
            out[element] = MEMBER if type(item) is _Repeated else appeared(item)
        return out

    def _item(self, item: Any) -> Shape:
        return LEAF if isinstance(item, _Repeated) else self.item

    def compare(self, old: Any, new: Any) -> Compared:
        if not old and not new:
            return NOTHING
        for value in (old, new):
            if not isinstance(value, list) and value is not EMPTIED:
                raise expected("list", value)
        before, after = self._index(old), self._index(new)
        changed: Node = {}
        removed: Node = {}
        for element, item in after.items():
            if element not in before:
                changed[element] = self._item(item).appeared(item)
            elif before[element] != item:
                repeated = isinstance(item, _Repeated) or isinstance(before[element], _Repeated)
                compared = CHANGED if repeated else self.item.compare(before[element], item)
                _put(changed, removed, element, compared)
        for element, item in before.items():
            if element not in after:
                removed[element] = self._item(item).appeared(item)
        return changed or None, removed or None

    def merge(self, live: Any, applied: Any) -> Any:
        if not isinstance(live, list) or not applied:
            return live or applied
        here, wanted = self._index(live), self._index(applied)
        merged = []
        for element in merged_order([self.element(item) for item in live], list(wanted)):
            if element not in wanted:
                items = here[element]
                merged += items if isinstance(items, _Repeated) else [items]
            elif element not in here or isinstance(here[element], _Repeated):
                merged.append(wanted[element])
            else:
                merged.append(self.item.merge(here[element], wanted[element]))
        return merged

    def remove(self, value: Any, node: Node) -> Any:
        if not isinstance(value, list):
            raise expected("list", value)
        kept = []
        for item in value:
            below = node.get(self.element(item))
            if below is None:
                kept.append(item)
            elif not is_member(below):
                kept.append(self.item.remove(item, below))
        return kept or EMPTIED

    def named(self, node: Node) -> Node:
        return {element: below if element == SELF else self.item.named(below) for element, below in node.items()}


class KeyedList(ItemsByKey):
    """`defaults` are the values of keys that an item leaves out."""

    def __init__(self, item: Shape, keys: Iterable[str], defaults: Mapping[str, Any]) -> None:
        self.item = item
        self.keys = tuple(sorted(keys))
        self.defaults = {key: defaults[key] for key in self.keys if key in defaults}

    def element(self, value: Any) -> str:
        if not isinstance(value, dict):
            raise ShapeError("associative list with keys may not have non-map elements")
        found = {}
        for key in self.keys:
            part = value.get(key)
            if part is None:
                part = self.defaults.get(key)
            if part is not None:
                found[key] = part
        if not found:
            named = " ".join(orjson.dumps(key).decode() for key in self.keys)
            raise ShapeError(f"associative list with keys has an element that omits all key fields [{named}]")
        if len(found) == 1 and type(part := found.get(self.keys[0])) is str and len(part) <= KEPT_CHARACTERS:
            return _key_element(self.keys[0], part)
        return "k:" + orjson.dumps(found).decode()


@lru_cache(maxsize=KEY_ELEMENTS_KEPT)
def _key_element(key: str, value: str) -> str:
    return "k:" + orjson.dumps({key: value}).decode()


class ValueSet(ItemsByKey):
    item = LEAF

    def element(self, value: Any) -> str:
        if isinstance(value, dict | list) or value is None:
            raise ShapeError("associative list without keys has an element that's not a scalar")
        return "v:" + orjson.dumps(value).decode()


class Deduced(Shape):
    def __init__(self) -> None:
        self._map = Fields({}, self)

    def _of(self, value: Any) -> Shape:
        return self._map if isinstance(value, dict) else LEAF

    def owned(self, value: Any) -> Node | None:
        return self._of(value).owned(value)

    def appeared(self, value: Any) -> Node:
        return self._of(value).appeared(value)

    def compare(self, old: Any, new: Any) -> Compared:
        both = isinstance(old, dict) and isinstance(new, dict)
        return self._map.compare(old, new) if both else LEAF.compare(old, new)

    def merge(self, live: Any, applied: Any) -> Any:
        both = isinstance(live, dict) and isinstance(applied, dict)
        return self._map.merge(live, applied) if both else applied

    def remove(self, value: Any, node: Node) -> Any:
        return self._of(value).remove(value, node)

    def named(self, node: Node) -> Node:
        return node


DEDUCED = Deduced()


class _Emptied(dict[str, Any]):
    """What is left of a map or list when everything in it was taken out: it is there until it has been compared."""


EMPTIED = _Emptied()


def without_emptied(value: Any) -> Any:
    """The value without what was emptied in it: somebody may own that it is there, but nobody anything in it."""
    if isinstance(value, dict):
        return {key: without_emptied(item) for key, item in value.items() if item is not EMPTIED}
    if isinstance(value, list):
        return [without_emptied(item) for item in value]
    return value


class _Repeated(list[Any]):
    """Items of a list that have the same path element."""


def _put(changed: Node, removed: Node, element: str, compared: Compared) -> None:
    if compared[0] is not None:
        changed[element] = compared[0]
    if compared[1] is not None:
        removed[element] = compared[1]


def merged_order(live: list[str], applied: list[str]) -> list[str]:
    """Applied items in their own order; the others stay before the item that they stood before.

    ([a, s, b], [x, s, y]) -> [a, x, s, b, y]
    """
    wanted = set(applied)
    live = list(dict.fromkeys(live))
    present = set(live)
    shared = [element for element in applied if element in present]
    position, out = 0, []
    for element in applied:
        until = shared[0] if shared else None
        while position < len(live) and live[position] != until:
            if live[position] not in wanted:
                out.append(live[position])
            position += 1
        out.append(element)
        if element == until:
            position += 1
            shared.pop(0)
    return out + [element for element in live[position:] if element not in wanted]
