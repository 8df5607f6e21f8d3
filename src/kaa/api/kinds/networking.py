"""The networking.k8s.io group."""

from kaa.api.printing import network
from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "networking.k8s.io",
    "v1",
    (
        Resource(kind="IngressClass", columns=network.INGRESS_CLASS, plural="ingressclasses", namespaced=False),
        Resource(
            kind="Ingress", columns=network.INGRESS, plural="ingresses", short_names=("ing",), subresources=(STATUS,)
        ),
        Resource(
            kind="IPAddress", columns=network.IP_ADDRESS, plural="ipaddresses", namespaced=False, short_names=("ip",)
        ),
        Resource(
            kind="NetworkPolicy", columns=network.NETWORK_POLICY, plural="networkpolicies", short_names=("netpol",)
        ),
        Resource(kind="ServiceCIDR", columns=network.SERVICE_CIDR, namespaced=False, subresources=(STATUS,)),
    ),
)
