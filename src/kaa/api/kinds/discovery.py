"""The discovery.k8s.io group: which endpoints stand behind a Service."""

from kaa.api.printing import network
from kaa.api.resource import GroupVersion, Resource

V1 = GroupVersion("discovery.k8s.io", "v1", (Resource(kind="EndpointSlice", columns=network.ENDPOINT_SLICE),))
