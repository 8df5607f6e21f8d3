"""Addresses and ports of Services: what is chosen is free and of the right band, and what is asked for is given."""

from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.api.errors import APIError
from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object, copy_object
from kaa.server.allocation import Exhausted, Pool, ServiceAllocation, address_pool, port_pool, static_band
from kaa.server.claims import ADDRESSES, NODE_PORTS, claim_change
from kaa.server.request import AdmissionRequest, Attributes, User
from kaa.store.store import Delete, Put

SERVICE = builtin_catalog().named("Service")
NETWORK = IPv4Network("10.96.0.0/16")


class Services:
    """Services that are written through an allocation, and the store keys that they have taken."""

    def __init__(self, reader: Any, clock: Any, *networks: str) -> None:
        self.keys: set[str] = set()
        self.clock = clock
        for network in networks or (str(NETWORK),):
            reader.add("ServiceCIDR", network, spec={"cidrs": [network]}, status=READY)
        self.allocation = ServiceAllocation(reader, clock, self.keys.__contains__)

    async def write(self, operation: str, new: Object | None, old: Object | None, *, commit: bool = True) -> Object:
        name = (new or old or {})["metadata"]["name"]
        attributes = Attributes(User("x"), operation.lower(), "", "v1", "services", "", "a", name, is_resource=True)
        new = copy_object(new) if new else None
        request = AdmissionRequest(attributes, SERVICE, operation, new, copy_object(old) if old else None)
        await self.allocation.reserve(request)
        claims = claim_change(SERVICE, old, request.object, self.clock)
        assert not any(compare.key in self.keys for compare in claims.compares)
        for change in claims.operations if commit else ():
            match change:
                case Put(key):
                    self.keys.add(key)
                case Delete(key):
                    self.keys.remove(key)
        return request.object or {}

    async def create(self, name: str = "s", *, commit: bool = True, **spec: Any) -> Object:
        return await self.write("CREATE", service(name, **spec), None, commit=commit)

    async def update(self, old: Object, *, commit: bool = True, **spec: Any) -> Object:
        new = copy_object(old)
        new["spec"].update(spec)
        return await self.write("UPDATE", new, old, commit=commit)

    async def delete(self, old: Object) -> None:
        await self.write("DELETE", None, old)

    def taken(self) -> tuple[set[str], set[int]]:
        addresses = {key.removeprefix(ADDRESSES) for key in self.keys if key.startswith(ADDRESSES)}
        return addresses, {int(key.removeprefix(NODE_PORTS)) for key in self.keys if key.startswith(NODE_PORTS)}


READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def service(name: str = "s", **spec: Any) -> Object:
    spec = {"type": "ClusterIP", "selector": {"a": "b"}, "ports": [{"port": 80, "protocol": "TCP"}], **spec}
    return {"metadata": {"name": name, "namespace": "a"}, "spec": spec}


@pytest.fixture
def services(reader: Any, clock: Any) -> Services:
    return Services(reader, clock)


async def test_an_address_from_the_upper_band(services: Services) -> None:
    """The lower band is left for those who ask, and the object says what it got."""
    spec = (await services.create())["spec"]
    assert int(IPv4Address(spec["clusterIP"])) > int(IPv4Address("10.96.1.0"))
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")


async def test_a_wanted_address(services: Services) -> None:
    """It is given once; the second who asks is told in upstream's words."""
    assert (await services.create(clusterIP="10.96.0.10"))["spec"]["clusterIPs"] == ["10.96.0.10"]
    with pytest.raises(APIError) as raised:
        await services.create("t", clusterIP="10.96.0.10")
    assert raised.value.message == (
        'Service "t" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.10"]:'
        " failed to allocate IP 10.96.0.10: provided IP is already allocated"
    )
    with pytest.raises(APIError, match="the provided network does not match the current range"):
        await services.create("t", clusterIP="192.0.2.1")
    with pytest.raises(APIError, match="must be a valid IP address"):
        await services.create("t", clusterIP="abc")


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"type": "ExternalName", "externalName": "x.example"}])
async def test_services_without_an_address(services: Services, spec: Object) -> None:
    """Headless and external ones take nothing."""
    created = await services.create(**spec)
    assert services.taken() == (set(), set())
    assert created["spec"].get("clusterIP") == spec.get("clusterIP")


async def test_a_failed_write_leaks_nothing(services: Services) -> None:
    """Validation, a lost race or a dry run after the choice: nothing has been taken."""
    await services.create(type="NodePort", commit=False)
    assert services.taken() == (set(), set())
    with pytest.raises(APIError):
        await services.create(type="NodePort", ports=[{"port": 80}, {"port": 81, "nodePort": 1}])
    assert services.taken() == (set(), set())


async def test_a_deleted_service_gives_back(services: Services) -> None:
    """All that it had."""
    await services.delete(await services.create(type="NodePort"))
    assert services.taken() == (set(), set())


async def test_node_ports(services: Services) -> None:
    """From the upper band; TCP and UDP on one port share the number; a wanted one is given once."""
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}, {"port": 9153, "protocol": "TCP"}]
    created = (await services.create(type="NodePort", ports=ports))["spec"]["ports"]
    assert created[0]["nodePort"] == created[1]["nodePort"] != created[2]["nodePort"]
    assert all(30086 <= port["nodePort"] < 32768 for port in created)
    await services.create("t", type="NodePort", ports=[{"port": 80, "nodePort": 30000}])
    with pytest.raises(APIError) as raised:
        await services.create("u", type="NodePort", ports=[{"port": 80, "nodePort": 30000}])
    why = "spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated"
    assert raised.value.message == f'Service "u" is invalid: {why}'
    with pytest.raises(APIError, match="The range of valid ports is 30000-32767"):
        await services.create("u", type="NodePort", ports=[{"port": 80, "nodePort": 80}])


async def test_load_balancers(services: Services) -> None:
    """Node ports can be switched off; local traffic needs a port for health checks."""
    without = await services.create(type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    assert "nodePort" not in without["spec"]["ports"][0]
    local = await services.create("t", type="LoadBalancer", externalTrafficPolicy="Local")
    assert local["spec"]["healthCheckNodePort"] in services.taken()[1]
    await services.delete(local)
    assert services.taken()[1] == set()


async def test_an_update_keeps_what_it_leaves_out(services: Services) -> None:
    """`kubectl apply` of a manifest without addresses must not move a Service."""
    old = await services.create(type="NodePort")
    taken = services.taken()
    new = await services.write("UPDATE", service(type="NodePort"), old)
    assert new["spec"]["clusterIP"] == old["spec"]["clusterIP"]
    assert new["spec"]["ports"] == old["spec"]["ports"]
    assert services.taken() == taken


async def test_a_change_of_type(services: Services) -> None:
    """To ClusterIP the ports go back, to ExternalName the address too, and back again new ones are taken."""
    old = await services.create(type="NodePort")
    plain = await services.update(old, type="ClusterIP")
    assert "nodePort" not in plain["spec"]["ports"][0]
    assert services.taken() == ({old["spec"]["clusterIP"]}, set())
    external = await services.update(plain, type="ExternalName", externalName="x.example")
    assert "clusterIP" not in external["spec"]
    assert services.taken() == (set(), set())
    again = await services.update(external, type="NodePort")
    assert again["spec"]["clusterIP"]
    assert len(services.taken()[1]) == 1


async def test_as_many_node_ports_as_a_transaction_can_change(services: Services) -> None:
    """More would not fit into the store's transaction; that is said, not failed at."""
    ports = [{"name": f"p{n}", "port": n, "protocol": "TCP"} for n in range(1, 62)]
    old = await services.create(type="NodePort", ports=ports[:60])
    assert len(services.taken()[1]) == 60
    with pytest.raises(APIError, match=r"spec\.ports: Too many: 61: must have at most 60 items"):
        await services.update(old, ports=ports)


async def test_several_ranges(reader: Any, clock: Any) -> None:
    """The next is used when one is full; a wanted address may be in any; one that is not ready gives none."""
    services = Services(reader, clock, "10.0.0.0/30", "10.1.0.0/30")
    made = {(await services.create(f"s{i}"))["spec"]["clusterIP"] for i in range(4)}
    assert made == {"10.0.0.1", "10.0.0.2", "10.1.0.1", "10.1.0.2"}
    reader.add("ServiceCIDR", "more", spec={"cidrs": ["10.2.0.0/24"]})
    with pytest.raises(APIError, match="range is full"):
        await services.create("one-more")
    with pytest.raises(APIError, match="does not match the current range"):
        await services.create("one-more", clusterIP="10.2.0.1")
    reader.add("ServiceCIDR", "more", spec={"cidrs": ["10.2.0.0/24", "2001:db8::/64"]}, status=READY)
    assert (await services.create("one-more", clusterIP="10.2.0.1"))["spec"]["clusterIPs"] == ["10.2.0.1"]
    assert (await services.create("another"))["spec"]["clusterIP"].startswith("10.2.0.")


async def test_a_full_range_is_said(reader: Any, clock: Any) -> None:
    """The error names the cause, and a free address is found again after a deletion."""
    services = Services(reader, clock, "10.0.0.0/29")
    made = [await services.create(f"s{i}") for i in range(6)]
    with pytest.raises(APIError, match="range is full"):
        await services.create("one-more")
    await services.delete(made[0])
    assert (await services.create("one-more"))["spec"]["clusterIP"] == made[0]["spec"]["clusterIP"]


@pytest.mark.parametrize(("size", "band"), [(65534, 256), (254, 16), (14, 0), (4094, 255)])
def test_the_static_band(size: int, band: int) -> None:
    """KEP-3070's examples."""
    assert static_band(size, step=16, most=256) == band


def test_the_pools_have_upstreams_sizes() -> None:
    """No network or broadcast address, and 86 ports for those who ask."""
    assert len(address_pool(NETWORK, lambda key: False).numbers) == 65534
    assert port_pool(lambda key: False).static_band == 86


@given(st.integers(0, 40), st.integers(0, 40), st.randoms(use_true_random=False))
def test_every_number_is_given_once(size: int, band: int, rng: Random) -> None:
    """A pool gives each of its numbers exactly once, the upper band first, and then says that it is empty."""
    taken: list[int] = []
    pool = Pool(range(100, 100 + size), min(band, size), taken.__contains__)
    while len(taken) < size:
        number = pool.free(rng)
        taken.append(number)
    upper = size - pool.static_band
    assert sorted(taken[:upper]) == list(range(100 + pool.static_band, 100 + size))
    assert sorted(taken) == list(range(100, 100 + size))
    with pytest.raises(Exhausted):
        pool.free(rng)
