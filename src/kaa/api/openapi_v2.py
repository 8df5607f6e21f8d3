"""OpenAPI v2 (`/openapi/v2`): one document of all group versions, as JSON or as gnostic's protobuf.

Older clients read it; client-go only as protobuf. It is the v3 documents put together, in the older notation:
references point into `definitions`, nothing is beside a union, and what v3 allows to be one of several types is a
string. It is large (0.4 MB, 2 MB with descriptions): the caller keeps the bytes, not the document.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from kaa.api.messages import openapi_messages
from kaa.api.openapi import Describe, document, schema_name, undescribed
from kaa.api.resource import Catalog

PRESERVE = "x-kubernetes-preserve-unknown-fields"
_JUNCTORS = ("allOf", "anyOf", "oneOf", "not")
_METHODS = ("get", "put", "post", "delete", "patch")


def document_v2(catalog: Catalog, *, server_version: str, describe: Describe = undescribed) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for group in catalog.groups():
        for version in catalog.versions(group):
            part = document(catalog, group, version, server_version=server_version, describe=describe)
            paths.update((path, _path_v2(item)) for path, item in part["paths"].items())
            custom = {
                schema_name(row.api_version, row.kind)
                for row in catalog
                if row.schema is not None and (row.group, row.version) == (group, version)
            }
            for name, schema in part["components"]["schemas"].items():
                definitions[name] = schema_v2(lenient_root(schema) if name in custom else schema)
    info = {"title": "Kubernetes", "version": server_version}
    return {"swagger": "2.0", "info": info, "paths": paths, "definitions": definitions}


def _path_v2(item: Mapping[str, Any]) -> dict[str, Any]:
    return {method: _operation_v2(item[method]) for method in _METHODS if method in item}


def _operation_v2(operation: Mapping[str, Any]) -> dict[str, Any]:
    extensions = {key: value for key, value in operation.items() if key.startswith("x-")}
    parameters = [
        {"name": parameter["name"], "in": "query", "type": "string", "uniqueItems": True}
        for parameter in operation.get("parameters", ())
    ]
    responses = {"200": {"description": "OK"}}
    return {**({"parameters": parameters} if parameters else {}), "responses": responses, **extensions}


def lenient_root(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A custom kind's schema for kubectl, which takes every field that properties do not name for a mistake."""
    if schema.get(PRESERVE):
        return {key: schema[key] for key in ("type", "x-kubernetes-group-version-kind") if key in schema}
    return lenient(schema)


def lenient(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same for what is in it: where anything else is allowed, or null, neither type nor properties are told."""
    is_reference = "$ref" in (schema.get("allOf") or ({},))[0]
    out = {key: value for key, value in schema.items() if key not in _JUNCTORS or is_reference}
    if out.pop("nullable", False):
        _forget(out, "type", "items", "properties")
    if out.get(PRESERVE):
        _forget(out, "items", "properties")
        if out.get("type") == "object":
            del out["type"]
    if out.get("type") == "array" and "items" not in out:
        del out["type"]
    if isinstance(out.get("properties"), dict):
        nullable = {name for name, inner in out["properties"].items() if inner.get("nullable")}
        out["properties"] = {name: lenient(inner) for name, inner in out["properties"].items()}
        if nullable and "required" in out:
            out["required"] = [name for name in out["required"] if name not in nullable]
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = lenient(out[key])
    return out


def _forget(schema: dict[str, Any], *keys: str) -> None:
    for key in keys:
        schema.pop(key, None)


def schema_v2(schema: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref":
            out["$ref"] = value.replace("#/components/schemas/", "#/definitions/")
        elif key == "allOf" and len(value) == 1:
            out.update(schema_v2(value[0]))
        elif key in ("oneOf", "anyOf"):
            out["type"] = "string"
        elif key == "properties":
            out[key] = {name: schema_v2(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = schema_v2(value)
        else:
            out[key] = value
    return out


def encode_v2(doc: Mapping[str, Any]) -> bytes:
    """A document of `document_v2` as gnostic's Document."""
    return openapi_messages().encode(
        "Document",
        {
            "swagger": doc["swagger"],
            "info": doc["info"],
            "paths": {"path": [{"name": path, "value": _wire_path(item)} for path, item in doc["paths"].items()]},
            "definitions": {"additional_properties": _wire_schemas(doc["definitions"])},
        },
    )


def _wire_path(item: Mapping[str, Any]) -> dict[str, Any]:
    return {method: _wire_operation(operation) for method, operation in item.items()}


def _wire_operation(operation: Mapping[str, Any]) -> dict[str, Any]:
    response = {"response": {"description": operation["responses"]["200"]["description"]}}
    return {
        "parameters": [
            {
                "parameter": {
                    "non_body_parameter": {
                        "query_parameter_sub_schema": {
                            "name": parameter["name"],
                            "in": parameter["in"],
                            "type": parameter["type"],
                            "unique_items": parameter["uniqueItems"],
                        }
                    }
                }
            }
            for parameter in operation.get("parameters", ())
        ],
        "responses": {"response_code": [{"name": "200", "value": response}]},
        "vendor_extension": _wire_extensions(operation),
    }


def _wire_extensions(holder: Mapping[str, Any]) -> list[dict[str, Any]]:
    """JSON is YAML, which is what these values are written in."""
    return [
        {"name": key, "value": {"yaml": orjson.dumps(value).decode()}}
        for key, value in holder.items()
        if key.startswith("x-")
    ]


def _wire_schemas(schemas: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "value": _wire_schema(schema)} for name, schema in schemas.items()]


_SAME_IN_BOTH = ("format", "title", "description", "pattern", "required", "maximum", "minimum")


def _wire_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {key: schema[key] for key in _SAME_IN_BOTH if key in schema}
    if "$ref" in schema:
        out["_ref"] = schema["$ref"]
    if "type" in schema:
        out["type"] = {"value": [schema["type"]]}
    if "properties" in schema:
        out["properties"] = {"additional_properties": _wire_schemas(schema["properties"])}
    if isinstance(schema.get("items"), dict):
        out["items"] = {"schema": [_wire_schema(schema["items"])]}
    additional = schema.get("additionalProperties")
    if additional is not None:
        is_flag = isinstance(additional, bool)
        out["additional_properties"] = {"boolean": additional} if is_flag else {"schema": _wire_schema(additional)}
    out["vendor_extension"] = _wire_extensions(schema)
    return out
