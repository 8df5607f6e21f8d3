"""OpenAPI v3: what kinds, fields and paths a server has, as `kubectl explain` and clients' validation read them.

`index` is the document at `/openapi/v3`, which names one document for each group version; `document` makes one of
those from the catalog's rows (paths, verbs) and the schema (types). Descriptions are not ours: the caller may give a
function that knows them (`descriptions.describe`), else there are none.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from kaa.api.resource import Catalog, Resource, Subresource
from kaa.api.schema import Definition, Field, builtin_schema

Describe = Callable[[str], tuple[str, dict[str, str]]]
"""A type's name (`core.v1.Pod`) -> its description, and those of its fields by name; empty where unknown."""

_PACKAGES = {
    "meta": "io.k8s.apimachinery.pkg.apis.meta",
    "version": "io.k8s.apimachinery.pkg.version",
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}
_SPECIAL: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "format": "byte"},
    "float64": {"type": "number", "format": "double"},
    "time": {"type": "string", "format": "date-time"},
    "microtime": {"type": "string", "format": "date-time"},
    "duration": {"type": "string"},
    "quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "intorstring": {"type": "string", "format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    "raw": {"type": "object"},
    "fieldsv1": {"type": "object"},
    "json": {},
    "strings": {"type": "array", "items": {"type": "string"}},
    "int": {"type": "integer", "format": "int32"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "uint8": {"type": "integer", "format": "int32"},
    "uint16": {"type": "integer", "format": "int32"},
    "uint32": {"type": "integer", "format": "int64"},
    "uint64": {"type": "integer", "format": "int64"},
}
ANY_OBJECT = "core.v1.ConfigMap"
"""A type whose apiVersion, kind and metadata are described as every object's."""

_ACTIONS = (
    # verb, HTTP method, whether it is on one object, x-kubernetes-action
    ("list", "get", False, "list"),
    ("create", "post", False, "post"),
    ("deletecollection", "delete", False, "deletecollection"),
    ("get", "get", True, "get"),
    ("update", "put", True, "put"),
    ("patch", "patch", True, "patch"),
    ("delete", "delete", True, "delete"),
)


def undescribed(name: str) -> tuple[str, dict[str, str]]:
    return "", {}


def index(catalog: Catalog) -> dict[str, Any]:
    """The root document: each group version's path, with a hash of what it describes, by which clients cache it."""
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={_hash(catalog, group, version)}"}
            for path, group, version in _group_versions(catalog)
        }
    }


def _group_versions(catalog: Catalog) -> Iterator[tuple[str, str, str]]:
    for group in catalog.groups():
        for version in catalog.versions(group):
            yield (f"apis/{group}/{version}" if group else f"api/{version}"), group, version


def _hash(catalog: Catalog, group: str, version: str) -> str:
    facts = [
        [r.name, r.kind, r.namespaced, r.verbs, [[s.name, s.verbs] for s in r.subresources], r.schema]
        for r in _rows(catalog, group, version)
    ]
    return hashlib.sha256(orjson.dumps(facts, default=str)).hexdigest().upper()


def _rows(catalog: Catalog, group: str, version: str) -> list[Resource]:
    return [row for row in catalog if row.group == group and row.version == version]


def document(
    catalog: Catalog, group: str, version: str, *, server_version: str, describe: Describe = undescribed
) -> dict[str, Any]:
    """One group version's document, of paths and of every type that they lead to. Raises KeyError if none is served."""
    rows = _rows(catalog, group, version)
    if not rows:
        raise KeyError(f"{group}/{version}")
    paths: dict[str, Any] = {}
    roots: list[str] = ["meta.v1.Status", "meta.v1.DeleteOptions"]
    schemas: dict[str, Any] = {}
    for row in rows:
        paths.update(_paths(row))
        definition = builtin_schema().for_kind(row.api_version, row.kind)
        if definition is not None:
            roots.append(definition.name)
        else:
            schemas[schema_name(row.api_version, row.kind)] = _custom_schema(row, describe)
            roots.append("meta.v1.ObjectMeta")
        for sub in row.subresources:
            body = builtin_schema().for_kind(*_body_type(row, sub))
            roots += [body.name] if body else []
        listed = builtin_schema().for_kind(row.api_version, row.list_kind)
        roots += [listed.name] if listed else []
    schemas.update(_schemas(roots, describe))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": server_version},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _body_type(row: Resource, sub: Subresource) -> tuple[str, str]:
    if not sub.kind:
        return row.api_version, row.kind
    version = sub.version or row.version
    group = sub.group or ("" if sub.version else row.group)
    return (f"{group}/{version}" if group else version), sub.kind


def _paths(row: Resource) -> Iterator[tuple[str, dict[str, Any]]]:
    namespace = "{namespace}" if row.namespaced else None
    for path, single in ((row.path(namespace), False), (row.path(namespace, "{name}"), True)):
        item = _item(row.verbs, row.api_version, row.kind, single=single)
        if item:
            yield path, {**item, "parameters": _parameters(row, single=single)}
    if row.namespaced and "list" in row.verbs:
        yield row.path(), {"get": _operation("list", row.api_version, row.kind)}
    for sub in row.subresources:
        api_version, kind = _body_type(row, sub)
        item = _item(sub.verbs, api_version, kind, single=True)
        if "create" in sub.verbs:
            item["post"] = _operation("post", api_version, kind)
        yield row.path(namespace, "{name}", sub.name), {**item, "parameters": _parameters(row, single=True)}


def _item(verbs: Iterable[str], api_version: str, kind: str, *, single: bool) -> dict[str, Any]:
    return {
        method: _operation(action, api_version, kind)
        for verb, method, on_one, action in _ACTIONS
        if on_one == single and verb in verbs
    }


def _operation(action: str, api_version: str, kind: str) -> dict[str, Any]:
    group, _, version = api_version.rpartition("/")
    # The options of a connection (PodExecOptions) travel in the query: they have no schema.
    name = schema_name(api_version, kind)
    has_schema = not kind.endswith("Options")
    reference: dict[str, Any] = {"$ref": f"#/components/schemas/{name}"} if has_schema else {"type": "string"}
    content = {"application/json": {"schema": reference}}
    operation: dict[str, Any] = {
        "responses": {"200": {"description": "OK", "content": content}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    }
    if action in ("post", "put"):
        operation["requestBody"] = {"content": {"*/*": {"schema": reference}}}
    if action in ("post", "put", "patch"):
        operation["parameters"] = [_query(name) for name in ("dryRun", "fieldManager", "fieldValidation")]
    return operation


def _query(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}


def _parameters(row: Resource, *, single: bool) -> list[dict[str, Any]]:
    names = (["name"] if single else []) + (["namespace"] if row.namespaced else [])
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "uniqueItems": True}}
        for name in names
    ]


def schema_name(api_version: str, kind: str) -> str:
    """The name of a kind's type: a built-in one's is upstream's, a custom one's has its group's parts reversed."""
    definition = builtin_schema().for_kind(api_version, kind)
    if definition is not None:
        return openapi_name(definition.name)
    group, _, version = api_version.rpartition("/")
    return ".".join([*reversed(group.split(".")), version, kind])


def openapi_name(name: str) -> str:
    """`core.v1.Pod` as `io.k8s.api.core.v1.Pod`."""
    package, rest = name.split(".", 1)
    return f"{_PACKAGES.get(package, f'io.k8s.api.{package}')}.{rest}"


def _schemas(roots: Iterable[str], describe: Describe) -> dict[str, Any]:
    """The schemas of these types and of all that their fields lead to."""
    out: dict[str, Any] = {}
    waiting = list(dict.fromkeys(roots))
    while waiting:
        name = waiting.pop()
        if openapi_name(name) in out:
            continue
        definition = builtin_schema().definition(name)
        out[openapi_name(name)] = type_schema(definition, describe)
        waiting += [field.element for field in definition.fields.values() if builtin_schema().is_type(field.element)]
        if any(field.type.startswith("schemaor") for field in definition.fields.values()):
            waiting.append("apiextensions.v1.JSONSchemaProps")
    return out


def type_schema(definition: Definition, describe: Describe = undescribed) -> dict[str, Any]:
    description, of_fields = describe(definition.name)
    schema: dict[str, Any] = {"type": "object"}
    if description:
        schema["description"] = description
    if definition.fields:
        schema["properties"] = {
            name: _field_schema(field, of_fields.get(name, "")) for name, field in definition.fields.items()
        }
    required = [name for name, field in definition.fields.items() if field.required]
    if required:
        schema["required"] = required
    if definition.kinds:
        kinds = (kind.rsplit("/", 2) for kind in definition.kinds)
        schema["x-kubernetes-group-version-kind"] = [
            {"group": group[0] if group else "", "version": version, "kind": kind} for *group, version, kind in kinds
        ]
    return schema


def _field_schema(field: Field, description: str) -> dict[str, Any]:
    schema = _value_schema(field.type)
    if "$ref" in schema:
        # Beside a reference nothing else may stand.
        schema = {"allOf": [schema]}
    if description:
        schema["description"] = description
    if field.list:
        schema["x-kubernetes-list-type"] = field.list
    if field.keys:
        schema["x-kubernetes-list-map-keys"] = list(field.keys)
    if field.map:
        schema["x-kubernetes-map-type"] = field.map
    if field.strategy:
        schema["x-kubernetes-patch-strategy"] = ",".join(field.strategy)
    if field.merge:
        schema["x-kubernetes-patch-merge-key"] = field.merge
    return schema


def _value_schema(type_: str) -> dict[str, Any]:
    type_ = type_.removeprefix("*").partition(":")[0]
    if type_.startswith("[]"):
        return {"type": "array", "items": _value_schema(type_[2:])}
    if type_.startswith("map[string]"):
        return {"type": "object", "additionalProperties": _value_schema(type_.removeprefix("map[string]"))}
    if builtin_schema().is_type(type_):
        return {"$ref": f"#/components/schemas/{openapi_name(type_)}"}
    return dict(_SPECIAL.get(type_, {}))


def _custom_schema(row: Resource, describe: Describe) -> dict[str, Any]:
    """A custom kind's own schema, with what every object has beside it."""
    own: dict[str, Any] = row.schema if isinstance(row.schema, dict) else {"type": "object"}
    kind = {"group": row.group, "version": row.version, "kind": row.kind}
    whole = _with_embedded(own, object_fields(describe))
    return {**_as_object(whole, object_fields(describe)), "x-kubernetes-group-version-kind": [kind]}


def object_fields(describe: Describe) -> dict[str, Any]:
    """The schemas of the fields that are the same in every object."""
    _, of_fields = describe(ANY_OBJECT)
    meta = {"allOf": [{"$ref": f"#/components/schemas/{openapi_name('meta.v1.ObjectMeta')}"}]}
    fields: dict[str, dict[str, Any]] = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": meta}
    return {
        name: {**schema, **({"description": of_fields[name]} if name in of_fields else {})}
        for name, schema in fields.items()
    }


def _as_object(schema: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "properties": {**(schema.get("properties") or {}), **fields}}


def _with_embedded(schema: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The schema in which the objects that are embedded have these fields too."""
    out = dict(schema)
    if isinstance(schema.get("properties"), dict):
        out["properties"] = {name: _with_embedded(inner, fields) for name, inner in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            out[key] = _with_embedded(schema[key], fields)
    return _as_object(out, fields) if schema.get("x-kubernetes-embedded-resource") else out
