"""What deleting an object means: gone at once, marked and left to somebody, or nothing new. Pure decisions.

An object stays while it has finalizers (or a Namespace its `spec.finalizers`), or while its kind ends gracefully and
its time is not over: it is *marked* then, with deletionTimestamp and deletionGracePeriodSeconds, and goes with the
update that takes the last finalizer, or the DELETE with grace 0 that a kubelet sends.

The propagation policy becomes a finalizer that the garbage collector works off: `orphan`, `foregroundDeletion`.
Source: upstream's rest.BeforeDelete, registry.Store.Delete.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from kaa.api.errors import APIError, Cause
from kaa.api.objects import Object, copy_object
from kaa.api.resource import Resource
from kaa.lib.clock import parse_rfc3339, rfc3339
from kaa.server.object_meta import precondition_failed

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
CUSTOM_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that keeps a CustomResourceDefinition until its objects are gone."""

POLICIES = {"Orphan": ORPHAN, "Foreground": FOREGROUND, "Background": ""}


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """metav1.DeleteOptions. `propagation` is a policy, or "" to keep what the object's finalizers say."""

    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "DeleteOptions":
        """From the object form. Raises Invalid with upstream's texts."""
        preconditions = options.get("preconditions") or {}
        propagation = options.get("propagationPolicy") or ""
        orphan = options.get("orphanDependents")
        if propagation and orphan is not None:
            raise _invalid_options(
                "propagationPolicy",
                f'Invalid value: "{propagation}": orphanDependents and deletionPropagation cannot be both set',
            )
        if propagation and propagation not in POLICIES:
            raise _invalid_options(
                "propagationPolicy",
                f'Unsupported value: "{propagation}": supported values: "Background", "Foreground", "Orphan", "nil"',
            )
        if orphan is not None:
            propagation = "Orphan" if orphan else "Background"
        dry_run = options.get("dryRun") or []
        if any(value != "All" for value in dry_run):
            shown = next(value for value in dry_run if value != "All")
            raise _invalid_options("dryRun", f'Unsupported value: "{shown}": supported values: "All"')
        return cls(
            options.get("gracePeriodSeconds"),
            propagation,
            preconditions.get("uid") or "",
            preconditions.get("resourceVersion") or "",
            bool(dry_run),
        )


def _invalid_options(field: str, message: str) -> APIError:
    reason = "FieldValueNotSupported" if message.startswith("Unsupported") else "FieldValueInvalid"
    return APIError(
        "Invalid",
        f'DeleteOptions.meta.k8s.io "" is invalid: {field}: {message}',
        causes=[Cause(reason, message, field)],
        group="meta.k8s.io",
        kind="DeleteOptions",
    )


@dataclass(frozen=True, slots=True)
class Remove:
    """It goes now."""


@dataclass(frozen=True, slots=True)
class Mark:
    """It stays, as `object`."""

    object: Object


@dataclass(frozen=True, slots=True)
class Pending:
    """It is being deleted already, and this request changes nothing."""


Deletion: TypeAlias = Remove | Mark | Pending


def decide(obj: Object, resource: Resource, options: DeleteOptions, now: datetime) -> Deletion:
    """What a DELETE of `obj` does. Raises Conflict when a precondition does not hold."""
    metadata = obj["metadata"]
    if options.uid and options.uid != metadata["uid"]:
        raise precondition_failed(resource, obj, "UID", options.uid, metadata["uid"])
    if options.resource_version and options.resource_version != metadata["resourceVersion"]:
        raise precondition_failed(
            resource, obj, "ResourceVersion", options.resource_version, metadata["resourceVersion"]
        )
    grace = grace_seconds(obj, resource, options)
    if metadata.get("deletionTimestamp") is not None:
        return _again(obj, resource, options, grace)
    finalizers = finalizers_after(metadata.get("finalizers") or [], options.propagation)
    if resource.kind == "CustomResourceDefinition" and CUSTOM_CLEANUP not in finalizers:
        finalizers = [*finalizers, CUSTOM_CLEANUP]
    if grace <= 0 and not finalizers and not _stays_for_contents(obj, resource):
        return Remove()
    marked = copy_object(obj)
    _set_finalizers(marked, finalizers)
    return Mark(_mark(marked, resource, now, grace))


def _again(obj: Object, resource: Resource, options: DeleteOptions, grace: int) -> Deletion:
    """A DELETE of what is being deleted: the grace period may be shortened, the policy changed while nothing runs."""
    metadata = obj["metadata"]
    left = metadata.get("deletionGracePeriodSeconds") or 0
    if left > 0:
        if options.grace_seconds is None or grace >= left:
            return Pending()
        shortened = copy_object(obj)
        began = parse_rfc3339(metadata["deletionTimestamp"]) - timedelta(seconds=left)
        shortened["metadata"]["deletionTimestamp"] = rfc3339(began + timedelta(seconds=grace))
        shortened["metadata"]["deletionGracePeriodSeconds"] = grace
        may_go = grace <= 0 and may_be_removed(shortened, resource)
        return Remove() if may_go else Mark(shortened)
    finalizers = finalizers_after(metadata.get("finalizers") or [], options.propagation)
    if not finalizers and not _stays_for_contents(obj, resource):
        return Remove()
    if finalizers == (metadata.get("finalizers") or []):
        return Pending()
    changed = copy_object(obj)
    _set_finalizers(changed, finalizers)
    return Mark(changed)


def grace_seconds(obj: Object, resource: Resource, options: DeleteOptions) -> int:
    """Seconds the object is given; 0 for kinds that do not end gracefully, and for one that does not run."""
    default = resource.default_grace_seconds(obj) if resource.default_grace_seconds is not None else None
    if default is None:
        return 0
    if options.grace_seconds is None:
        return default
    return options.grace_seconds if options.grace_seconds >= 0 else 1


def finalizers_after(finalizers: list[str], propagation: str) -> list[str]:
    """The finalizers once the policy is written into them; without a policy they stay as they are."""
    if not propagation:
        return finalizers
    kept = [finalizer for finalizer in finalizers if finalizer not in (ORPHAN, FOREGROUND)]
    return [*kept, POLICIES[propagation]] if POLICIES[propagation] else kept


def _set_finalizers(obj: Object, finalizers: list[str]) -> None:
    if finalizers:
        obj["metadata"]["finalizers"] = finalizers
    else:
        obj["metadata"].pop("finalizers", None)


def _mark(obj: Object, resource: Resource, now: datetime, grace: int) -> Object:
    metadata = obj["metadata"]
    metadata["deletionTimestamp"] = rfc3339(now + timedelta(seconds=grace))
    metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1
    if is_namespace(resource):
        # A namespace says so in its phase too, and has no grace period of its own.
        metadata.pop("deletionGracePeriodSeconds")
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return obj


def is_namespace(resource: Resource) -> bool:
    return resource.kind == "Namespace" and resource.group == ""


def _stays_for_contents(obj: Object, resource: Resource) -> bool:
    """A namespace stays until its controller has emptied it and taken `spec.finalizers` away."""
    return is_namespace(resource) and bool((obj.get("spec") or {}).get("finalizers"))


def may_be_removed(obj: Object, resource: Resource) -> bool:
    """Whether an update has taken away the last thing that a marked object waited for."""
    metadata = obj["metadata"]
    return (
        metadata.get("deletionTimestamp") is not None
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not _stays_for_contents(obj, resource)
    )
