"""Addresses and ports of Services: which one comes next, and whether one that was asked for may be had.

A *pool* is a range of numbers. Its lower *band* is left for those who ask for a certain number; a free choice is made
in the upper band, from a random number on so that a deleted Service's address does not come back at once, and in the
lower one only when the upper is full (KEP-3070, KEP-3668). Addresses come from the ranges of the ServiceCIDRs that are
ready.

A number that is chosen here is not taken yet: the write takes it (see `claims`), and who was slower chooses anew.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_network
from random import Random

from kaa.api.errors import FieldError, invalid
from kaa.api.objects import Object, condition, is_being_deleted, name_of
from kaa.api.validation.fields import too_many
from kaa.api.validation.names import ip_address
from kaa.lib.clock import Clock
from kaa.server.chain import Reader
from kaa.server.claims import ADDRESSES, HEADLESS, NODE_PORTS, node_ports
from kaa.server.request import AdmissionRequest

NODE_PORT_RANGE = range(30000, 32768)
WITH_NODE_PORTS = ("NodePort", "LoadBalancer")

MAX_NODE_PORTS = 60
"""Of one Service: an update that changes them all must fit into one transaction of the store, which has 128 keys."""

IsTaken = Callable[[str], bool]
"""Whether there is something at a store key, as far as the watch cache knows."""


class Taken(Exception):
    """The number has an owner."""


class OutOfRange(Exception):
    """The number is none of the pool's."""


class Exhausted(Exception):
    """Every number has an owner."""


@dataclass(frozen=True, slots=True)
class Pool:
    numbers: range
    static_band: int  # how many of the first numbers are left for those who ask for them
    is_taken: Callable[[int], bool]

    def check(self, number: int) -> None:
        """Raises OutOfRange, Taken."""
        if number not in self.numbers:
            raise OutOfRange
        if self.is_taken(number):
            raise Taken

    def free(self, rng: Random, besides: Iterable[int] = ()) -> int:
        """One that nobody has, and that is none of `besides`. Raises Exhausted."""
        for band in (self.numbers[self.static_band :], self.numbers[: self.static_band]):
            first = rng.randrange(len(band)) if band else 0
            for i in range(len(band)):
                number = band[(first + i) % len(band)]
                if number not in besides and not self.is_taken(number):
                    return number
        raise Exhausted


def address_pool(network: IPv4Network, is_taken: IsTaken) -> Pool:
    """All addresses but the network's own and the broadcast address."""
    numbers = range(int(network.network_address) + 1, int(network.broadcast_address))
    band = static_band(len(numbers), step=16, most=256)
    return Pool(numbers, band, lambda number: is_taken(f"{ADDRESSES}{IPv4Address(number)}"))


def port_pool(is_taken: IsTaken, numbers: range = NODE_PORT_RANGE) -> Pool:
    band = static_band(len(numbers), step=32, most=128)
    return Pool(numbers, band, lambda number: is_taken(f"{NODE_PORTS}{number}"))


def static_band(size: int, *, step: int, most: int) -> int:
    """Upstream's rule: a fraction of the range, at least 16 and at most `most`; none in a range too small for it."""
    return 0 if size <= 16 else min(max(16, size // step), most)


def networks_of(ranges: Iterable[Object]) -> list[IPv4Network]:
    """What the ServiceCIDRs that are ready offer, each once. (The cluster has IPv4 only.)"""
    networks: dict[IPv4Network, None] = {}
    for service_cidr in ranges:
        ready = condition((service_cidr.get("status") or {}).get("conditions"), "Ready")
        if ready is None or ready["status"] != "True" or is_being_deleted(service_cidr):
            continue
        for cidr in service_cidr["spec"].get("cidrs") or ():
            network = ip_network(cidr)
            if isinstance(network, IPv4Network):
                networks[network] = None
    return list(networks)


class ServiceAllocation:
    """The reservation row for Services: cluster IPs, node ports, health check node ports."""

    def __init__(self, reader: Reader, clock: Clock, is_taken: IsTaken) -> None:
        self._reader = reader
        self._rng = clock.random
        self._is_taken = is_taken
        self._ports = port_pool(is_taken)
        self._networks: list[IPv4Network] = []
        self._networks_revision = -1

    async def reserve(self, request: AdmissionRequest) -> None:
        if request.resource.kind != "Service" or request.object is None or request.attributes.subresource:
            return
        service, old = request.object, request.old
        if not service.get("spec"):
            return  # validation says so
        if old is not None:
            inherit(service, old)
        self._reserve_address(service, old)
        self._reserve_ports(service, old)

    def _pools(self) -> list[Pool]:
        revision = self._reader.revision("ServiceCIDR")
        if revision != self._networks_revision:
            self._networks = networks_of(self._reader.list("ServiceCIDR"))
            self._networks_revision = revision
        return [address_pool(network, self._is_taken) for network in self._networks]

    def _reserve_address(self, service: Object, old: Object | None) -> None:
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return
        set_families(spec)
        wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
        if wanted == HEADLESS:
            spec["clusterIP"], spec["clusterIPs"] = HEADLESS, [HEADLESS]
            return
        if old is not None and wanted and wanted == old["spec"].get("clusterIP"):
            return
        number = self._wanted_address(service, wanted) if wanted else self._any_address(service)
        address = str(IPv4Address(number))
        spec["clusterIP"], spec["clusterIPs"] = address, [address]

    def _any_address(self, service: Object) -> int:
        for pool in self._pools():
            try:
                return pool.free(self._rng)
            except Exhausted:
                continue
        raise _refused(service, _address_error([], "failed to allocate a serviceIP: range is full"))

    def _wanted_address(self, service: Object, wanted: str) -> int:
        if problems := ip_address(wanted):
            error = FieldError("FieldValueInvalid", "spec.clusterIPs[0]", f'Invalid value: "{wanted}": {problems[0]}')
            raise _refused(service, error)
        if ":" in wanted:
            why = f'Invalid value: ["{wanted}"]: IPv6 is not configured on this cluster'
            raise _refused(service, FieldError("FieldValueInvalid", "spec.clusterIPs[0]", why))
        number, failed = int(IPv4Address(wanted)), f"failed to allocate IP {wanted}"
        for pool in self._pools():
            try:
                pool.check(number)
            except OutOfRange:
                continue
            except Taken:
                why = f"{failed}: provided IP is already allocated"
                raise _refused(service, _address_error([wanted], why)) from None
            return number
        why = f"{failed}: the provided network does not match the current range"
        raise _refused(service, _address_error([wanted], why))

    def _reserve_ports(self, service: Object, old: Object | None) -> None:
        spec = service["spec"]
        mine = set(node_ports(old["spec"])) if old is not None else set()
        if spec.get("type") in WITH_NODE_PORTS:
            self._reserve_node_ports(service, mine)
        if needs_health_check_port(spec):
            wanted = spec.get("healthCheckNodePort") or 0
            if wanted not in mine or not wanted:
                spec["healthCheckNodePort"] = self._port(service, wanted, "spec.healthCheckNodePort", mine)

    def _reserve_node_ports(self, service: Object, mine: set[int]) -> None:
        """`mine` is what the Service has, and gets what is chosen for it."""
        spec = service["spec"]
        fill = spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts") is not False
        shared: dict[int, int] = {}  # service port -> node port: TCP and UDP on one port share the number
        for index, port in enumerate(spec.get("ports") or ()):
            wanted = port.get("nodePort") or 0
            if not wanted and fill:
                wanted = shared.get(port.get("port", 0), 0)
            if not wanted and not fill:
                continue
            if wanted not in mine or not wanted:
                wanted = self._port(service, wanted, f"spec.ports[{index}].nodePort", mine)
                mine.add(wanted)
            port["nodePort"] = shared[port.get("port", 0)] = wanted
        count = len(set(node_ports(spec)))
        if count > MAX_NODE_PORTS:
            raise _refused(service, too_many("spec.ports", count, MAX_NODE_PORTS))

    def _port(self, service: Object, wanted: int, path: str, mine: set[int]) -> int:
        numbers = self._ports.numbers
        try:
            if not wanted:
                return self._ports.free(self._rng, mine)
            self._ports.check(wanted)
            return wanted
        except Taken:
            why = "provided port is already allocated"
        except OutOfRange:
            why = f"provided port is not in the valid range. The range of valid ports is {numbers[0]}-{numbers[-1]}"
        except Exhausted:
            why = "failed to allocate a nodePort: range is full"
        raise _refused(service, FieldError("FieldValueInvalid", path, f"Invalid value: {wanted}: {why}"))


def needs_health_check_port(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def set_families(spec: Object) -> None:
    """The cluster has IPv4 only. A headless Service without selector may still point at both families."""
    anything = spec.get("clusterIP") == HEADLESS and not spec.get("selector")
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if anything else "SingleStack")
    dual = anything and spec["ipFamilyPolicy"] != "SingleStack"
    spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if dual else ["IPv4"])


def inherit(service: Object, old: Object) -> None:
    """Keeps what was allocated where an update leaves it out, and drops what the new type does not have."""
    spec, before = service["spec"], old["spec"]
    kind = spec.get("type")
    for applies, update in INHERITED:
        if applies(kind, before.get("type")):
            update(spec, before)


def _keep_address(spec: Object, before: Object) -> None:
    if not spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec.update({key: before[key] for key in ("clusterIP", "clusterIPs") if key in before})
    elif not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def _drop_address(spec: Object, before: Object) -> None:
    for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(key) == before.get(key):
            spec.pop(key, None)


def _keep_ports(spec: Object, before: Object) -> None:
    known = {_port_key(port): port["nodePort"] for port in before.get("ports") or () if port.get("nodePort")}
    asked = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    for port in spec.get("ports") or ():
        number = known.get(_port_key(port))
        if not port.get("nodePort") and number and number not in asked:
            port["nodePort"] = number
    if needs_health_check_port(spec) and needs_health_check_port(before):
        spec.setdefault("healthCheckNodePort", before.get("healthCheckNodePort", 0))


def _drop_ports(spec: Object, before: Object) -> None:
    """Only those that stand there as before: who writes a new node port on a ClusterIP Service is told so."""
    had = set(node_ports(before))
    for port in spec.get("ports") or ():
        if port.get("nodePort") in had:
            del port["nodePort"]
    if spec.get("healthCheckNodePort") in had:
        del spec["healthCheckNodePort"]


def _port_key(port: Object) -> tuple[str, int]:
    return port.get("protocol", "TCP"), port.get("port", 0)


INHERITED: tuple[tuple[Callable[[object, object], bool], Callable[[Object, Object], None]], ...] = (
    (lambda new, old: "ExternalName" not in (new, old), _keep_address),
    (lambda new, old: new == "ExternalName" and old != "ExternalName", _drop_address),
    (lambda new, old: new in WITH_NODE_PORTS and old in WITH_NODE_PORTS, _keep_ports),
    (lambda new, old: new not in WITH_NODE_PORTS and old in WITH_NODE_PORTS, _drop_ports),
)
"""(new type, old type) -> what an update does to the new spec."""


def _address_error(addresses: list[str], why: str) -> FieldError:
    shown = "[" + ",".join(f'"{address}"' for address in addresses) + "]"
    return FieldError("FieldValueInvalid", "spec.clusterIPs", f"Invalid value: {shown}: {why}")


def _refused(service: Object, error: FieldError) -> Exception:
    return invalid("Service", "", name_of(service), [error])
