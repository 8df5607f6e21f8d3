"""What a cluster has besides the API server's own objects: the Service that leads to cluster DNS, and a default class
of storage, which gives a claim a directory of its pod's node (`standard`, as kind's and minikube's is called)."""

from kaa.api.errors import APIError
from kaa.api.objects import Object, name_of, namespace_of
from kaa.api.volume_binding import IS_DEFAULT, LOCAL_PATH
from kaa.client.rest import Client
from kaa.cluster.simulated_access import simulated_node_objects
from kaa.cluster.spec import ClusterSpec

DNS_PORTS = ({"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"})

STORAGE_CLASS: Object = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {IS_DEFAULT[0]: "true"}},
    "provisioner": LOCAL_PATH,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}


async def ensure_addons(spec: ClusterSpec, client: Client) -> None:
    """Makes what is missing; what is there is left as somebody may have changed it."""
    simulated = simulated_node_objects(spec) if spec.simulated_nodes else ()
    for obj in (_service(spec), _endpoints(spec), STORAGE_CLASS, *simulated):
        try:
            # Looked for first: creating it again would be refused for its address, which is then taken.
            await client.get(client.resource_of(obj), name_of(obj), namespace_of(obj))
        except APIError as error:
            if error.reason != "NotFound":
                raise
            await client.create(obj)


def _service(spec: ClusterSpec) -> Object:
    """`kube-dns` at the cluster's DNS address, answered by every node's agent, its own node's first."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS", "kubernetes.io/cluster-service": "true"},
        },
        "spec": {
            "clusterIP": spec.dns_address,
            "trafficDistribution": "PreferSameNode",
            "ports": [{**port, "targetPort": 53} for port in DNS_PORTS],
        },
    }


def _endpoints(spec: ClusterSpec) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {
                "kubernetes.io/service-name": "kube-dns",
                "endpointslice.kubernetes.io/managed-by": "kaa",
            },
        },
        "addressType": "IPv4",
        "ports": list(DNS_PORTS),
        "endpoints": [
            {
                "addresses": [spec.node_address(node)],
                "conditions": {"ready": True},
                "nodeName": node.name,
                "hints": {"forNodes": [{"name": node.name}]},
            }
            for node in spec.nodes
        ],
    }
