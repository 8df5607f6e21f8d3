"""A CustomResourceDefinition as rows: one for each served version. Pure.

All versions are stored as the one that says `storage: true`; they differ in their apiVersion alone (conversion strategy
None). What was stored under another schema, of another version or of an earlier definition, takes the form of the
version that it is read in: pruned, and with its defaults. Conversion by webhook and rules in CEL are not there, and a
definition that needs them is refused.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from kaa.api.errors import APIError, FieldError
from kaa.api.objects import Object
from kaa.api.printing.cells import AGE, INVALID, NAME, since
from kaa.api.resource import SCALE, STATUS, Column, Resource, Subresource
from kaa.server.custom.jsonpath import find, parse
from kaa.server.custom.schema import PRESERVE, CustomSchema

RULES = "x-kubernetes-validations"


def rows_of(definition: Object) -> list[Resource]:
    """The rows of a definition's served versions, the preferred one first."""
    spec = definition["spec"]
    versions = sorted(spec["versions"], key=lambda version: version_order(version["name"]))
    # As long as there has been one schema, what is stored has its form already.
    has_other_forms = len(versions) > 1 or definition["metadata"].get("generation", 1) > 1
    return [_row(spec, version, has_other_forms) for version in versions if version.get("served")]


_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STABILITY = {None: 0, "beta": 1, "alpha": 2}


def version_order(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: v2, v1, v2beta1, v1alpha2, then all others by name."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (3, 0, 0, version)
    major, stability, minor = match.groups()
    return (_STABILITY[stability], -int(major), -int(minor or 0), version)


def storage_version(definition: Object) -> str:
    name: str = next(version["name"] for version in definition["spec"]["versions"] if version.get("storage"))
    return name


def _row(spec: Object, version: Object, has_other_forms: bool) -> Resource:
    names = spec["names"]
    subresources = version.get("subresources") or {}
    root = (version.get("schema") or {}).get("openAPIV3Schema") or {PRESERVE: True}
    if spec.get("preserveUnknownFields"):
        root = {**root, PRESERVE: True}
    schema = CustomSchema(root, subresources.get("scale") or {})
    return Resource(
        kind=names["kind"],
        plural=names["plural"],
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(_subresources(subresources)),
        columns=_columns(version),
        selectable_fields=tuple(f["jsonPath"].removeprefix(".") for f in version.get("selectableFields") or ()),
        defaults=schema.default,
        validate=lambda new, old: schema.validate(new),
        storage_version=next(v["name"] for v in spec["versions"] if v.get("storage")),
        from_storage=schema.settled if has_other_forms else None,
        group=spec["group"],
        version=version["name"],
        schema=schema,
    )


def _subresources(declared: Mapping[str, Any]) -> Iterator[Subresource]:
    if "status" in declared:
        yield STATUS
    if "scale" in declared:
        yield SCALE


def _columns(version: Object) -> tuple[Column, ...]:
    declared = version.get("additionalPrinterColumns") or ()
    if not declared:
        return (NAME, AGE)
    return (NAME, *(_column(column) for column in declared))


def _column(column: Object) -> Column:
    return Column(
        column["name"],
        _cell(column["jsonPath"], column["type"]),
        column["type"],
        column.get("format", ""),
        column.get("priority", 0),
        column.get("description", ""),
    )


def _cell(path: str, kind: str) -> Callable[[Object, datetime], Any]:
    def cell(obj: Object, now: datetime) -> Any:
        found = find(path, obj)
        if not found:
            return None
        if kind == "date":
            return _age(found[0], now)
        if kind == "string":
            return ",".join(text_of(value) for value in found)
        return found[0]

    return cell


def _age(value: Any, now: datetime) -> str:
    """How long ago a time is; a custom object may have anything in its place."""
    try:
        return since(value, now)
    except (TypeError, ValueError, OverflowError):
        return INVALID


def text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def problems(definition: Object) -> Iterator[FieldError]:
    """What a definition asks for that is not served, or contradicts itself."""
    spec = definition["spec"]
    name, names = definition["metadata"].get("name", ""), spec.get("names") or {}
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if name != wanted:
        why = 'must be spec.names.plural+"."+spec.group'
        yield FieldError("FieldValueInvalid", "metadata.name", f'Invalid value: "{name}": {why}')
    if (spec.get("conversion") or {}).get("strategy") == "Webhook":
        why = "Forbidden: conversion by webhook is not supported by this server"
        yield FieldError("FieldValueForbidden", "spec.conversion.strategy", why)
    versions = spec.get("versions") or []
    if sum(bool(version.get("storage")) for version in versions) != 1:
        shown = "Invalid value: must have exactly one version marked as storage version"
        yield FieldError("FieldValueInvalid", "spec.versions", shown)
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            yield FieldError(
                "FieldValueRequired", f"{path}.schema.openAPIV3Schema", "Required value: schemas are required"
            )
        else:
            yield from _rules(schema, f"{path}.schema.openAPIV3Schema")
        for number, column in enumerate(version.get("additionalPrinterColumns") or ()):
            yield from _path_problems(column.get("jsonPath", ""), f"{path}.additionalPrinterColumns[{number}].jsonPath")


def _path_problems(text: str, path: str) -> Iterator[FieldError]:
    try:
        parse(text)
    except APIError as error:
        yield FieldError("FieldValueInvalid", path, f'Invalid value: "{text}": {error.message}')


def _rules(schema: Any, path: str) -> Iterator[FieldError]:
    """Every place with rules in CEL."""
    if isinstance(schema, dict):
        if schema.get(RULES):
            why = "Forbidden: validation rules in CEL are not supported by this server"
            yield FieldError("FieldValueForbidden", f"{path}.{RULES}", why)
        for key, value in schema.items():
            if key not in ("default", "example", "enum"):
                yield from _rules(value, f"{path}.{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from _rules(value, f"{path}[{index}]")
