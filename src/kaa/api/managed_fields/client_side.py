"""The way from client-side apply: what `kubectl apply` left in an annotation, it may take over without force.

For kubectl alone, and only where the live object still is what was last applied. Other managers resolve conflicts as
with anybody. Once kubectl applies on the server, the annotation follows, so that it may go back.
"""

from typing import Any

import orjson

from kaa.api.managed_fields.changes import difference_of
from kaa.api.managed_fields.field_sets import FieldSet, difference
from kaa.api.managed_fields.shapes import Fields, ShapeError
from kaa.api.managed_fields.views import View
from kaa.api.objects import Object, annotations_of

KUBECTL = "kubectl"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def may_be_taken(shape: Fields, live: Object, api_version: str, view: View) -> FieldSet:
    """The fields of a live object that are as client-side apply left them."""
    last = _last_applied(live)
    if last is None or last.get("apiVersion") != api_version:
        return {}
    applied = view(last)
    try:
        owned = shape.owned(applied) or {}
    except ShapeError:
        return {}
    differs = difference_of(shape, applied, view(live))
    return difference(difference(owned, differs.changed), differs.removed)


def _last_applied(live: Object) -> Any:
    try:
        last = orjson.loads(annotations_of(live).get(LAST_APPLIED) or "null")
    except orjson.JSONDecodeError:
        return None
    return last if isinstance(last, dict) and isinstance(last.get("metadata", {}), dict) else None


def refresh_annotation(obj: Object, config: Object) -> Object:
    """The object with its annotation, if it has one, saying what has been applied now."""
    annotations = annotations_of(obj)
    if not annotations.get(LAST_APPLIED):
        return obj
    metadata = {**config["metadata"]}
    if "annotations" in metadata:
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    text = orjson.dumps({**config, "metadata": metadata}, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    return {**obj, "metadata": {**obj["metadata"], "annotations": {**annotations, LAST_APPLIED: text}}}
