"""The columns of services, endpoints, ingresses and network policies."""

from datetime import datetime

from kaa.api.objects import Object
from kaa.api.printing.cells import (
    AGE,
    NAME,
    NONE,
    UNSET,
    at,
    joined,
    labels_text,
    selector_text,
    shortened,
    text,
    typed_name,
)


def load_balancer_addresses(obj: Object) -> list[str]:
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return [entry.get("ip") or entry.get("hostname") or "" for entry in ingress]


def cluster_ip_cell(service: Object, now: datetime) -> str:
    spec = service["spec"]
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return addresses[0] or NONE


def external_ip_cell(service: Object, now: datetime) -> str:
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return spec.get("externalName") or NONE
    external = spec.get("externalIPs") or []
    if spec.get("type") == "LoadBalancer":
        return joined(load_balancer_addresses(service) + external, absent="<pending>")
    return joined(external)


def service_ports_cell(service: Object, now: datetime) -> str:
    return joined(_service_port(port) for port in service["spec"].get("ports") or ())


def _service_port(port: Object) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}"


SERVICE = (
    NAME,
    text("Type", "spec.type"),
    text("Cluster-IP", cluster_ip_cell),
    text("External-IP", external_ip_cell),
    text("Port(s)", service_ports_cell),
    AGE,
    text("Selector", lambda service, now: labels_text(service["spec"].get("selector")), wide=True),
)


def endpoints_cell(endpoints: Object, now: datetime) -> str:
    shown = []
    for subset in endpoints.get("subsets") or ():
        addresses = [address["ip"] for address in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        if not ports:
            shown += addresses
        for port in ports:
            shown += [_host_port(address, port["port"]) for address in addresses]
    return shortened(shown)


def _host_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


ENDPOINTS = (NAME, text("Endpoints", endpoints_cell), AGE)


def slice_ports_cell(endpoint_slice: Object, now: datetime) -> str:
    ports = endpoint_slice.get("ports") or ()
    return shortened([str(port["port"]) if port.get("port") else "*" for port in ports], absent=UNSET)


def slice_endpoints_cell(endpoint_slice: Object, now: datetime) -> str:
    endpoints = endpoint_slice.get("endpoints") or ()
    return shortened([address for e in endpoints for address in e.get("addresses") or ()], absent=UNSET)


ENDPOINT_SLICE = (
    NAME,
    text("AddressType", "addressType"),
    text("Ports", slice_ports_cell),
    text("Endpoints", slice_endpoints_cell),
    AGE,
)


def hosts_cell(ingress: Object, now: datetime) -> str:
    rules = ingress["spec"].get("rules") or ()
    return shortened([rule["host"] for rule in rules if rule.get("host")], absent="*")


def ingress_ports_cell(ingress: Object, now: datetime) -> str:
    return "80, 443" if ingress["spec"].get("tls") else "80"


INGRESS = (
    NAME,
    text("Class", at("spec.ingressClassName", NONE)),
    text("Hosts", hosts_cell),
    text("Address", lambda ingress, now: joined(load_balancer_addresses(ingress), absent="")),
    text("Ports", ingress_ports_cell),
    AGE,
)


def parameters_cell(ingress_class: Object, now: datetime) -> str:
    parameters = ingress_class["spec"].get("parameters")
    if not parameters:
        return NONE
    return typed_name(parameters["kind"], parameters.get("apiGroup") or "", parameters["name"])


INGRESS_CLASS = (NAME, text("Controller", "spec.controller"), text("Parameters", parameters_cell), AGE)

NETWORK_POLICY = (
    NAME,
    text("Pod-Selector", lambda policy, now: selector_text(policy["spec"].get("podSelector") or {})),
    AGE,
)


def parent_cell(address: Object, now: datetime) -> str:
    parent = (address["spec"] or {}).get("parentRef") or {}
    where = [parent.get("namespace"), parent.get("name")]
    plural = parent.get("resource", "")
    qualified = f"{plural}.{parent['group']}" if parent.get("group") else plural
    return "/".join([qualified, *filter(None, where)])


IP_ADDRESS = (NAME, text("ParentRef", parent_cell), AGE)
SERVICE_CIDR = (NAME, text("CIDRs", lambda cidr, now: joined((cidr.get("spec") or {}).get("cidrs") or ())), AGE)
