"""What the server itself writes into objects: metadata of a new one, and what an update may not touch. Pure.

Source: upstream's rest.BeforeCreate and rest.BeforeUpdate; API conventions, "Metadata".
"""

import random
from typing import Any

from kaa.api.errors import APIError, Cause, FieldError, bad_request
from kaa.api.objects import Object, differ
from kaa.api.resource import Resource
from kaa.lib.clock import random_suffix

GENERATED_NAME_PREFIX = 58
"""Characters of generateName that are kept: a name of 63 with the random end is valid everywhere."""

GENERATE_NAME_TRIES = 8
"""Names drawn before a collision is the caller's to handle."""

STATUS_ON_CREATE = frozenset({"Node"})
"""Kinds whose creator may set the status: a kubelet registers its node with it."""

SERVER_SET = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")
"""Metadata that only the server writes."""

METADATA = frozenset({"metadata"})
METADATA_AND_STATUS = frozenset({"metadata", "status"})
"""What is set aside when it is asked whether the rest of an object has changed."""

BESIDE_THE_REST = frozenset({"apiVersion", "kind", "metadata", "status"})
"""The fields of an object that an update of its status does not just leave as they were."""


def metadata_of_body(obj: Object) -> Object:
    """The body's metadata, made if absent."""
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    if not isinstance(metadata, dict):
        raise bad_request("metadata must be an object")
    return metadata


def settle_namespace(obj: Object, resource: Resource, namespace: str) -> None:
    """Puts the request's namespace into the object. Raises BadRequest when the object names another."""
    metadata = metadata_of_body(obj)
    named = metadata.get("namespace") or ""
    if not resource.namespaced:
        if named:
            raise bad_request("namespace may not be set on a cluster-scoped object")
        metadata.pop("namespace", None)
        return
    if named and named != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = namespace


def settle_name(obj: Object, name: str) -> None:
    """The name in the URL is the object's. Raises BadRequest when the object says another."""
    metadata = metadata_of_body(obj)
    named = metadata.get("name")
    if not named:
        metadata["name"] = name
    elif named != name:
        raise bad_request(f"the name of the object ({named}) does not match the name on the URL ({name})")


def generated_name(prefix: str, rng: random.Random) -> str:
    return prefix[:GENERATED_NAME_PREFIX] + random_suffix(rng)


def before_create(obj: Object, resource: Resource, *, uid: str, created: str) -> None:
    """The metadata of a new object; what a client may not choose is dropped silently, as upstream does."""
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    for key in (*SERVER_SET, "resourceVersion"):
        metadata.pop(key, None)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = created
    if resource.has_generation:
        metadata["generation"] = 1


def before_update(new: Object, old: Object, resource: Resource) -> None:
    """An update of the object itself: metadata that is the server's stays, and so does the status."""
    keep_server_metadata(new, old)
    if resource.subresource("status") is not None:
        keep(new, old, "status")


def before_status_update(new: Object, old: Object, resource: Resource) -> None:
    """An update of the status alone: everything else stays, but labels and annotations of built-in kinds."""
    metadata = new["metadata"]
    kept = dict(old["metadata"])
    if resource.schema is None:
        for key in ("labels", "annotations"):
            keep(kept, metadata, key)
    new["metadata"] = kept
    for field in [field for field in new if field not in BESIDE_THE_REST]:
        del new[field]
    for field, value in old.items():
        if field not in BESIDE_THE_REST:
            new[field] = value


def keep_server_metadata(new: Object, old: Object) -> None:
    for key in SERVER_SET:
        keep(new["metadata"], old["metadata"], key)


def keep(new: Object, old: Object, field: str) -> None:
    """The field as `old` has it."""
    if field in old:
        new[field] = old[field]
    else:
        new.pop(field, None)


def put_managed_fields(obj: Object, managed_fields: list[Object] | None) -> None:
    if managed_fields is None:
        obj["metadata"].pop("managedFields", None)
    else:
        obj["metadata"]["managedFields"] = managed_fields


def same_but_for_times(new: Object, old: Object) -> bool:
    """Whether an update leaves everything as it was; that somebody did so again is not worth a revision."""
    if differ(new, old, METADATA):
        return False
    return _without_times(new["metadata"]) == _without_times(old["metadata"])


def _without_times(metadata: Object) -> Object:
    entries = [{k: v for k, v in entry.items() if k != "time"} for entry in metadata.get("managedFields") or ()]
    return {**metadata, "managedFields": entries}


def count_generation(new: Object, old: Object, resource: Resource, subresource: str = "") -> None:
    """`metadata.generation` counts the changes of what is wanted: everything but metadata and a separate status.

    That a pod has been bound to a node is no such change, though it is in its spec.
    """
    if not resource.has_generation or subresource in ("binding", "status"):
        return
    if differ(new, old, METADATA if resource.subresource("status") is None else METADATA_AND_STATUS):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def check_identity(new: Object, old: Object, resource: Resource) -> None:
    """Raises Conflict when the caller means another object that had this name."""
    uid = new["metadata"].get("uid")
    if uid and uid != old["metadata"]["uid"]:
        raise precondition_failed(resource, old, "UID", uid, old["metadata"]["uid"])


def precondition_failed(resource: Resource, old: Object, what: str, wanted: Any, actual: Any) -> APIError:
    name = old["metadata"]["name"]
    qualified = f"{resource.name}.{resource.group}" if resource.group else resource.name
    why = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual}"
    return APIError(
        "Conflict",
        f'Operation cannot be fulfilled on {qualified} "{name}": {why}',
        name=name,
        group=resource.group,
        kind=resource.name,
    )


def must_specify_version(resource: Resource, name: str) -> APIError:
    error = FieldError(
        "FieldValueInvalid", "metadata.resourceVersion", "Invalid value: 0: must be specified for an update"
    )
    qualified = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return APIError(
        "Invalid",
        f'{qualified} "{name}" is invalid: {error}',
        causes=[Cause(error.reason, error.message, error.field)],
        name=name,
        group=resource.group,
        kind=resource.kind,
    )
