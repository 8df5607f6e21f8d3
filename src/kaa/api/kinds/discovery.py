"""The discovery.k8s.io group: which endpoints stand behind a Service."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import GroupVersion, Resource
from kaa.api.validation.walker import validator

V1 = GroupVersion(
    "discovery.k8s.io",
    "v1",
    (
        Resource(
            kind="EndpointSlice",
            columns=printing.network.ENDPOINT_SLICE,
            defaults=defaults.network.ENDPOINT_SLICE,
            validate=validator(validation.network.ENDPOINT_SLICE),
            validate_update=validation.network.validate_endpoint_slice_update,
        ),
    ),
)
