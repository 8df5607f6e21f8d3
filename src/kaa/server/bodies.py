"""Request bodies: bytes of any accepted media type -> an object of the kind that the path names, with its defaults.

`fieldValidation` says what becomes of fields that the kind does not have: Ignore drops them, Warn (the default) drops
them with a warning each, Strict refuses the request.
"""

from typing import Any

from kaa.api.decode import IGNORE, STRICT, WARN, conform_object, decode
from kaa.api.errors import bad_request
from kaa.api.objects import Object
from kaa.api.resource import Resource
from kaa.server.negotiation import check_size
from kaa.server.request import Request
from kaa.server.request_info import TRUE, parse_int64

FIELD_VALIDATIONS = (IGNORE, WARN, STRICT)


def field_validation(request: Request) -> str:
    """Raises BadRequest for a value that does not exist."""
    value = request.parameter("fieldValidation") or WARN
    if value not in FIELD_VALIDATIONS:
        shown = ", ".join(f'"{known}"' for known in ("", *FIELD_VALIDATIONS))
        raise bad_request(f'fieldValidation: Unsupported value: "{value}": supported values: {shown}')
    return value


def decode_object(request: Request, resource: Resource, warnings: list[str]) -> Object:
    """The body as an object of the kind. Raises RequestEntityTooLarge, UnsupportedMediaType, BadRequest."""
    check_size(request)
    validation = field_validation(request)
    content_type = request.headers.get("content-type", "")
    decoded = decode(request.body, content_type, resource.api_version, resource.kind, field_validation=validation)
    warnings += decoded.warnings
    return _settled(decoded.object, resource, validation, warnings)


def conform(obj: Any, resource: Resource, validation: str, warnings: list[str], before: Object | None = None) -> Object:
    """The same for a value that did not come as a body: a patched object, one of the server's own.

    `before` is the stored object that it was made from, if any, of which it may have parts.
    """
    if resource.from_storage is not None:
        before = None  # what a conversion makes has not been conformed
    conformed = conform_object(obj, resource.api_version, resource.kind, field_validation=validation, before=before)
    warnings += conformed.warnings
    return _settled(conformed.object, resource, validation, warnings)


def _settled(obj: Object, resource: Resource, validation: str, warnings: list[str]) -> Object:
    """The object without what a custom kind's schema does not know, and with the kind's defaults."""
    if resource.schema is not None:
        unknown = [f'unknown field "{path}"' for path in resource.schema.prune(obj)]
        if unknown and validation == STRICT:
            why = f"strict decoding error: {', '.join(unknown)}"
            version, kind = resource.version, resource.kind
            raise bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')
        if validation == WARN:
            warnings += unknown
    if resource.defaults is not None:
        resource.defaults(obj)
    return obj


def decode_options(request: Request) -> Object:
    """DeleteOptions from the body, or from the query where there is none."""
    check_size(request)
    if request.body:
        content_type = request.headers.get("content-type", "")
        return decode(request.body, content_type, "v1", "DeleteOptions", field_validation=IGNORE).object
    options: Object = {}
    for key, value in request.query:
        match key:
            case "gracePeriodSeconds":
                options[key] = parse_int64(value)
            case "propagationPolicy":
                options[key] = value
            case "orphanDependents":
                options[key] = value in TRUE
            case "dryRun":
                options.setdefault(key, []).append(value)
    return options
