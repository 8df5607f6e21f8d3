"""Addresses and ports of Services: which is whose, and which comes next.

A *pool* is a range of numbers and the owner of each taken one. Its lower *band* is left for those who ask for a certain
number; a free choice is drawn from the upper band, at random so that a deleted Service's address does not come back
at once, and from the lower one only when the upper is full (KEP-3070, KEP-3668).

A write takes what it needs before it is validated, and gives back what it did not come to need (`release`). What is
in use follows from the stored Services and is read from them when the server starts.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from random import Random

from kaa.api.errors import FieldError, invalid
from kaa.api.objects import Object, is_being_deleted, name_of, namespace_of
from kaa.lib.clock import Clock
from kaa.server.chain import Reader
from kaa.server.request import AdmissionRequest

NODE_PORTS = range(30000, 32768)
HEADLESS = "None"
WITH_NODE_PORTS = ("NodePort", "LoadBalancer")

RANDOM_TRIES = 32
"""Draws before a band is searched from end to end: enough while it is not nearly full."""


class Taken(Exception):
    """The number has an owner."""


class OutOfRange(Exception):
    """The number is none of the pool's."""


class Exhausted(Exception):
    """Every number has an owner."""


@dataclass(slots=True)
class Pool:
    numbers: range
    static_band: int  # how many of the first numbers are left for those who ask for them
    rng: Random
    owners: dict[int, str] = field(default_factory=dict)

    def take(self, number: int, owner: str) -> None:
        """Raises OutOfRange; Taken, also when the owner is the same: who takes it twice gives it back twice."""
        if number not in self.numbers:
            raise OutOfRange
        if number in self.owners:
            raise Taken
        self.owners[number] = owner

    def take_any(self, owner: str) -> int:
        """Raises Exhausted."""
        number = self._free_in(self.numbers[self.static_band :])
        if number is None:
            number = self._free_in(self.numbers[: self.static_band])
        if number is None:
            raise Exhausted
        self.owners[number] = owner
        return number

    def _free_in(self, band: range) -> int | None:
        if not band:
            return None
        for _ in range(RANDOM_TRIES):
            number = band[self.rng.randrange(len(band))]
            if number not in self.owners:
                return number
        return next((number for number in band if number not in self.owners), None)

    def give_back(self, number: int, owner: str) -> None:
        """Nothing happens if it is another's: what was read from damaged data must not free what is in use."""
        if self.owners.get(number) == owner:
            del self.owners[number]


def address_pool(network: IPv4Network, rng: Random) -> Pool:
    """All addresses but the network's own and the broadcast address."""
    first = int(network.network_address) + 1
    numbers = range(first, int(network.broadcast_address))
    return Pool(numbers, static_band(len(numbers), step=16, most=256), rng)


def port_pool(rng: Random, numbers: range = NODE_PORTS) -> Pool:
    return Pool(numbers, static_band(len(numbers), step=32, most=128), rng)


def static_band(size: int, *, step: int, most: int) -> int:
    """Upstream's rule: a fraction of the range, at least 16 and at most `most`; none in a range too small for it."""
    return 0 if size <= 16 else min(max(16, size // step), most)


Claim = tuple[Pool, int]


class ServiceAllocation:
    """The reservation row for Services: cluster IPs, node ports, health check node ports."""

    def __init__(self, reader: Reader, clock: Clock, network: IPv4Network) -> None:
        self._reader = reader
        self._network = network
        self.addresses = address_pool(network, clock.random)
        self.ports = port_pool(clock.random)
        self._reserved: dict[int, list[Claim]] = {}  # by the request's identity, from `reserve` to `release`

    def rebuild(self) -> None:
        """Takes what the stored Services have. Of two with the same number the first keeps it."""
        for service in self._reader.list("Service"):
            for pool, number in self._held(service):
                pool.owners.setdefault(number, owner_of(service))

    async def reserve(self, request: AdmissionRequest) -> None:
        if request.resource.kind != "Service" or request.object is None or request.attributes.subresource:
            return
        claims = self._reserved.setdefault(id(request), [])
        service, old = request.object, request.old
        if not service.get("spec"):
            return  # validation says so
        if old is not None:
            inherit(service, old)
        self._reserve_address(service, old, claims)
        self._reserve_ports(service, old, claims)

    def release(self, request: AdmissionRequest, committed: bool) -> None:
        if request.resource.kind != "Service":
            return
        claims = self._reserved.pop(id(request), [])
        let_go: Iterable[Claim] = ()
        if not committed:
            let_go = claims
        elif request.old is not None:
            kept = set() if _is_removed(request.object) else {n for _, n in self._held(request.object or {})}
            let_go = [(pool, number) for pool, number in self._held(request.old) if number not in kept]
        owner = owner_of(request.object or request.old or {})
        for pool, number in let_go:
            pool.give_back(number, owner)

    def _reserve_address(self, service: Object, old: Object | None, claims: list[Claim]) -> None:
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
        owner = owner_of(service)
        if not wanted:
            try:
                number = self.addresses.take_any(owner)
            except Exhausted:
                raise _refused(service, _address_error([], "failed to allocate a serviceIP: range is full")) from None
        else:
            number = self._take_address(service, wanted)
        claims.append((self.addresses, number))
        address = str(IPv4Address(number))
        spec["clusterIP"], spec["clusterIPs"] = address, [address]

    def _take_address(self, service: Object, wanted: str) -> int:
        try:
            number = int(IPv4Address(wanted))
        except ValueError:
            why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            error = FieldError("FieldValueInvalid", "spec.clusterIPs[0]", f'Invalid value: "{wanted}": {why}')
            raise _refused(service, error) from None
        failed = f"failed to allocate IP {wanted}"
        try:
            self.addresses.take(number, owner_of(service))
        except Taken:
            raise _refused(service, _address_error([wanted], f"{failed}: provided IP is already allocated")) from None
        except OutOfRange:
            why = (
                f"the provided IP ({wanted}) is not in the valid range. "
                f"The range of valid IPs is {self._network.with_prefixlen}"
            )
            raise _refused(service, _address_error([wanted], f"{failed}: {why}")) from None
        return number

    def _reserve_ports(self, service: Object, old: Object | None, claims: list[Claim]) -> None:
        spec = service["spec"]
        had = set(node_ports(old["spec"])) if old is not None else set()
        if spec.get("type") in WITH_NODE_PORTS:
            self._reserve_node_ports(service, had, claims)
        if needs_health_check_port(spec):
            wanted = spec.get("healthCheckNodePort") or 0
            if wanted not in had or not wanted:
                number = self._take_port(service, wanted, "spec.healthCheckNodePort")
                claims.append((self.ports, number))
                spec["healthCheckNodePort"] = number

    def _reserve_node_ports(self, service: Object, had: set[int], claims: list[Claim]) -> None:
        spec = service["spec"]
        fill = spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts") is not False
        shared: dict[int, int] = {}  # service port -> node port: TCP and UDP on one port share the number
        mine = set(had)
        for index, port in enumerate(spec.get("ports") or ()):
            wanted = port.get("nodePort") or 0
            if not wanted and fill:
                wanted = shared.get(port.get("port", 0), 0)
            if not wanted and not fill:
                continue
            if wanted not in mine or not wanted:
                wanted = self._take_port(service, wanted, f"spec.ports[{index}].nodePort")
                claims.append((self.ports, wanted))
                mine.add(wanted)
            port["nodePort"] = shared[port.get("port", 0)] = wanted

    def _take_port(self, service: Object, wanted: int, path: str) -> int:
        try:
            if not wanted:
                return self.ports.take_any(owner_of(service))
            self.ports.take(wanted, owner_of(service))
            return wanted
        except Taken:
            why = "provided port is already allocated"
        except OutOfRange:
            numbers = self.ports.numbers
            why = f"provided port is not in the valid range. The range of valid ports is {numbers[0]}-{numbers[-1]}"
        except Exhausted:
            why = "failed to allocate a nodePort: range is full"
        raise _refused(service, FieldError("FieldValueInvalid", path, f"Invalid value: {wanted}: {why}"))

    def _held(self, service: Object) -> Iterator[Claim]:
        """What a Service has from the pools."""
        spec = service.get("spec") or {}
        address = spec.get("clusterIP")
        if address and address != HEADLESS:
            yield self.addresses, int(IPv4Address(address))
        for number in sorted(set(node_ports(spec))):
            yield self.ports, number


def owner_of(service: Object) -> str:
    return f"{namespace_of(service)}/{name_of(service)}"


def node_ports(spec: Object) -> Iterator[int]:
    yield from (port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort"))
    if spec.get("healthCheckNodePort"):
        yield spec["healthCheckNodePort"]


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


def _is_removed(service: Object | None) -> bool:
    """A deletion, or the update that takes the last finalizer off a deleted Service."""
    return service is None or (is_being_deleted(service) and not service["metadata"].get("finalizers"))


def _address_error(addresses: list[str], why: str) -> FieldError:
    shown = "[" + ",".join(f'"{address}"' for address in addresses) + "]"
    return FieldError("FieldValueInvalid", "spec.clusterIPs", f"Invalid value: {shown}: {why}")


def _refused(service: Object, error: FieldError) -> Exception:
    return invalid("Service", "", name_of(service), [error])
