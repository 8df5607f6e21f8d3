"""The discovery.k8s.io group: which endpoints stand behind a Service."""

from kaa.api import defaults, printing
from kaa.api.resource import GroupVersion, Resource

V1 = GroupVersion(
    "discovery.k8s.io",
    "v1",
    (
        Resource(
            kind="EndpointSlice", columns=printing.network.ENDPOINT_SLICE, defaults=defaults.network.ENDPOINT_SLICE
        ),
    ),
)
