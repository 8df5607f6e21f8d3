"""Views: the parts of an object that a request can change, and so can own.

Left out are its type, its identity, what the server counts and stamps, and whatever the request's subresource does not
write: an update of the object itself leaves the status alone, one of the status the rest.
"""

from collections.abc import Callable

from kaa.api.objects import Object
from kaa.api.resource import Resource

SERVER_WRITTEN = frozenset(
    [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "managedFields",
    ]
)
"""Metadata that belongs to nobody."""

View = Callable[[Object], Object]
"""A new dict that shares its parts with the object."""


def view_for(resource: Resource, subresource: str) -> View:
    if subresource == "status":
        return _view_of_custom_status if resource.schema is not None else _view_of_status
    if resource.subresource("status") is None:
        return _view_of_all
    return _view_without_status


def _metadata(obj: Object) -> Object:
    return {key: value for key, value in (obj.get("metadata") or {}).items() if key not in SERVER_WRITTEN}


def _view_of_all(obj: Object) -> Object:
    view = dict(obj)
    view.pop("apiVersion", None)
    view.pop("kind", None)
    view["metadata"] = _metadata(obj)
    return view


def _view_without_status(obj: Object) -> Object:
    view = _view_of_all(obj)
    view.pop("status", None)
    return view


def _view_of_status(obj: Object) -> Object:
    """With labels and annotations, which an update of a built-in kind's status may change too."""
    metadata = obj.get("metadata") or {}
    view: Object = {"metadata": {key: metadata[key] for key in ("labels", "annotations") if key in metadata}}
    if "status" in obj:
        view["status"] = obj["status"]
    return view


def _view_of_custom_status(obj: Object) -> Object:
    return {"metadata": {}, **({"status": obj["status"]} if "status" in obj else {})}
