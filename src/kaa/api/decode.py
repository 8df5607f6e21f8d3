"""Request bodies to objects: JSON, YAML and protobuf, conforming to the type that the request expects.

What is wrong with a body is a BadRequest with upstream's text: syntax, a value of the wrong type, another kind than
the path names. *Field validation* says what becomes of unknown and duplicate fields: `Strict` refuses them, `Warn`
reports them in the answer's Warning headers, `Ignore` says nothing; they are dropped in any case.

Custom kinds have no type here: their metadata is checked, the rest is left to their own schema.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import orjson

from kaa.api.conform import builtin_conformer
from kaa.api.errors import APIError, bad_request
from kaa.api.objects import MAX_DEPTH, Object, is_too_deep
from kaa.api.scalars import JSON_KINDS, Mismatch
from kaa.api.schema import META_KINDS, builtin_schema
from kaa.api.syntax import go_syntax_error

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"

STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"

_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
"""What Go decodes first to learn an object's kind; its name is part of a message."""
SHOWN_BYTES = 30
"""How much of an unrecognizable body a message shows."""
MAX_FIELD_ERRORS = 100
"""Unknown and duplicate fields that one answer names."""


@dataclass(slots=True)
class Decoded:
    """`warnings` are the texts for Warning headers, with field validation `Warn`."""

    object: Object
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Body:
    """A parsed body: any JSON value, the paths that occur twice in it, and what else strict parsing found."""

    value: Any
    duplicates: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def decode(body: bytes, content_type: str, api_version: str, kind: str, *, field_validation: str = WARN) -> Decoded:
    """The object in a body that should be of `kind`; it need not say so itself.

    `content_type` may have parameters. `kind` is the body's: for a subresource its own (Scale, Eviction). Raises
    BadRequest, UnsupportedMediaType.
    """
    media_type = content_type.partition(";")[0].strip().lower() or JSON
    if media_type not in (JSON, YAML, PROTOBUF):
        raise unsupported_media_type((JSON, YAML, PROTOBUF))
    try:
        if media_type == PROTOBUF:
            parsed = _from_protobuf(body, api_version, kind)
        else:
            parsed = _from_text(body, media_type, kind, duplicates=field_validation != IGNORE)
        return _as_object(parsed, api_version, kind, field_validation)
    except RecursionError:
        # Python's own limit on nested calls bounds how deep an object may be.
        raise bad_request(f"{kind} cannot be decoded: exceeded max depth") from None


def conform_object(
    obj: Any, api_version: str, kind: str, *, field_validation: str = WARN, before: Object | None = None
) -> Decoded:
    """The same for a value that has been parsed already, e.g. the result of a patch.

    `before` is an object of the kind that the value was made from: fields that are in both, the very same, are taken
    as they are.
    """
    return _as_object(_Body(obj), api_version, kind, field_validation, before)


def parse_json(body: bytes) -> Any:
    """Any JSON value, e.g. a patch. Raises BadRequest."""
    try:
        return load_json(body)
    except ValueError as error:
        raise bad_request(str(error)) from None


def load_json(body: bytes) -> Any:
    """Any JSON value that isn't too deep. Raises ValueError in the words of Go's decoder."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            problem = go_syntax_error(body, error.pos)
        except RecursionError:
            problem = "exceeded max depth"
        raise ValueError(problem) from None
    # Counting brackets is quick; most bodies have too few to be deep, and need no look at their levels.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and is_too_deep(value):
        raise ValueError("exceeded max depth")
    return value


def unsupported_media_type(accepted: tuple[str, ...]) -> APIError:
    return APIError(
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted),
    )


def _from_text(body: bytes, media_type: str, kind: str, *, duplicates: bool) -> _Body:
    try:
        if media_type == YAML and not body.lstrip().startswith(b"{"):
            # Few requests are YAML; its parser is loaded with the first.
            from kaa.api.yaml_json import parse_yaml

            value, problems = parse_yaml(body)
            return _Body(value, problems=["yaml: unmarshal errors:\n  " + "\n  ".join(problems)] if problems else [])
        parsed = _Body(load_json(body))
    except ValueError as error:
        raise _unrecognized(body, kind, str(error)) from None
    # A body that comes out the same when it is written again has lost nothing: our own clients' bodies do.
    if duplicates and orjson.dumps(parsed.value) != body:
        parsed.duplicates = duplicate_fields(body)
    return parsed


def _unrecognized(body: bytes, kind: str, why: str) -> APIError:
    """The answer to a body that does not even say what it is; it shows the beginning, in hex unless it is an object."""
    beginning = body[:SHOWN_BYTES]
    shown = beginning.decode(errors="replace") if body.startswith(b"{") else beginning.hex()
    summary = f"{shown} ..." if len(body) > SHOWN_BYTES else shown or "<empty>"
    problem = f"couldn't get version/kind; json parse error: {why}"
    return bad_request(f"the object provided is unrecognized (must be of type {kind}): {problem} ({summary})")


def _from_protobuf(body: bytes, api_version: str, kind: str) -> _Body:
    from kaa.api.protobuf import decode_object

    try:
        return _Body(decode_object(body, api_version, kind))
    except ValueError as error:
        raise _cannot_be_handled(api_version, kind, kind, str(error)) from None


def _as_object(
    body: _Body, api_version: str, kind: str, field_validation: str, before: Object | None = None
) -> Decoded:
    value = {} if body.value is None else body.value
    if not isinstance(value, dict):
        raise _unrecognized(orjson.dumps(value), kind, str(Mismatch(value, _TYPE_META)))
    body_kind, body_version = _type_of(value, api_version, kind)
    obj, unknown = _conformed(value, body_version, body_kind, kind, before)
    obj["apiVersion"], obj["kind"] = api_version, kind
    if not unknown and not body.duplicates and not body.problems:
        return Decoded(obj)
    problems = [f'unknown field "{path}"' for path in unknown]
    problems += [f'duplicate field "{path}"' for path in body.duplicates if not _is_under(path, unknown)]
    problems = (body.problems + problems)[:MAX_FIELD_ERRORS]
    if problems and field_validation == STRICT:
        raise _cannot_be_handled(api_version, body_kind, kind, "strict decoding error: " + ", ".join(problems))
    return Decoded(obj, tuple(problems) if field_validation == WARN else ())


def _is_under(path: str, unknown: list[str]) -> bool:
    """Whether the path is an unknown field or inside one: what is in there was never looked at."""
    return any(path == field or path.startswith((f"{field}.", f"{field}[")) for field in unknown)


def _type_of(value: Object, api_version: str, kind: str) -> tuple[str, str]:
    """What the body says it is, checked against what it should be; what it leaves out is as expected."""
    if value.get("kind") == kind and value.get("apiVersion") == api_version:
        return kind, api_version
    body_kind, body_version = (
        stated if stated not in (None, "") else expected
        for stated, expected in ((value.get("kind"), kind), (value.get("apiVersion"), api_version))
    )
    for name, text in (("apiVersion", body_version), ("kind", body_kind)):
        if not isinstance(text, str):
            why = f"json: cannot unmarshal {JSON_KINDS[type(text)]} into Go struct field .{name} of type string"
            raise _unrecognized(orjson.dumps(value), kind, why)
    if kind in META_KINDS and body_kind == kind:
        return body_kind, body_version
    if body_kind != kind:
        raise _cannot_be_handled(body_version, body_kind, kind, _why_not(body_version, body_kind, kind))
    if body_version != api_version:
        if _is_builtin(api_version, kind) and not _is_builtin(body_version, body_kind):
            raise _cannot_be_handled(body_version, body_kind, kind, _not_registered(body_version, body_kind))
        raise bad_request(
            f"the API version in the data ({body_version}) does not match the expected API version ({api_version})"
        )
    return body_kind, body_version


def _why_not(api_version: str, body_kind: str, kind: str) -> str:
    version = api_version.rpartition("/")[2]
    if not _is_builtin(api_version, body_kind):
        return _not_registered(api_version, body_kind)
    group = api_version.rpartition("/")[0].partition(".")[0] or "core"
    return f"converting ({version}.{body_kind}) to ({group}.{kind}): unknown conversion"


def _is_builtin(api_version: str, kind: str) -> bool:
    return builtin_schema().for_kind(api_version, kind) is not None


def _not_registered(api_version: str, kind: str) -> str:
    scheme = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"
    return f'no kind "{kind}" is registered for version "{api_version}" in scheme "{scheme}"'


def _conformed(
    value: Object, api_version: str, body_kind: str, kind: str, before: Object | None
) -> tuple[Object, list[str]]:
    """The object as its type has it, and the paths of the fields that the type has not."""
    conformer = builtin_conformer()
    definition = builtin_schema().for_kind(api_version, body_kind)
    try:
        if definition is not None:
            if before is not None:
                obj, has_unknown = conformer.conform_changed(definition, value, before)
            else:
                obj, has_unknown = conformer.conform(definition, value)
            return obj, conformer.unknown_fields(definition, value) if has_unknown else []
        meta = builtin_schema().definition("meta.v1.ObjectMeta")
        metadata, has_unknown = conformer.conform(meta, value.get("metadata"))
        unknown = conformer.unknown_fields(meta, value["metadata"]) if has_unknown else []
        return {**value, "metadata": metadata}, [f"metadata.{path}" for path in unknown]
    except ValueError as error:
        raise _cannot_be_handled(api_version, body_kind, kind, str(error)) from None


def _cannot_be_handled(api_version: str, body_kind: str, kind: str, why: str) -> APIError:
    version = api_version.rpartition("/")[2]
    return bad_request(f'{body_kind} in version "{version}" cannot be handled as a {kind}: {why}')


class _Repeated(dict[str, Any]):
    """A JSON object with keys that occur more than once."""

    repeated: list[str]


def duplicate_fields(body: bytes) -> list[str]:
    """The path (`spec.foo`) of each key that occurs again in its JSON object."""
    found = False

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        obj = dict(pairs)
        if len(obj) == len(pairs):
            return obj
        found = True
        seen: set[str] = set()
        repeated = _Repeated(obj)
        repeated.repeated = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
        return repeated

    value = json.loads(body, object_pairs_hook=collect)
    return list(dict.fromkeys(_repeated_paths(value, ""))) if found else []


def _repeated_paths(value: Any, path: str) -> list[str]:
    if isinstance(value, list):
        return [p for i, item in enumerate(value) for p in _repeated_paths(item, f"{path}[{i}]")]
    if not isinstance(value, dict):
        return []
    prefix = f"{path}." if path else ""
    paths = [prefix + key for key in value.repeated] if isinstance(value, _Repeated) else []
    for key, item in value.items():
        paths += _repeated_paths(item, prefix + key)
    return paths
