"""The built-in types: which fields each has, and of what type. Facts only; `conform.py` applies them to values.

`generated/schema.txt` has a block for each type, parsed when it is first asked for:

    core.v1.ContainerPort
    name 1 string omit
    containerPort 3 int32 required

A block begins with the type's name and the kinds it is the type of (`v1/Pod`, `apps/v1/Deployment`). A line is a
field: its JSON name, its protobuf number (`2.1`: number 1 in a message that is number 2, whose fields JSON shows as the
outer's; 0: not in protobuf), its type in Go's notation, and words:

    required        the API refuses an object without it
    omit            left out of JSON when empty (Go's omitempty); omitzero: a zero struct is, too
    list= keys=     how apply merges a list: atomic, set, or map with its keys; map=atomic likewise
    strategy= merge= strategic merge patch: merge, replace, retainKeys; and the key that names an item

Types: `*T` (a pointer: empty and absent differ), `[]T`, `map[string]T`, a block's name, `string:core.v1.PullPolicy` (a
string with a Go name of its own), string, bool, bytes, int32, int64, ..., and those whose JSON is special: time,
microtime, quantity, intorstring, raw and fieldsv1 (any object), json (anything), strings (`[]string`, a message in
protobuf), schemaorbool, schemaorarray, schemaorstrings.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


def element_of(type_: str) -> str:
    """The type of a list's items or a map's values, or what a pointer points at; else the type itself."""
    return type_.removeprefix("*").removeprefix("[]").removeprefix("map[string]").removeprefix("*")


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    number: str
    type: str
    required: bool = False
    omit: bool = False
    omitzero: bool = False
    list: str = ""
    keys: tuple[str, ...] = ()
    map: str = ""
    strategy: tuple[str, ...] = ()
    merge: str = ""

    @property
    def element(self) -> str:
        return element_of(self.type)


@dataclass(frozen=True, slots=True)
class Definition:
    name: str  # e.g. core.v1.Pod
    kinds: tuple[str, ...]  # e.g. v1/Pod
    fields: dict[str, Field]

    @property
    def struct(self) -> str:
        return self.name.rsplit(".", 1)[-1]


_FLAGS = ("required", "omit", "omitzero")
_LISTS = ("keys", "strategy")


def _parse_field(line: str) -> Field:
    name, number, type_, *words = line.split(" ")
    attributes: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        attributes[key] = True if key in _FLAGS else tuple(value.split(",")) if key in _LISTS else value
    return Field(name, number, type_, **attributes)


class Schema:
    """The generated file, its blocks found by name and by kind; a block is parsed when it is first used."""

    def __init__(self, text: str) -> None:
        self._blocks: dict[str, str] = {}
        self._by_kind: dict[str, str] = {}
        self._parsed: dict[str, Definition] = {}
        for block in text.rstrip("\n").split("\n\n"):
            head = block.partition("\n")[0]
            name, *kinds = head.split(" ")
            self._blocks[name] = block
            self._by_kind.update(dict.fromkeys(kinds, name))

    def definition(self, name: str) -> Definition:
        """Raises KeyError for a name that is no type of ours."""
        found = self._parsed.get(name)
        if found is None:
            head, *lines = self._blocks[name].split("\n")
            fields = [_parse_field(line) for line in lines]
            found = Definition(name, tuple(head.split(" ")[1:]), {field.name: field for field in fields})
            self._parsed[name] = found
        return found

    def for_kind(self, api_version: str, kind: str) -> Definition | None:
        """By what an object says of itself. The meta kinds (Status, DeleteOptions, ...) belong to every group."""
        name = self._by_kind.get(f"{api_version}/{kind}")
        if name is None and kind in META_KINDS:
            name = self._by_kind.get(f"v1/{kind}")
        return self.definition(name) if name else None

    def names(self) -> list[str]:
        return list(self._blocks)

    def is_type(self, name: str) -> bool:
        return name in self._blocks


META_KINDS = frozenset({"DeleteOptions", "Status", "WatchEvent", "APIGroup", "APIGroupList", "APIResourceList"})


@cache
def builtin_schema() -> Schema:
    return Schema(files("kaa.api.generated").joinpath("schema.txt").read_text())
