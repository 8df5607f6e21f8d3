"""Server-side apply as a request: the body is a configuration, as YAML or JSON; what is not there yet is created."""

from typing import Any

from kaa.api.conform import builtin_conformer
from kaa.api.decode import IGNORE, STRICT, conform_object, duplicate_fields, load_json
from kaa.api.errors import bad_request
from kaa.api.objects import Object, copy_object
from kaa.api.resource import Resource
from kaa.api.scalars import JSON_KINDS
from kaa.api.schema import builtin_schema
from kaa.server.bodies import field_validation
from kaa.server.custom.schema import unknown_metadata
from kaa.server.field_managers import untyped
from kaa.server.negotiation import check_size
from kaa.server.object_meta import settle_name, settle_namespace
from kaa.server.request import Attributes, Request


def configuration(request: Request, attributes: Attributes, resource: Resource, warnings: list[str]) -> Object:
    """The body of an apply, checked: it is of the kind and has nothing that the kind does not have.

    Raises RequestEntityTooLarge, BadRequest, and what upstream raises for a configuration that does not fit its kind.
    """
    check_size(request)
    config = _parsed(request, warnings)
    if config is None:
        config = {}  # null is nothing, as for any body
    if not isinstance(config, dict):
        why = f"json: cannot unmarshal {JSON_KINDS[type(config)]} into Go value of type map[string]interface {{}}"
        raise bad_request(f"error decoding patch: error unmarshaling JSON: while decoding JSON: {why}")
    if (config.get("apiVersion"), config.get("kind")) != (resource.api_version, resource.kind):
        raise bad_request(f"invalid object type: {config.get('apiVersion')}, Kind={config.get('kind')}")
    metadata = config.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise bad_request("metadata must be an object")
    if metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    unknown = _unknown_fields(config, resource)
    if unknown:
        raise untyped(config, resource, _listed([f".{path}: field not declared in schema" for path in unknown]))
    conform_object(config, resource.api_version, resource.kind, field_validation=IGNORE)
    # The configuration itself stays as it came: messages show it so.
    settled = {"metadata": dict(metadata)}
    settle_name(settled, attributes.name)
    settle_namespace(settled, resource, attributes.namespace)
    return config


def _listed(problems: list[str]) -> str:
    """One problem is told by itself, several below one another."""
    return problems[0] if len(problems) == 1 else "\n  ".join(["errors:", *problems])


def _parsed(request: Request, warnings: list[str]) -> Any:
    body = request.body
    try:
        if body.lstrip().startswith(b"{"):
            parsed = load_json(body)
            repeated = [f'duplicate field "{path}"' for path in duplicate_fields(body)]
        else:
            from kaa.api.yaml_json import parse_yaml

            parsed, repeated = parse_yaml(body)
    except ValueError as error:
        raise bad_request(f"error decoding YAML: {error}") from None
    validation = field_validation(request)
    if repeated and validation == STRICT:
        raise bad_request(f"error strict decoding YAML: {', '.join(repeated)}")
    if validation != IGNORE:
        warnings += repeated
    return parsed


def _unknown_fields(config: Object, resource: Resource) -> list[str]:
    if resource.schema is not None:
        unknown = [f"metadata.{path}" for path in unknown_metadata(config["metadata"])]
        return [*unknown, *resource.schema.prune(copy_object(config))]
    definition = builtin_schema().for_kind(resource.api_version, resource.kind)
    assert definition is not None  # every built-in kind is in the schema
    return builtin_conformer().unknown_fields(definition, config)
