"""Shapes of the types: built-in ones from the schema, custom ones from their structural schema; made when first used.

What a list is made of is said by `list=` and `keys=` in `schema.py`, and by `x-kubernetes-list-type` and
`x-kubernetes-list-map-keys` in a custom kind's: a list of which nothing is said is one field, a map is one field for
each key.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from kaa.api.managed_fields.shapes import DEDUCED, LEAF, Fields, KeyedList, NamedField, Shape, ValueSet
from kaa.api.scalars import ZEROS
from kaa.api.schema import Field, Schema, builtin_schema

KEY_DEFAULTS = {"protocol": "TCP", "name": ""}
"""What a built-in item's key is when it is left out, where that is not just the zero value of a required field."""

ATOMIC_TYPES = frozenset(
    f"{group}.{name}"
    for group, names in {
        "admissionregistration.v1": ("MatchResources", "NamedRuleWithOperations", "ParamKind", "ParamRef", "Variable"),
        "autoscaling.v1": ("CrossVersionObjectReference",),
        "core.v1": (
            "ConfigMapKeySelector",
            "EndpointAddress",
            "EndpointPort",
            "EvictionResponder",
            "FileKeySelector",
            "LocalObjectReference",
            "NodeSelector",
            "NodeSelectorTerm",
            "ObjectFieldSelector",
            "ObjectReference",
            "ResourceFieldSelector",
            "ScopeSelector",
            "SecretKeySelector",
            "SecretReference",
            "TopologySelectorTerm",
            "TypedLocalObjectReference",
        ),
        "discovery.v1": ("EndpointPort",),
        "meta.v1": ("LabelSelector", "OwnerReference"),
        "networking.v1": ("ServiceBackendPort",),
        "rbac.v1": ("RoleRef", "Subject"),
    }.items()
    for name in names
)
"""Types whose objects are one field each: upstream's `+structType=atomic`."""

JSONSchema = Mapping[str, Any]


class BuiltinShapes:
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._structs: dict[str, Fields] = {}

    def struct(self, name: str) -> Fields:
        """The shape of a type of the schema."""
        known = self._structs.get(name)
        if known is None:
            # Known before its fields are, because a type may contain itself.
            known = self._structs[name] = Fields({})
            for field in self._schema.definition(name).fields.values():
                known.fields[field.name] = NamedField(self._field(field), self._zero(field))
        return known

    def _field(self, field: Field) -> Shape:
        type_ = field.type.removeprefix("*")
        if field.map == "atomic" or type_ == "strings":
            return LEAF
        if type_.startswith("[]"):
            return self._list(field, type_[2:])
        return self._type(type_)

    def _type(self, type_: str) -> Shape:
        type_ = type_.removeprefix("*")
        if type_.startswith("map[string]"):
            return Fields({}, self._type(type_.removeprefix("map[string]")))
        if not self._schema.is_type(type_) or type_ in ATOMIC_TYPES:
            return LEAF
        return self.struct(type_)

    def _list(self, field: Field, element: str) -> Shape:
        if field.list == "set":
            return ValueSet()
        if field.list == "map":
            fields = self._schema.definition(element.removeprefix("*")).fields
            zeros = {key: self._zero(fields[key]) for key in field.keys if self._zero(fields[key]) is not None}
            return KeyedList(self._type(element), field.keys, zeros | KEY_DEFAULTS)
        return LEAF

    def _zero(self, field: Field) -> Any:
        """What Go writes for a field that was not set; None where it writes nothing."""
        if field.type.startswith("*"):
            return None
        if self._schema.is_type(field.type):
            return None if field.omitzero else {}
        if field.omit:
            return None
        if field.type.startswith("[]"):
            return []
        if field.type.startswith("map["):
            return {}
        return ZEROS.get(field.type.partition(":")[0])


@cache
def builtin_shapes() -> BuiltinShapes:
    return BuiltinShapes(builtin_schema())


@cache
def builtin_shape(api_version: str, kind: str) -> Fields | None:
    definition = builtin_schema().for_kind(api_version, kind)
    return None if definition is None else builtin_shapes().struct(definition.name)


def custom_shape(root: JSONSchema) -> Fields:
    """The shape of a custom kind with this structural schema."""
    shape = _of_schema(root)
    fields = shape.fields if isinstance(shape, Fields) else {}
    metadata = NamedField(builtin_shapes().struct("meta.v1.ObjectMeta"))
    return Fields({**fields, **_type_meta(), "metadata": metadata}, getattr(shape, "rest", DEDUCED))


def _type_meta() -> dict[str, NamedField]:
    return {"apiVersion": NamedField(LEAF), "kind": NamedField(LEAF)}


def _of_schema(schema: JSONSchema) -> Shape:
    if schema.get("x-kubernetes-int-or-string"):
        return LEAF
    match schema.get("type"):
        case "object":
            return _of_object(schema)
        case "array":
            return _of_list(schema)
        case None | "":
            return DEDUCED
        case _:
            return LEAF


def _of_object(schema: JSONSchema) -> Shape:
    if schema.get("x-kubernetes-map-type") == "atomic":
        return LEAF
    fields = {name: NamedField(_of_schema(field)) for name, field in (schema.get("properties") or {}).items()}
    if schema.get("x-kubernetes-embedded-resource"):
        metadata = NamedField(builtin_shapes().struct("meta.v1.ObjectMeta"))
        fields = {**fields, **_type_meta(), "metadata": metadata}
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        return Fields(fields, _of_schema(additional))
    if additional or schema.get("x-kubernetes-preserve-unknown-fields") or not fields:
        return Fields(fields, DEDUCED) if fields else DEDUCED
    return Fields(fields)


def _of_list(schema: JSONSchema) -> Shape:
    items = schema.get("items") or {}
    match schema.get("x-kubernetes-list-type"):
        case "set":
            return ValueSet()
        case "map":
            properties = items.get("properties") or {}
            defaults = {name: field["default"] for name, field in properties.items() if "default" in field}
            return KeyedList(_of_schema(items), schema.get("x-kubernetes-list-map-keys") or (), defaults)
        case _:
            return LEAF
