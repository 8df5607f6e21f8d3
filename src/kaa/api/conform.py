"""Makes decoded JSON conform to a built-in type: the effect that Go's decoding into a struct has on an object.

Unknown fields are dropped and reported; null counts as absent; a value of the wrong type is refused with the text of
Go's decoder (`json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`). What Go
would write differently is written so: empty optional fields go, structs and required scalars that are absent appear
as their zero value (`status: {}`, `lastProbeTime: null`), quantities and times take their canonical form. The one
difference: a list, map or pointer that Go writes as null is left out, since absent means the same to every reader.

Each type is compiled once into a closure that calls the closures of its fields, so that an object costs one pass. A
type's walker takes a value and a list, to which it adds the name of each unknown field; the rare object that has any is
walked again for their paths (`unknown_fields`).
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeAlias

from kaa.api.scalars import SCALARS, ZEROS, Mismatch, Walker, anything, of_kind
from kaa.api.schema import Definition, Field, Schema, builtin_schema

JSONMap: TypeAlias = dict[str, Any]


def _list_of(item: Walker, zero: Callable[[], Any], go_type: str) -> Walker:
    def walk(value: Any, unknown: list[str]) -> Any:
        if type(value) is not list:
            raise Mismatch(value, go_type)
        return [zero() if element is None else item(element, unknown) for element in value]

    return walk


def _map_of(item: Walker, zero: Callable[[], Any], go_type: str) -> Walker:
    def walk(value: Any, unknown: list[str]) -> Any:
        if type(value) is not dict:
            raise Mismatch(value, go_type)
        return {key: zero() if element is None else item(element, unknown) for key, element in value.items()}

    return walk


TIMES = ("time", "microtime")
"""Structs, too, to Go; the zero value of these is written as null."""

PLAIN = {"string": str, "bool": bool}
"""Types whose values are as they should be once they are of this Python type: most fields, which then cost no call."""

_JSON_SCHEMA = "apiextensions.v1.JSONSchemaProps"


class Conformer:
    """The compiled walkers of one schema's types, made when first used."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._walkers: dict[str, Walker] = dict(SCALARS)

    def conform(self, definition: Definition, value: Any) -> tuple[Any, bool]:
        """A new value of the type, and whether unknown fields were dropped.

        Raises ValueError with Go's text. Parts that need no change may be shared with the argument.
        """
        unknown: list[str] = []
        return self.walker(definition.name)({} if value is None else value, unknown), bool(unknown)

    def conform_changed(self, definition: Definition, value: JSONMap, before: JSONMap) -> tuple[JSONMap, bool]:
        """The same, where a field whose value is the very one of `before`, which conforms, is taken as it is."""
        changed = {key: item for key, item in value.items() if item is None or item is not before.get(key)}
        conformed, has_unknown = self.conform(definition, changed)
        out = {}
        for key, item in value.items():
            if key not in changed:
                out[key] = item
            elif key in conformed:
                out[key] = conformed[key]
        for key, zero in conformed.items():
            out.setdefault(key, zero)
        return out, has_unknown

    def walker(self, type_: str) -> Walker:
        walker = self._walkers.get(type_)
        if walker is None:
            walker = self._walkers[type_] = self._compile(type_)
        return walker

    def _compile(self, type_: str) -> Walker:
        if type_.startswith("*"):
            return self.walker(type_[1:])
        if type_.startswith("[]"):
            return _list_of(self.walker(type_[2:]), self._zero(type_[2:]), go_name(type_))
        if type_.startswith("map[string]"):
            element = type_.removeprefix("map[string]")
            return _map_of(self.walker(element), self._zero(element), go_name(type_))
        if type_ == "strings":
            return self.walker("[]string")
        if type_.startswith("schemaor"):
            return self._json_schema_or(type_)
        base, _, named = type_.partition(":")
        return of_kind(str, go_name(named)) if named and base == "string" else self._struct(type_)

    def _json_schema_or(self, type_: str) -> Walker:
        """The three places where a JSON schema may stand for something else."""
        other = {
            "schemaorbool": (bool, anything),
            "schemaorarray": (list, self._later(f"[]{_JSON_SCHEMA}")),
            "schemaorstrings": (list, self.walker("[]string")),
        }
        other_kind, other_walker = other[type_]

        def walk(value: Any, unknown: list[str]) -> Any:
            if type(value) is other_kind:
                return other_walker(value, unknown)
            return self.walker(_JSON_SCHEMA)(value, unknown)

        return walk

    def _later(self, type_: str) -> Walker:
        """The type's walker, looked up when used: for a type that is still being compiled."""
        return lambda value, unknown: self.walker(type_)(value, unknown)

    def _struct(self, name: str) -> Walker:
        definition = self._schema.definition(name)
        table: dict[str, tuple[type | None, Walker, bool]] = {}
        always: list[tuple[str, Callable[[], Any]]] = []
        struct, go_type = definition.struct, go_name(name)

        def walk(value: Any, unknown: list[str]) -> Any:
            if type(value) is not dict:
                raise Mismatch(value, go_type)
            out = {}
            for key, item in value.items():
                try:
                    plain, walker, goes_when_empty = table[key]
                except KeyError:
                    unknown.append(key)
                    continue
                if type(item) is not plain:
                    if item is None:
                        continue
                    try:
                        item = walker(item, unknown)
                    except Mismatch as error:
                        error.path.append(key)
                        error.struct = error.struct or struct
                        raise
                if item or not goes_when_empty:
                    out[key] = item
            for key, zero in always:
                if key not in out:
                    out[key] = zero()
            return out

        # Known before its fields are compiled, because a type may contain itself.
        self._walkers[name] = walk
        for field in definition.fields.values():
            plain = PLAIN.get(field.type.removeprefix("*").partition(":")[0])
            table[field.name] = (plain, self.walker(field.type), self._goes_when_empty(field))
            if self._is_always_there(field):
                always.append((field.name, self._zero(field.type)))
        return walk

    def _goes_when_empty(self, field: Field) -> bool:
        if not field.omit or field.type.startswith("*"):
            return False
        return field.omitzero or not self._is_struct(field.type)

    def _is_always_there(self, field: Field) -> bool:
        if self._is_struct(field.type) or field.type in TIMES:
            return not field.omitzero
        return not field.omit and field.type.partition(":")[0] in ZEROS

    def _is_struct(self, type_: str) -> bool:
        """Go never finds a struct empty, whatever its JSON looks like."""
        return self._schema.is_type(type_) or type_ in ("quantity", "intorstring")

    def _zero(self, type_: str) -> Callable[[], Any]:
        """Makes what null stands for: a fresh zero value, so that no two objects share one."""
        if self._schema.is_type(type_):
            return lambda: self.walker(type_)({}, [])
        zero = "" if type_ == "bytes" else ZEROS.get(type_.partition(":")[0])
        return lambda: zero

    def unknown_fields(self, definition: Definition, value: Any) -> list[str]:
        """The path of every field that the type does not have: `spec.containers[0].foo`."""
        return list(self._unknown(definition.name, value, ""))

    def _unknown(self, type_: str, value: Any, path: str) -> Iterator[str]:
        type_ = type_.removeprefix("*")
        if type_.startswith("schemaor"):
            type_ = f"[]{_JSON_SCHEMA}" if isinstance(value, list) else _JSON_SCHEMA
        if type_.startswith("[]") and isinstance(value, list):
            for i, item in enumerate(value):
                yield from self._unknown(type_[2:], item, f"{path}[{i}]")
        elif type_.startswith("map[string]") and isinstance(value, dict):
            for key, item in value.items():
                yield from self._unknown(type_.removeprefix("map[string]"), item, f"{path}.{key}" if path else key)
        elif self._schema.is_type(type_) and isinstance(value, dict):
            fields = self._schema.definition(type_).fields
            for key, item in value.items():
                here = f"{path}.{key}" if path else key
                if key in fields:
                    yield from self._unknown(fields[key].type, item, here)
                else:
                    yield here


def go_name(type_: str) -> str:
    """A type as Go's messages name it: `[]core.v1.Container` is `[]v1.Container`."""
    prefix, named = re.fullmatch(r"((?:\*|\[\]|map\[string\])*)(.*)", type_).groups()  # type: ignore[union-attr]
    special = {"time": "v1.Time", "quantity": "resource.Quantity", "intorstring": "intstr.IntOrString"}
    name = special.get(named) or ".".join(named.rpartition(":")[2].split(".")[-2:])
    return prefix.replace("*", "") + name


@cache
def builtin_conformer() -> Conformer:
    return Conformer(builtin_schema())
