"""Services: what was allocated stays although an update leaves it out, and goes when the type no longer needs it."""

from collections.abc import Callable

from kaa.api.objects import Object

ADDRESSED_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")
NODE_PORT_TYPES = ("NodePort", "LoadBalancer")


def needs_cluster_ip(spec: Object) -> bool:
    return spec.get("type") in ADDRESSED_TYPES


def needs_node_ports(spec: Object) -> bool:
    if spec.get("type") == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return spec.get("type") == "NodePort"


def needs_health_check_port(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def is_load_balancer(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer"


def is_externally_accessible(spec: Object) -> bool:
    return spec.get("type") in NODE_PORT_TYPES or bool(spec.get("externalIPs"))


TYPE_DEPENDENT: dict[str, Callable[[Object], bool]] = {
    "clusterIP": needs_cluster_ip,
    "clusterIPs": needs_cluster_ip,
    "ipFamilies": needs_cluster_ip,
    "ipFamilyPolicy": needs_cluster_ip,
    "internalTrafficPolicy": needs_cluster_ip,
    "healthCheckNodePort": needs_health_check_port,
    "allocateLoadBalancerNodePorts": is_load_balancer,
    "loadBalancerClass": is_load_balancer,
    "externalTrafficPolicy": is_externally_accessible,
}
"""Fields, and the question whether a spec needs them."""

ALLOCATED = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort")
"""Fields that an update may leave out to keep."""


def prepare_service_for_update(new: Object, old: Object) -> None:
    now, before = new["spec"], old["spec"]
    for field, needs in TYPE_DEPENDENT.items():
        if field in ALLOCATED and needs(before) and needs(now) and not now.get(field) and before.get(field):
            now[field] = before[field]
        if needs(before) and not needs(now) and now.get(field) == before.get(field):
            now.pop(field, None)
    if needs_node_ports(before) and needs_node_ports(now):
        keep_node_ports(now, before)
    if needs_node_ports(before) and not needs_node_ports(now):
        drop_node_ports(now, before)


def keep_node_ports(now: Object, before: Object) -> None:
    """A port that names no node port keeps the one it had, unless another port asks for that."""
    taken = {port["nodePort"] for port in now.get("ports") or () if port.get("nodePort")}
    had = {_key(port): port["nodePort"] for port in before.get("ports") or () if port.get("nodePort")}
    for port in now.get("ports") or ():
        node_port = had.get(_key(port))
        if not port.get("nodePort") and node_port and node_port not in taken:
            port["nodePort"] = node_port
            taken.add(node_port)


def drop_node_ports(now: Object, before: Object) -> None:
    """Node ports that came along unchanged go; one that was asked for anew is left to validation."""
    had = {_key(port): port.get("nodePort") for port in before.get("ports") or ()}
    for port in now.get("ports") or ():
        if port.get("nodePort") and had.get(_key(port)) == port["nodePort"]:
            del port["nodePort"]


def _key(port: Object) -> tuple[int, str]:
    return port["port"], port.get("protocol", "TCP")
