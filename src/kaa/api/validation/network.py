"""Rules for services, endpoints, ingresses and network policies."""

import ipaddress
from typing import Any

from kaa.api.objects import Object
from kaa.api.validation.containers import port_or_name
from kaa.api.validation.fields import IMMUTABLE, duplicate, forbidden, invalid, not_supported, required, too_many
from kaa.api.validation.metadata import check_labels, check_selector
from kaa.api.validation.names import (
    cidr,
    dns_label,
    dns_subdomain,
    exact_cidr,
    ip_address,
    path_segment,
    wildcard_subdomain,
)
from kaa.api.validation.walker import (
    REQUIRED,
    Errors,
    compile_rules,
    in_range,
    one_of,
    port_number,
    unique,
    valid,
)

MAX_AFFINITY_SECONDS = 86400
MAX_ENDPOINTS = 1000
MAX_SLICE_ADDRESSES = 100
PROTOCOL = (REQUIRED, one_of("SCTP", "TCP", "UDP"))


def service_type(spec: Any, path: str, errors: Errors) -> None:
    """What each type needs and what it must not have."""
    kind, ports, headless = spec.get("type"), spec.get("ports") or (), spec.get("clusterIP") == "None"
    if kind == "ExternalName":
        if spec.get("clusterIP"):
            detail = "may not be set when `type` is 'ExternalName'"
            errors.append(forbidden(f"{path}.clusterIPs", detail))
        name = (spec.get("externalName") or "").removesuffix(".")
        if not name:
            errors.append(required(f"{path}.externalName"))
        else:
            errors += [invalid(f"{path}.externalName", name, problem) for problem in dns_subdomain(name)]
        return
    if not ports and not headless:
        errors.append(required(f"{path}.ports"))
    if kind in ("NodePort", "LoadBalancer") and headless:
        detail = f"may not be set to 'None' for {kind} services"
        errors.append(invalid(f"{path}.clusterIPs[0]", "None", detail))


def port_names(spec: Any, path: str, errors: Errors) -> None:
    """With several ports each has a name; no two have the same number and protocol, nor the same node port."""
    ports = spec.get("ports") or ()
    seen: set[tuple[Any, Any]] = set()
    taken: set[tuple[Any, Any]] = set()
    for i, port in enumerate(ports):
        at = f"{path}.ports[{i}]"
        if len(ports) > 1 and not port.get("name"):
            errors.append(required(f"{at}.name"))
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            errors.append(duplicate(at, {"port": port.get("port"), "protocol": port.get("protocol")}))
        seen.add(key)
        node_port = port.get("nodePort")
        if not node_port:
            continue
        if spec.get("type") == "ClusterIP":
            errors.append(forbidden(f"{at}.nodePort", "may not be used when `type` is 'ClusterIP'"))
        if (port.get("protocol"), node_port) in taken:
            errors.append(duplicate(f"{at}.nodePort", node_port))
        taken.add((port.get("protocol"), node_port))


def affinity(spec: Any, path: str, errors: Errors) -> None:
    config = spec.get("sessionAffinityConfig")
    if spec.get("sessionAffinity") == "None" and config is not None:
        detail = "must not be set when session affinity is None"
        errors.append(forbidden(f"{path}.sessionAffinityConfig", detail))


def external_policy(spec: Any, path: str, errors: Errors) -> None:
    reachable = spec.get("type") in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs"))
    if spec.get("externalTrafficPolicy") and not reachable:
        detail = "may only be set for externally-accessible services"
        errors.append(invalid(f"{path}.externalTrafficPolicy", spec["externalTrafficPolicy"], detail))
    if spec.get("loadBalancerClass") and spec.get("type") != "LoadBalancer":
        errors.append(forbidden(f"{path}.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'"))


def cluster_address(value: Any, path: str, errors: Errors) -> None:
    if value != "None":
        errors += [invalid(path, value, problem) for problem in ip_address(value)]


def external_address(value: Any, path: str, errors: Errors) -> None:
    problems = ip_address(value)
    if not problems and ipaddress.ip_address(value).is_loopback:
        problems = ["may not be in the loopback range (127.0.0.0/8, ::1/128)"]
    errors += [invalid(path, value, problem) for problem in problems]


SERVICE = compile_rules(
    {
        "spec": {
            "": (service_type, port_names, affinity, external_policy, unique("ports", "name")),
            "type": (REQUIRED, one_of("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")),
            "sessionAffinity": (REQUIRED, one_of("ClientIP", "None")),
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": in_range(1, MAX_AFFINITY_SECONDS)}},
            "selector": check_labels,
            "ports[]": {
                "name": valid(dns_label),
                "port": (REQUIRED, port_number),
                "protocol": PROTOCOL,
                "targetPort": port_or_name,
            },
            "clusterIPs[]": cluster_address,
            "externalIPs[]": external_address,
            "externalTrafficPolicy": one_of("Cluster", "Local"),
            "internalTrafficPolicy": one_of("Cluster", "Local"),
            "ipFamilies[]": one_of("IPv4", "IPv6"),
            "ipFamilyPolicy": one_of("SingleStack", "PreferDualStack", "RequireDualStack"),
            "loadBalancerSourceRanges[]": valid(cidr),
        }
    },
    root=True,
)


def validate_service_update(new: Object, old: Object, subresource: str) -> Errors:
    """The first address stays for as long as both types have one."""
    now, before = new["spec"], old["spec"]
    if "ExternalName" in (now.get("type"), before.get("type")) or not before.get("clusterIP"):
        return []
    if now.get("clusterIP") == before["clusterIP"]:
        return []
    first = (now.get("clusterIPs") or [now.get("clusterIP")])[0]
    return [invalid("spec.clusterIPs[0]", first, "may not change once set")]


ENDPOINT_ADDRESS = {"ip": (REQUIRED, valid(ip_address)), "nodeName": valid(dns_subdomain)}
ENDPOINTS = compile_rules(
    {
        "subsets[]": {
            "addresses[]": ENDPOINT_ADDRESS,
            "notReadyAddresses[]": ENDPOINT_ADDRESS,
            "ports[]": {"name": valid(dns_label), "port": (REQUIRED, port_number), "protocol": PROTOCOL},
        }
    },
    root=True,
)

FAMILIES = {"IPv4": 4, "IPv6": 6}


def slice_addresses(endpoint_slice: Any, path: str, errors: Errors) -> None:
    """Addresses are of the slice's type, and every endpoint has one."""
    kind, endpoints = endpoint_slice.get("addressType"), endpoint_slice.get("endpoints") or ()
    if len(endpoints) > MAX_ENDPOINTS:
        errors.append(too_many("endpoints", len(endpoints), MAX_ENDPOINTS))
    for i, endpoint in enumerate(endpoints):
        addresses = endpoint.get("addresses") or ()
        if not addresses:
            errors.append(required(f"endpoints[{i}].addresses", "must contain at least 1 address"))
        if len(addresses) > MAX_SLICE_ADDRESSES:
            errors.append(too_many(f"endpoints[{i}].addresses", len(addresses), MAX_SLICE_ADDRESSES))
        for j, address in enumerate(addresses):
            errors += [invalid(f"endpoints[{i}].addresses[{j}]", address, p) for p in address_problems(kind, address)]


def address_problems(kind: str, address: str) -> list[str]:
    if kind == "FQDN":
        return dns_subdomain(address)
    if problems := ip_address(address):
        return problems
    version = ipaddress.ip_address(address).version
    return [] if version == FAMILIES.get(kind) else [f"must be an {kind} address"]


ENDPOINT_SLICE = compile_rules(
    {
        "": slice_addresses,
        "addressType": (REQUIRED, one_of("FQDN", "IPv4", "IPv6")),
        "endpoints[]": {"hostname": valid(dns_label), "nodeName": valid(dns_subdomain)},
        "ports[]": {"name": valid(dns_label), "protocol": PROTOCOL},
    },
    root=True,
)


def validate_endpoint_slice_update(new: Object, old: Object, subresource: str) -> Errors:
    if new.get("addressType") == old.get("addressType"):
        return []
    return [invalid("addressType", new.get("addressType"), IMMUTABLE)]


def ingress_host(value: Any, path: str, errors: Errors) -> None:
    if not ip_address(value):
        errors.append(invalid(path, value, "must be a DNS name, not an IP address"))
    rule = wildcard_subdomain if "*" in value else dns_subdomain
    errors += [invalid(path, value, problem) for problem in rule(value)]


def ingress_path(value: Any, path: str, errors: Errors) -> None:
    kind, place = value.get("pathType"), value.get("path") or ""
    if not kind:
        errors.append(required(f"{path}.pathType", "pathType must be specified"))
    elif kind not in ("Exact", "ImplementationSpecific", "Prefix"):
        errors.append(not_supported(f"{path}.pathType", kind, ("Exact", "ImplementationSpecific", "Prefix")))
    elif kind != "ImplementationSpecific" and not place.startswith("/"):
        errors.append(invalid(f"{path}.path", place, "must be an absolute path"))


def ingress_backend(value: Any, path: str, errors: Errors) -> None:
    service = value.get("service")
    if service is not None and value.get("resource") is not None:
        errors.append(invalid(path, "", "cannot set both resource and service backends"))
    if service is None and value.get("resource") is None:
        errors.append(required(path, "resource or service backend is required"))
    if service is None:
        return
    if not service.get("name"):
        errors.append(required(f"{path}.service.name"))
    port = service.get("port") or {}
    if port.get("name") and port.get("number"):
        errors.append(invalid(path, "", "cannot set both port name & port number"))
    elif not port.get("name") and not port.get("number"):
        errors.append(required(path, "port name or number is required"))


def has_backend(spec: Any, path: str, errors: Errors) -> None:
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        detail = "either `defaultBackend` or `rules` must be specified"
        errors.append(invalid(path, spec.get("rules"), detail))


INGRESS = compile_rules(
    {
        "spec": {
            "": has_backend,
            "ingressClassName": valid(dns_subdomain),
            "defaultBackend": {"": ingress_backend},
            "tls[]": {"hosts[]": ingress_host},
            "rules[]": {
                "host": ingress_host,
                "http": {"paths": REQUIRED, "paths[]": {"": ingress_path, "backend": {"": ingress_backend}}},
            },
        }
    },
    root=True,
)


def policy_peer(value: Any, path: str, errors: Errors) -> None:
    block = value.get("ipBlock")
    selectors = value.get("podSelector") is not None or value.get("namespaceSelector") is not None
    if block is None and not selectors:
        errors.append(required(path, "must specify a peer"))
    if block is not None and selectors:
        errors.append(forbidden(path, "may not specify both ipBlock and another peer"))


PEER = {
    "": policy_peer,
    "podSelector": {"": check_selector},
    "namespaceSelector": {"": check_selector},
    "ipBlock": {"cidr": (REQUIRED, valid(cidr)), "except[]": valid(cidr)},
}
POLICY_PORT = {"protocol": one_of("SCTP", "TCP", "UDP"), "port": port_or_name}
NETWORK_POLICY = compile_rules(
    {
        "spec": {
            "podSelector": {"": check_selector},
            "ingress[]": {"ports[]": POLICY_PORT, "from[]": PEER},
            "egress[]": {"ports[]": POLICY_PORT, "to[]": PEER},
            "policyTypes[]": one_of("Egress", "Ingress"),
        }
    },
    root=True,
)

INGRESS_CLASS = compile_rules({"spec": {"controller": REQUIRED}}, root=True)

PARENT_REFERENCE = {
    "group": valid(dns_subdomain),
    "resource": (REQUIRED, valid(path_segment)),
    "name": (REQUIRED, valid(path_segment)),
    "namespace": valid(path_segment),
}


def has_parent(spec: Any, path: str, errors: Errors) -> None:
    if spec.get("parentRef") is None:
        errors.append(required(f"{path}.parentRef"))


IP_ADDRESS = compile_rules({"spec": {"": has_parent, "parentRef": PARENT_REFERENCE}}, root=True)

MAX_CIDRS = 2
ONE_EACH = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def service_cidrs(spec: Any, path: str, errors: Errors) -> None:
    """One range, or one of each family."""
    cidrs, path = spec.get("cidrs") or [], f"{path}.cidrs"
    if not cidrs:
        errors.append(required(path, "at least one CIDR required"))
    elif len(cidrs) > MAX_CIDRS:
        errors.append(invalid(path, {"CIDRs": cidrs}, f"may only hold up to {MAX_CIDRS} values"))
    else:
        for i, value in enumerate(cidrs):
            errors += [invalid(f"{path}[{i}]", value, problem) for problem in exact_cidr(value)]
        families = {":" in value for value in cidrs}
        if len(families) < len(cidrs) and not any(cidr(value) for value in cidrs):
            errors.append(invalid(path, cidrs, ONE_EACH))


SERVICE_CIDR = compile_rules({"spec": {"": service_cidrs}}, root=True)


def validate_service_cidr_update(new: Object, old: Object, subresource: str) -> Errors:
    """Ranges stay; one of the other family may be added."""
    now, before = new["spec"].get("cidrs") or [], old["spec"].get("cidrs") or []
    if len(now) < len(before) or len(now) > MAX_CIDRS:
        return [invalid("spec.cidrs", now, IMMUTABLE)]
    pairs = enumerate(zip(now, before, strict=False))
    return [invalid(f"spec.cidrs[{i}]", value, IMMUTABLE) for i, (value, was) in pairs if value != was]
