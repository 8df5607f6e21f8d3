"""What a node's packet rules should be, as a pure function of Services and EndpointSlices.

Model: a *frontend* is an address, protocol and port that clients use (a cluster IP, an external IP, a load balancer's
address, or a node port on the node's own addresses). It leads to the *backends* (pod address and port) of one Service
port. `rules_for` turns objects into a `Ruleset`; `nftables.py` writes that as nft. Which endpoints a frontend uses
follows the Service's traffic policies (internalTrafficPolicy, externalTrafficPolicy), trafficDistribution and the
endpoints' conditions: ready ones; if there are none, those that serve while terminating (KEP-1669).
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kaa.api.objects import Object, name_of, namespace_of

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
AFFINITY_SECONDS = 10800
"""How long ClientIP affinity lasts unless the Service says otherwise."""


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    address: str
    port: int


@dataclass(frozen=True, slots=True, order=True)
class Frontend:
    """`address` is "" for a node port: it then means every node-port address of the node."""

    address: str
    protocol: str  # tcp, udp, sctp
    port: int


@dataclass(frozen=True, slots=True)
class Target:
    """Where a frontend leads. Without backends it is refused (`reject`), or dropped where only other nodes have some.

    `masquerade`: "always" (node ports: the reply must come back through this node), "outside" (only clients outside the
    pod range), "never" (externalTrafficPolicy Local keeps the client's address).
    """

    service: str  # namespace/name:port, for people who read the rules
    backends: tuple[Backend, ...]
    masquerade: str = "outside"
    drop: bool = False
    affinity_seconds: int = 0  # 0: none
    sources: tuple[str, ...] = ()  # loadBalancerSourceRanges; empty: all

    @property
    def chain(self) -> str:
        """A name for the nft chain: equal targets share one, and a changed target gets a new one."""
        facts = (self.service, self.backends, self.masquerade, self.drop, self.affinity_seconds, self.sources)
        return f"svc-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Ruleset:
    frontends: Mapping[Frontend, Target]
    local_backends: frozenset[str] = field(default_factory=frozenset)  # addresses that may reach themselves (hairpin)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    backend: Backend
    local: bool
    ready: bool
    serving: bool
    same_node_hint: bool


def rules_for(services: Iterable[Object], slices: Iterable[Object], node_name: str) -> Ruleset:
    """The rules of one node. Order of the arguments does not matter."""
    by_service: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for endpoint_slice in slices:
        service_name = (endpoint_slice["metadata"].get("labels") or {}).get(SERVICE_NAME_LABEL)
        if service_name and endpoint_slice.get("addressType") == "IPv4":
            by_service[namespace_of(endpoint_slice), service_name].append(endpoint_slice)
    frontends: dict[Frontend, Target] = {}
    local_backends: set[str] = set()
    for service in services:
        if not is_proxied(service):
            continue
        own_slices = by_service.get((namespace_of(service), name_of(service)), [])
        for port in service["spec"].get("ports") or ():
            endpoints = _endpoints(own_slices, port.get("name", ""), node_name)
            frontends.update(_frontends(service, port, endpoints))
            local_backends |= {e.backend.address for e in endpoints if e.local}
    return Ruleset(frontends, frozenset(local_backends))


def is_proxied(service: Object) -> bool:
    """Whether the node's proxy answers for it: it has a cluster IP, and no other proxy is named."""
    spec = service["spec"]
    if PROXY_NAME_LABEL in (service["metadata"].get("labels") or {}):
        return False
    return spec.get("type") != "ExternalName" and spec.get("clusterIP", "") not in ("", "None")


def _endpoints(slices: Iterable[Object], port_name: str, node_name: str) -> list[_Endpoint]:
    found: dict[Backend, _Endpoint] = {}
    for endpoint_slice in slices:
        port = next((p for p in endpoint_slice.get("ports") or () if (p.get("name") or "") == port_name), None)
        if port is None or port.get("port") is None:
            continue
        for endpoint in endpoint_slice.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            # An absent condition is to be read as true (ready), and `serving` falls back to `ready`.
            ready = conditions.get("ready") is not False
            serving = conditions.get("serving", ready) is not False
            hinted = {hint["name"] for hint in (endpoint.get("hints") or {}).get("forNodes") or ()}
            for address in endpoint["addresses"][:1]:
                backend = Backend(address, port["port"])
                found[backend] = _Endpoint(
                    backend, endpoint.get("nodeName") == node_name, ready, serving, node_name in hinted
                )
    return [found[backend] for backend in sorted(found)]


def _usable(endpoints: Iterable[_Endpoint]) -> list[_Endpoint]:
    """The ready ones, or those that still serve when none is ready."""
    candidates = list(endpoints)
    ready = [e for e in candidates if e.ready]
    return ready or [e for e in candidates if e.serving]


def _frontends(service: Object, port: Object, endpoints: list[_Endpoint]) -> dict[Frontend, Target]:
    spec = service["spec"]
    label = f"{namespace_of(service)}/{name_of(service)}:{port.get('name') or port['port']}"
    protocol = port.get("protocol", "TCP").lower()
    affinity = 0
    if spec.get("sessionAffinity") == "ClientIP":
        client_ip = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        affinity = client_ip.get("timeoutSeconds") or AFFINITY_SECONDS
    usable = _usable(endpoints)
    local = _usable(e for e in endpoints if e.local)

    def target(chosen: list[_Endpoint], masquerade: str, *, sources: tuple[str, ...] = ()) -> Target:
        backends = tuple(e.backend for e in chosen)
        elsewhere = not chosen and bool(usable)
        return Target(label, backends, masquerade, elsewhere, affinity, sources)

    if spec.get("internalTrafficPolicy") == "Local":
        inside = local
    elif spec.get("trafficDistribution") == "PreferSameNode" or any(e.same_node_hint for e in usable):
        inside = local or usable
    else:
        inside = usable
    keeps_client = spec.get("externalTrafficPolicy") == "Local"
    outside = target(local, "never") if keeps_client else target(usable, "always")

    frontends = {Frontend(spec["clusterIP"], protocol, port["port"]): target(inside, "outside")}
    for address in spec.get("externalIPs") or ():
        frontends[Frontend(address, protocol, port["port"])] = outside
    sources = tuple(spec.get("loadBalancerSourceRanges") or ())
    for ingress in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        # ipMode Proxy: the load balancer wants its own address to be left alone (KEP-1860).
        if ingress.get("ip") and ingress.get("ipMode", "VIP") == "VIP":
            chosen = local if keeps_client else usable
            masquerade = "never" if keeps_client else "always"
            frontends[Frontend(ingress["ip"], protocol, port["port"])] = target(chosen, masquerade, sources=sources)
    if port.get("nodePort"):
        frontends[Frontend("", protocol, port["nodePort"])] = outside
    return frontends
