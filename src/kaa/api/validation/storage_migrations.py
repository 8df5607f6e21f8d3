"""Rules for StorageVersionMigrations: each is one pass over a resource, which ends once, well or badly."""

from typing import Any

from kaa.api.objects import Object, condition
from kaa.api.validation.conditions import check_conditions
from kaa.api.validation.fields import IMMUTABLE, invalid, required
from kaa.api.validation.names import dns_1035_label, dns_subdomain
from kaa.api.validation.walker import Errors, at, immutable

ENDS = (("Succeeded", "Success"), ("Failed", "Failed"))
"""Types of conditions, and what the messages call them."""


def validate_migration(migration: Object, old: Object | None) -> Errors:
    errors: Errors = []
    path, resource = "spec.resource", at(migration, "spec.resource") or {}
    name, group = resource.get("resource") or "", resource.get("group") or ""
    if not name:
        errors.append(required(f"{path}.resource", "resource is required to be set"))
    elif problems := dns_1035_label(name):
        errors.append(invalid(f"{path}.resource", name, ",".join(problems)))
    if group and (problems := dns_subdomain(group)):
        errors.append(invalid(f"{path}.group", group, ",".join(problems)))
    return errors


def validate_migration_update(new: Object, old: Object, subresource: str) -> Errors:
    return progress(new, old) if subresource == "status" else immutable(new, old, "spec")


def progress(new: Object, old: Object) -> Errors:
    """The status: the version that it began at stays, and so does how it ended."""
    conditions: Any = at(new, "status.conditions") or []
    errors = check_conditions(conditions, "status.conditions")
    began, now = at(old, "status.resourceVersion"), at(new, "status.resourceVersion")
    if began and began != now:
        errors.append(invalid("status.resourceVersion", now or "", IMMUTABLE))
    if all(is_true(new, kind) for kind, _ in ENDS):
        why = "Both success and failed conditions cannot be true at the same time"
        errors.append(invalid("status.conditions", conditions, why))
    for kind, title in ENDS:
        if is_true(old, kind) and not is_true(new, kind):
            why = f"{title} condition cannot be set to false once it is true"
            errors.append(invalid("status.conditions", conditions, why))
    return errors


def is_true(migration: Object, kind: str) -> bool:
    found = condition(at(migration, "status.conditions"), kind)
    return found is not None and found.get("status") == "True"
