"""Defaults of services, endpoints, ingresses and network policies.

Addresses and node ports are allocated by the server, not defaulted.
"""

from kaa.api.defaults.walker import EMPTY, compile_defaults, created
from kaa.api.objects import Object

AFFINITY_SECONDS = 10800
CLUSTERED_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")


def target_port(port: Object) -> None:
    """The same as the port; 0 counts as absent."""
    if not port.get("targetPort") and "port" in port:
        port["targetPort"] = port["port"]


def affinity_timeout(spec: Object) -> None:
    if spec["sessionAffinity"] == "ClientIP":
        client_ip = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client_ip.setdefault("timeoutSeconds", AFFINITY_SECONDS)
    else:
        spec.pop("sessionAffinityConfig", None)


def is_externally_accessible(spec: Object) -> bool:
    return spec["type"] in ("NodePort", "LoadBalancer") or (
        spec["type"] == "ClusterIP" and bool(spec.get("externalIPs"))
    )


def external_traffic_policy(spec: Object) -> str | None:
    return "Cluster" if is_externally_accessible(spec) else None


def internal_traffic_policy(spec: Object) -> str | None:
    return "Cluster" if spec["type"] in CLUSTERED_TYPES else None


def allocate_node_ports(spec: Object) -> bool | None:
    return True if spec["type"] == "LoadBalancer" else None


SERVICE = compile_defaults(
    {
        "spec": created(
            {
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "externalTrafficPolicy": external_traffic_policy,
                "internalTrafficPolicy": internal_traffic_policy,
                "allocateLoadBalancerNodePorts": allocate_node_ports,
                "ports[]": {"protocol": "TCP", "": target_port},
                "": affinity_timeout,
            }
        ),
        "status": created({"loadBalancer": EMPTY}),
    }
)

ENDPOINTS = compile_defaults({"subsets[]": {"ports[]": {"protocol": "TCP"}}})


def always_listed(endpoint_slice: Object) -> None:
    """Both lists are on the wire even when they are none, which for ports means any."""
    endpoint_slice.setdefault("endpoints", None)
    endpoint_slice.setdefault("ports", None)


ENDPOINT_SLICE = compile_defaults(
    {
        "ports[]": {"name": lambda port: "", "protocol": "TCP"},
        "endpoints[]": {"conditions": EMPTY},
        "": always_listed,
    }
)
INGRESS = compile_defaults({"spec": EMPTY, "status": created({"loadBalancer": EMPTY})})
INGRESS_CLASS = compile_defaults({"spec": created({"parameters": {"scope": "Cluster"}})})


def policy_types(spec: Object) -> list[str]:
    return ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


POLICY_PORTS = {"ports[]": {"protocol": "TCP"}}

NETWORK_POLICY = compile_defaults(
    {
        "spec": created(
            {
                "podSelector": EMPTY,
                "policyTypes": policy_types,
                "ingress[]": POLICY_PORTS,
                "egress[]": POLICY_PORTS,
            }
        )
    }
)
SERVICE_CIDR = compile_defaults({"spec": EMPTY, "status": EMPTY})
IP_ADDRESS = compile_defaults({"spec": EMPTY})
