"""The coordination.k8s.io group: leases, by which leaders are elected and nodes say that they live."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import GroupVersion, Resource
from kaa.api.validation.walker import validator

V1 = GroupVersion(
    "coordination.k8s.io",
    "v1",
    (
        Resource(
            kind="Lease",
            columns=printing.cluster.LEASE,
            defaults=defaults.cluster.LEASE,
            validate=validator(validation.cluster.LEASE),
            has_generation=False,
        ),
    ),
)
