"""The cluster's zone: which records a name has, by the Kubernetes DNS specification 1.1.

    <service>.<ns>.svc.<domain>                 A: the cluster IP, or a headless Service's ready endpoints
    <host>.<service>.<ns>.svc.<domain>          A: one endpoint (its hostname, or its address with dashes)
    _<port>._<proto>.<service>.<ns>.svc.<domain>  SRV
    <a-b-c-d>.<ns>.pod.<domain>                 A: that address, in a namespace that exists
    <d.c.b.a>.in-addr.arpa                      PTR of a cluster IP or of a headless Service's endpoint
    dns-version.<domain>                        TXT

`resolve` is pure: it asks a `Lookup` for objects and returns an `Answer`.
"""

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from kaa.api.objects import Object, name_of, namespace_of
from kaa.network.dns_message import AAAA, CNAME, NOERROR, NXDOMAIN, PTR, SOA, SRV, TXT, A, Record, encode_name

TTL_SECONDS = 5
"""As CoreDNS' kubernetes plugin: short, since endpoints move."""


class Lookup(Protocol):
    """The objects behind the names."""

    def service(self, namespace: str, name: str) -> Object | None: ...
    def slices(self, namespace: str, service: str) -> Iterable[Object]: ...
    def namespace_exists(self, name: str) -> bool: ...
    def services_at(self, address: str) -> Iterable[Object]:
        """Services with that cluster IP."""
        ...

    def slices_at(self, address: str) -> Iterable[Object]:
        """EndpointSlices with an endpoint of that address."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """`exists` tells NODATA from NXDOMAIN. `forward` names what must be asked outside (an ExternalName's target)."""

    records: list[Record] = field(default_factory=list)
    exists: bool = True
    forward: str = ""

    @property
    def code(self) -> int:
        return NOERROR if self.exists else NXDOMAIN


NO_SUCH_NAME = Answer(exists=False)
NO_DATA = Answer()


@dataclass(frozen=True, slots=True)
class _Endpoint:
    address: str
    host: str
    ready: bool
    ports: tuple[Object, ...]


def in_zone(name: str, domain: str) -> bool:
    return name == domain or name.endswith("." + domain)


def soa(domain: str) -> Record:
    """The authority record that lets resolvers remember that a name does not exist."""
    data = encode_name(f"ns.dns.{domain}") + encode_name(f"hostmaster.{domain}")
    return Record(domain, SOA, TTL_SECONDS, data + struct.pack("!5I", 1, 7200, 1800, 86400, TTL_SECONDS))


def resolve(name: str, kind: int, domain: str, lookup: Lookup) -> Answer | None:
    """The answer for a name of the cluster's zone or a reverse name of it; None when it is not ours to answer."""
    if name.endswith(".in-addr.arpa"):
        return _reverse(name, kind, domain, lookup)
    if not in_zone(name, domain):
        return None
    labels = name.removesuffix(domain).rstrip(".").split(".") if name != domain else []
    match labels:
        case []:
            return Answer([soa(domain)]) if kind == SOA else NO_DATA
        case ["dns-version"]:
            return Answer([Record(name, TXT, TTL_SECONDS, b"\x051.1.0")] if kind == TXT else [])
        case ["svc"] | ["pod"]:
            return NO_DATA
        case [namespace, "svc" | "pod"]:
            return NO_DATA if lookup.namespace_exists(namespace) else NO_SUCH_NAME
        case [address, namespace, "pod"]:
            return _pod(name, kind, address, namespace, lookup)
        case [*host, service_name, namespace, "svc"]:
            service = lookup.service(namespace, service_name)
            return _service(name, kind, host, service, domain, lookup) if service else NO_SUCH_NAME
    return NO_SUCH_NAME


def _pod(name: str, kind: int, dashed: str, namespace: str, lookup: Lookup) -> Answer:
    try:
        address = ipaddress.IPv4Address(dashed.replace("-", "."))
    except ValueError:
        return NO_SUCH_NAME
    if not lookup.namespace_exists(namespace):
        return NO_SUCH_NAME
    return Answer([Record(name, A, TTL_SECONDS, address.packed)] if kind == A else [])


def _service(name: str, kind: int, host: list[str], service: Object, domain: str, lookup: Lookup) -> Answer:
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        if host:
            return NO_SUCH_NAME
        target = spec.get("externalName", "").lower().rstrip(".")
        alias = Record(name, CNAME, TTL_SECONDS, encode_name(target))
        inside = resolve(target, kind, domain, lookup) if in_zone(target, domain) and target != name else None
        if inside is not None:
            return Answer([alias, *inside.records])
        return Answer([alias], forward=target if kind in (A, AAAA) else "")
    headless = spec.get("clusterIP", "") in ("", "None")
    endpoints = list(_endpoints(service, lookup)) if headless else []
    match host:
        case []:
            addresses = [e.address for e in endpoints] if headless else [spec["clusterIP"]]
            if headless and not endpoints:
                return NO_SUCH_NAME
            if kind == SRV:
                return Answer(list(_srv(name, None, None, service, endpoints, domain)))
            return _addresses(name, kind, addresses)
        case [single] if headless and not single.startswith("_"):
            addresses = [e.address for e in endpoints if e.host == single]
            return _addresses(name, kind, addresses) if addresses else NO_SUCH_NAME
        case [port, protocol] if port.startswith("_") and protocol.startswith("_"):
            records = list(_srv(name, port[1:], protocol[1:], service, endpoints, domain))
            if not records:
                return NO_SUCH_NAME
            return Answer(records if kind == SRV else [])
    return NO_SUCH_NAME


def _addresses(name: str, kind: int, addresses: Iterable[str]) -> Answer:
    if kind != A:
        return NO_DATA
    return Answer([Record(name, A, TTL_SECONDS, ipaddress.IPv4Address(a).packed) for a in dict.fromkeys(addresses)])


def _endpoints(service: Object, lookup: Lookup) -> Iterator[_Endpoint]:
    """Of a headless Service: the ready ones, or all with publishNotReadyAddresses."""
    everyone = bool(service["spec"].get("publishNotReadyAddresses"))
    for endpoint_slice in lookup.slices(namespace_of(service), name_of(service)):
        if endpoint_slice.get("addressType") != "IPv4":
            continue
        for endpoint in endpoint_slice.get("endpoints") or ():
            ready = (endpoint.get("conditions") or {}).get("ready") is not False
            if ready or everyone:
                for address in endpoint["addresses"]:
                    host = endpoint.get("hostname") or address.replace(".", "-")
                    yield _Endpoint(address, host, ready, tuple(endpoint_slice.get("ports") or ()))


def _srv(
    name: str, port: str | None, protocol: str | None, service: Object, endpoints: list[_Endpoint], domain: str
) -> Iterator[Record]:
    """SRV records: priority 0, weights that sum to about 100, the port, and where."""
    base = f"{name_of(service)}.{namespace_of(service)}.svc.{domain}"
    found: list[tuple[int, str]] = []
    if endpoints:
        for endpoint in endpoints:
            found += [(p["port"], f"{endpoint.host}.{base}") for p in endpoint.ports if _is_port(p, port, protocol)]
    elif service["spec"].get("clusterIP", "") not in ("", "None"):
        found = [(p["port"], base) for p in service["spec"].get("ports") or () if _is_port(p, port, protocol)]
    for number, target in found:
        data = struct.pack("!3H", 0, max(1, 100 // len(found)), number) + encode_name(target)
        yield Record(name, SRV, TTL_SECONDS, data)


def _is_port(port: Object, name: str | None, protocol: str | None) -> bool:
    if name is None:
        return True
    return (port.get("name") or "") == name and port.get("protocol", "TCP").lower() == protocol


def _reverse(name: str, kind: int, domain: str, lookup: Lookup) -> Answer | None:
    try:
        address = str(ipaddress.IPv4Address(".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))))
    except ValueError:
        return None
    targets = [f"{name_of(s)}.{namespace_of(s)}.svc.{domain}" for s in lookup.services_at(address)]
    for endpoint_slice in lookup.slices_at(address):
        service_name = (endpoint_slice["metadata"].get("labels") or {}).get("kubernetes.io/service-name", "")
        service = lookup.service(namespace_of(endpoint_slice), service_name)
        if service and service["spec"].get("clusterIP") == "None":
            base = f"{service_name}.{namespace_of(endpoint_slice)}.svc.{domain}"
            targets += [f"{e.host}.{base}" for e in _endpoints(service, lookup) if e.address == address]
    if not targets:
        return None
    if kind != PTR:
        return NO_DATA
    return Answer([Record(name, PTR, TTL_SECONDS, encode_name(target)) for target in dict.fromkeys(targets)])
