"""Whether an object may be stored: every violated rule at once, in upstream's words.

`validate` runs after defaults and admission. Rules about metadata hold for every kind; the row's own `validate` is
about the contents, and its `validate_update` about what may not change. Contents that an update leaves as they were
are not judged again: a rule that has become stricter must not stop a status update.
"""

from kaa.api.errors import FieldError
from kaa.api.objects import Object, differ
from kaa.api.resource import Resource
from kaa.api.validation import (
    api_services,
    cluster,
    csi,
    device_claims,
    device_slices,
    events,
    flow_control,
    network,
    pod_certificates,
    pods,
    policies,
    scheduling,
    storage,
    storage_migrations,
    trust_bundles,
    webhooks,
    workloads,
)
from kaa.api.validation.metadata import validate_metadata

__all__ = [
    "api_services",
    "cluster",
    "csi",
    "device_claims",
    "device_slices",
    "events",
    "flow_control",
    "network",
    "pod_certificates",
    "pods",
    "policies",
    "scheduling",
    "storage",
    "storage_migrations",
    "trust_bundles",
    "validate",
    "webhooks",
    "workloads",
]

ASIDE = frozenset({"metadata", "status"})


def validate(resource: Resource, new: Object, old: Object | None, subresource: str = "") -> list[FieldError]:
    """Every violated rule; `old` is None on create. `subresource` names the one that an update goes through."""
    errors = validate_metadata(resource, new, old)
    if resource.validate is not None and (old is None or resource.schema is not None or differ(new, old, ASIDE)):
        errors += resource.validate(new, old)
    if resource.validate_update is not None and old is not None:
        errors += resource.validate_update(new, old, subresource)
    return errors
