"""Structural schemas of custom kinds: what is unknown is pruned, what is missing filled in, what is wrong said.

A subset of OpenAPI v3 in which every field has its type at one place (API concepts, "Structural schemas"). Rules in
CEL are not evaluated; a definition that has any is refused (see `rows`). Pure: dicts in, dicts and errors out.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from kaa.api.conform import builtin_conformer
from kaa.api.errors import FieldError
from kaa.api.objects import Object, copy_object
from kaa.api.schema import builtin_schema

Schema = Mapping[str, Any]

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
LIST_TYPE = "x-kubernetes-list-type"
MAP_KEYS = "x-kubernetes-list-map-keys"

OBJECT_FIELDS = ("apiVersion", "kind", "metadata")
"""Known in every object, whatever its schema says; the server's own code checks them."""

METADATA_TYPE = "meta.v1.ObjectMeta"

TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
JSON_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}


@dataclass(frozen=True, slots=True)
class CustomSchema:
    """A version's schema, and where its Scale finds replicas and selector (dotted paths)."""

    root: Schema
    scale_paths: Mapping[str, str]

    def prune(self, obj: Object) -> list[str]:
        """Drops unknown fields in place and returns their paths."""
        unknown: list[str] = []
        _prune(obj, self.root, "", unknown, is_object=True)
        return unknown

    def default(self, obj: Object) -> None:
        """Fills in defaults in place."""
        _default(obj, self.root)

    def settled(self, obj: Object) -> Object:
        """A copy of what was written under another schema, in the form of this one."""
        settled = copy_object(obj)
        self.prune(settled)
        self.default(settled)
        return settled

    def validate(self, obj: Object) -> list[FieldError]:
        return list(_validate({k: v for k, v in obj.items() if k not in OBJECT_FIELDS}, self.root, "", root=True))


def _child(schema: Schema, key: str) -> Schema | None:
    """The schema of a field: its own, or that of any other field."""
    properties = schema.get("properties") or {}
    if key in properties:
        return properties[key]  # type: ignore[no-any-return]
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        return additional
    return {PRESERVE: True} if additional is True else None


def _prune(value: Any, schema: Schema, path: str, unknown: list[str], *, is_object: bool = False) -> None:
    if isinstance(value, list):
        items = schema.get("items") or {}
        for index, item in enumerate(value):
            _prune(item, items, f"{path}[{index}]", unknown, is_object=bool(items.get(EMBEDDED)))
        return
    if not isinstance(value, dict):
        return
    for key in list(value):
        here = f"{path}.{key}" if path else key
        if is_object and key in OBJECT_FIELDS:
            if key == "metadata" and path:
                unknown += (f"{here}.{field}" for field in _prune_metadata(value))
            continue
        child = _child(schema, key)
        if child is not None:
            _prune(value[key], child, here, unknown, is_object=bool(child.get(EMBEDDED)))
        elif not schema.get(PRESERVE):
            del value[key]
            unknown.append(here)


def unknown_metadata(metadata: Any) -> list[str]:
    """The paths of what is no object's metadata."""
    return builtin_conformer().unknown_fields(builtin_schema().definition(METADATA_TYPE), metadata)


def _prune_metadata(embedded: Object) -> list[str]:
    """Drops in place what an embedded object's metadata should not have; what is of a wrong type is left to others."""
    unknown = unknown_metadata(embedded["metadata"])
    if unknown:
        try:
            known, _ = builtin_conformer().conform(builtin_schema().definition(METADATA_TYPE), embedded["metadata"])
        except ValueError:
            return []
        embedded["metadata"] = known
    return unknown


def _default(value: Any, schema: Schema) -> None:
    if isinstance(value, list):
        items = schema.get("items") or {}
        for item in value:
            _default(item, items)
        return
    if not isinstance(value, dict):
        return
    for key, child in (schema.get("properties") or {}).items():
        absent = key not in value or (value[key] is None and not child.get("nullable"))
        if absent and "default" in child:
            value[key] = orjson.loads(orjson.dumps(child["default"]))
    for key, item in value.items():
        known = _child(schema, key)
        if known is not None:
            _default(item, known)


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()


def _invalid(path: str, value: Any, why: str) -> FieldError:
    return FieldError("FieldValueInvalid", path, f"Invalid value: {_shown(value)}: {path} in body {why}")


def _validate(value: Any, schema: Schema, path: str, *, root: bool = False) -> Iterator[FieldError]:
    if value is None and schema.get("nullable"):
        return
    wanted = schema.get("type", "")
    if schema.get(INT_OR_STRING):
        if not (TYPES["integer"](value) or TYPES["string"](value)):
            yield _wrong_type(path, value, "integer,string")
        return
    if wanted and not TYPES[wanted](value):
        yield _wrong_type(path, value, wanted)
        return
    if "enum" in schema and value not in schema["enum"]:
        listed = ", ".join(_shown(known) for known in schema["enum"])
        yield FieldError(
            "FieldValueNotSupported", path, f"Unsupported value: {_shown(value)}: supported values: {listed}"
        )
    if isinstance(value, dict):
        yield from _validate_object(value, schema, path, root)
    elif isinstance(value, list):
        yield from _validate_list(value, schema, path)
    elif isinstance(value, str):
        yield from _validate_string(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _validate_number(value, schema, path)
    for part in schema.get("allOf") or ():
        yield from _validate(value, part, path)
    choices = schema.get("anyOf")
    if choices and not any(_holds(value, part) for part in choices):
        yield _invalid(path, value, "must validate at least one schema (anyOf)")
    choices = schema.get("oneOf")
    if choices and sum(_holds(value, part) for part in choices) != 1:
        yield _invalid(path, value, "must validate one and only one schema (oneOf)")
    if schema.get("not") is not None and _holds(value, schema["not"]):
        yield _invalid(path, value, "must not validate the schema (not)")


def _holds(value: Any, schema: Schema) -> bool:
    return next(_validate(value, schema, ""), None) is None


def _wrong_type(path: str, value: Any, wanted: str) -> FieldError:
    found = JSON_TYPES.get(type(value), "null")
    message = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return FieldError("FieldValueTypeInvalid", path, message)


def _validate_object(value: Object, schema: Schema, path: str, root: bool) -> Iterator[FieldError]:
    for key in schema.get("required") or ():
        if key not in value and not (root and key in OBJECT_FIELDS):
            yield FieldError("FieldValueRequired", f"{path}.{key}" if path else key, "Required value")
    for key, item in value.items():
        child = _child(schema, key)
        if child is not None:
            yield from _validate(item, child, f"{path}.{key}" if path else key)
    count = len(value)
    if count > schema.get("maxProperties", count):
        yield _invalid(path, value, f"should have at most {schema['maxProperties']} properties")
    if count < schema.get("minProperties", 0):
        yield _invalid(path, value, f"should have at least {schema['minProperties']} properties")


def _validate_list(value: list[Any], schema: Schema, path: str) -> Iterator[FieldError]:
    items = schema.get("items") or {}
    for index, item in enumerate(value):
        yield from _validate(item, items, f"{path}[{index}]")
    count = len(value)
    if count > schema.get("maxItems", count):
        limit = schema["maxItems"]
        yield FieldError("FieldValueTooMany", path, f"Too many: {count}: must have at most {limit} items")
    if count < schema.get("minItems", 0):
        yield _invalid(path, count, f"should have at least {schema['minItems']} items")
    seen: set[str] = set()
    for index, item in enumerate(value):
        identity = _identity(item, schema)
        if identity in seen:
            yield FieldError("FieldValueDuplicate", f"{path}[{index}]", f"Duplicate value: {identity}")
        if identity:
            seen.add(identity)


def _identity(item: Any, schema: Schema) -> str:
    """What may occur once in a list of type set or map; "" in other lists."""
    match schema.get(LIST_TYPE):
        case "set":
            return _shown(item)
        case "map" if isinstance(item, dict):
            return _shown({key: item.get(key) for key in schema.get(MAP_KEYS) or ()})
    return ""


def _validate_string(value: str, schema: Schema, path: str) -> Iterator[FieldError]:
    if len(value) > schema.get("maxLength", len(value)):
        limit = schema["maxLength"]
        yield FieldError("FieldValueTooLong", path, f"Too long: may not be more than {limit} bytes")
    if len(value) < schema.get("minLength", 0):
        yield _invalid(path, value, f"should be at least {schema['minLength']} chars long")
    pattern = schema.get("pattern")
    if pattern and not re.search(pattern, value):
        yield _invalid(path, value, f"should match '{pattern}'")


def _validate_number(value: float, schema: Schema, path: str) -> Iterator[FieldError]:
    maximum, minimum = schema.get("maximum"), schema.get("minimum")
    if maximum is not None and (value > maximum or (value == maximum and schema.get("exclusiveMaximum"))):
        than = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield _invalid(path, value, f"should be {than} {maximum}")
    if minimum is not None and (value < minimum or (value == minimum and schema.get("exclusiveMinimum"))):
        than = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield _invalid(path, value, f"should be {than} {minimum}")
    multiple = schema.get("multipleOf")
    if multiple and value % multiple:
        yield _invalid(path, value, f"should be a multiple of {multiple}")
