"""The networking.k8s.io group."""

from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "networking.k8s.io",
    "v1",
    (
        Resource(kind="IngressClass", plural="ingressclasses", namespaced=False),
        Resource(kind="Ingress", plural="ingresses", short_names=("ing",), subresources=(STATUS,)),
        Resource(kind="IPAddress", plural="ipaddresses", namespaced=False, short_names=("ip",)),
        Resource(kind="NetworkPolicy", plural="networkpolicies", short_names=("netpol",)),
        Resource(kind="ServiceCIDR", namespaced=False, subresources=(STATUS,)),
    ),
)
