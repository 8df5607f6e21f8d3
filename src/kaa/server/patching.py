"""PATCH bodies: what a patch of each content type makes of an object.

Merge patches are of RFC 7386, JSON patches of RFC 6902, strategic ones of Kubernetes' own making (lists of things
with names are merged by name). The result is decoded like any body: unknown fields are reported, types checked.
"""

from collections.abc import Callable
from typing import Any

import orjson

from kaa.api.errors import bad_request
from kaa.api.objects import Object
from kaa.api.resource import Resource
from kaa.server.bodies import conform
from kaa.server.negotiation import check_object, check_size, content_type, unsupported_media_type
from kaa.server.request import Request

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def patch_of(request: Request, resource: Resource, validation: str, warnings: list[str]) -> Callable[[Object], Object]:
    """The change that the request's patch makes. Raises UnsupportedMediaType, BadRequest."""
    check_size(request)
    kind = content_type(request)
    if kind not in (MERGE_PATCH, STRATEGIC_PATCH):
        raise unsupported_media_type((JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH))
    try:
        patch = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"error decoding patch: {error}") from None
    return lambda old: conform(check_object(merge_patch(old, patch)), resource, validation, warnings)


def merge_patch(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
