"""Patches: a body of one of three media types, applied to an object.

A *merge patch* (RFC 7386) is laid over the object, null deletes. A *JSON patch* (RFC 6902) is a list of operations
(`json_patch.py`). A *strategic merge patch* merges lists by key, as the object's type says (`strategic_patch.py`), and
so exists for built-in kinds only. The result is any JSON value: it has to be made an object of its kind again with
`decode.conform_object`. The object that is patched is left as it was; the result may share parts with it and the patch.
"""

from typing import Any

from kaa.api.decode import parse_json, unsupported_media_type
from kaa.api.errors import bad_request
from kaa.api.json_patch import apply_json_patch
from kaa.api.objects import Object, is_too_deep
from kaa.api.schema import builtin_schema
from kaa.api.strategic_patch import strategic_merge

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def patch_types(api_version: str, kind: str) -> tuple[str, ...]:
    """What objects of the kind can be patched with; APPLY_PATCH is not this module's work."""
    if builtin_schema().for_kind(api_version, kind) is None:
        return (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
    return (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH)


def apply_patch(content_type: str, body: bytes, obj: Object) -> Any:
    """The patched value. Raises BadRequest, Invalid, RequestEntityTooLarge, UnsupportedMediaType."""
    media_type = content_type.partition(";")[0].strip().lower()
    api_version, kind = obj["apiVersion"], obj["kind"]
    accepted = patch_types(api_version, kind)
    if media_type not in accepted or media_type == APPLY_PATCH:
        raise unsupported_media_type(accepted)
    patch = parse_json(body)
    if media_type == JSON_PATCH:
        patched = apply_json_patch(obj, patch)
        # What is shallow itself can be put together to something deep.
        if is_too_deep(patched):
            raise bad_request("exceeded max depth")
        return patched
    if not isinstance(patch, dict):
        raise bad_request("Invalid JSON Patch")
    if media_type == MERGE_PATCH:
        return merge_patch(obj, patch)
    definition = builtin_schema().for_kind(api_version, kind)
    assert definition is not None  # else strategic patches are not accepted
    return strategic_merge(obj, patch, definition)


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: objects are merged, null deletes, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
