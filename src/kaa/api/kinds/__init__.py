"""The built-in kinds, a file a group. A new kind is one row in its group's file; a new group is one entry here."""

from kaa.api.kinds import (
    admissionregistration,
    apiextensions,
    apiregistration,
    apps,
    autoscaling,
    batch,
    certificates,
    coordination,
    core,
    discovery,
    dynamic_resources,
    events,
    flowcontrol,
    networking,
    node,
    policy,
    rbac,
    reviews,
    scheduling,
    storage,
    storagemigration,
)
from kaa.api.resource import Catalog, GroupVersion

BUILTIN: tuple[GroupVersion, ...] = (
    core.V1,
    apiregistration.V1,
    apps.V1,
    events.V1,
    reviews.AUTHENTICATION_V1,
    reviews.AUTHORIZATION_V1,
    autoscaling.V2,
    autoscaling.V1,
    batch.V1,
    certificates.V1,
    networking.V1,
    policy.V1,
    rbac.V1,
    storage.V1,
    storagemigration.V1,
    admissionregistration.V1,
    apiextensions.V1,
    scheduling.V1,
    scheduling.V1BETA1,
    coordination.V1,
    node.V1,
    discovery.V1,
    flowcontrol.V1,
    dynamic_resources.V1,
)
"""Every built-in version, in the order of discovery: the core group first, a group's preferred version first."""


def builtin_catalog() -> Catalog:
    """A new catalog of the built-in kinds; custom kinds may be added to it."""
    return Catalog.of(BUILTIN)
