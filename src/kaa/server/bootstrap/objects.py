"""What every cluster has from the start, beside its policy: namespaces, priority classes, the API's own Service."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address

import orjson

from kaa.api.objects import Object

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")

PRIORITY_CLASSES = (
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
)


@dataclass(frozen=True, slots=True)
class Advertised:
    """Where the API server is reached, and what servers that delegate to it need to trust its clients."""

    address: str
    port: int
    service_network: IPv4Network
    client_ca_pem: str
    front_proxy_ca_pem: str
    front_proxy_names: tuple[str, ...]

    @property
    def service_address(self) -> str:
        """The first of the service range: what pods reach the API by."""
        return str(self.service_network.network_address + 1)


def namespaces() -> Iterator[tuple[str, Object]]:
    for name in NAMESPACES:
        yield "Namespace", {"metadata": {"name": name}}


def settled_objects(advertised: Advertised) -> Iterator[tuple[str, Object]]:
    """Objects that are made when they are absent and then left alone: kind, object."""
    for name, value, description in PRIORITY_CLASSES:
        yield "PriorityClass", {"metadata": {"name": name}, "value": value, "description": description}
    yield "Service", _kubernetes_service(advertised)


def followed_objects(advertised: Advertised) -> Iterator[tuple[str, Object]]:
    """Objects that say how things are now, and are written anew when they say otherwise: kind, object."""
    yield "ConfigMap", _extension_authentication(advertised)
    if ip_address(advertised.address).is_loopback:
        return  # pods cannot reach it, and endpoints may not be loopback addresses
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    metadata = {"name": "kubernetes", "namespace": "default"}
    port = {"name": "https", "port": advertised.port, "protocol": "TCP"}
    yield (
        "Endpoints",
        {
            "metadata": {**metadata, "labels": labels},
            "subsets": [{"addresses": [{"ip": advertised.address}], "ports": [port]}],
        },
    )
    yield (
        "EndpointSlice",
        {
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [advertised.address], "conditions": {"ready": True}}],
            "ports": [port],
        },
    )
    yield "ConfigMap", _extension_authentication(advertised)


def _kubernetes_service(advertised: Advertised) -> Object:
    address = advertised.service_address
    return {
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": advertised.port}],
        },
    }


def _extension_authentication(advertised: Advertised) -> Object:
    """What an extension API server reads to trust the same clients and the front proxy."""

    def names(*values: str) -> str:
        return orjson.dumps(list(values)).decode()

    return {
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": advertised.client_ca_pem,
            "requestheader-client-ca-file": advertised.front_proxy_ca_pem,
            "requestheader-allowed-names": names(*advertised.front_proxy_names),
            "requestheader-username-headers": names("X-Remote-User"),
            "requestheader-uid-headers": names("X-Remote-Uid"),
            "requestheader-group-headers": names("X-Remote-Group"),
            "requestheader-extra-headers-prefix": names("X-Remote-Extra-"),
        },
    }
