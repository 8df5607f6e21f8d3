"""Addresses and ports of Services: nobody gets another's, nothing leaks, and what is asked for is given."""

from collections.abc import Iterator
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
from kaa.server.request import AdmissionRequest, Attributes, User

SERVICE = builtin_catalog().named("Service")
NETWORK = IPv4Network("10.96.0.0/16")


class Services:
    """Services that are written through an allocation."""

    def __init__(self, reader: Any, clock: Any, network: IPv4Network = NETWORK) -> None:
        self.allocation = ServiceAllocation(reader, clock, network)

    async def write(self, operation: str, new: Object | None, old: Object | None, *, commit: bool = True) -> Object:
        name = (new or old or {})["metadata"]["name"]
        attributes = Attributes(User("x"), operation.lower(), "", "v1", "services", "", "a", name, is_resource=True)
        new = copy_object(new) if new else None
        request = AdmissionRequest(attributes, SERVICE, operation, new, copy_object(old) if old else None)
        committed = False
        try:
            await self.allocation.reserve(request)
            committed = commit
        finally:
            self.allocation.release(request, committed)
        return request.object or {}

    async def create(self, name: str = "s", *, commit: bool = True, **spec: Any) -> Object:
        return await self.write("CREATE", service(name, **spec), None, commit=commit)

    async def update(self, old: Object, *, commit: bool = True, **spec: Any) -> Object:
        new = copy_object(old)
        new["spec"].update(spec)
        return await self.write("UPDATE", new, old, commit=commit)

    async def delete(self, old: Object) -> None:
        await self.write("DELETE", None, old)

    def taken(self) -> tuple[set[int], set[int]]:
        return set(self.allocation.addresses.owners), set(self.allocation.ports.owners)


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
    with pytest.raises(APIError, match=r"not in the valid range. The range of valid IPs is 10.96.0.0/16"):
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
    """Validation, a lost race or a dry run after the allocation: everything is free again."""
    await services.create(type="NodePort", commit=False)
    assert services.taken() == (set(), set())
    with pytest.raises(APIError):
        await services.create(type="NodePort", ports=[{"port": 80}, {"port": 81, "nodePort": 1}])
    assert services.taken() == (set(), set())


async def test_a_deleted_service_gives_back(services: Services) -> None:
    """And so does the one whose last finalizer goes away by an update."""
    await services.delete(await services.create(type="NodePort"))
    assert services.taken() == (set(), set())
    ending = await services.create(type="NodePort")
    ending["metadata"].update(deletionTimestamp="2030-01-01T00:00:00Z", finalizers=["x"])
    last = copy_object(ending)
    del last["metadata"]["finalizers"]
    await services.write("UPDATE", last, ending)
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
    assert local["spec"]["healthCheckNodePort"] in services.allocation.ports.owners
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
    assert services.taken() == ({int(IPv4Address(old["spec"]["clusterIP"]))}, set())
    external = await services.update(plain, type="ExternalName", externalName="x.example")
    assert "clusterIP" not in external["spec"]
    assert services.taken() == (set(), set())
    again = await services.update(external, type="NodePort")
    assert again["spec"]["clusterIP"]
    assert len(services.taken()[1]) == 1


async def test_a_lost_update_gives_back_only_its_own(services: Services) -> None:
    """A conflict must not free the ports that the stored Service has."""
    old = await services.create(type="NodePort")
    taken = services.taken()
    ports = [*old["spec"]["ports"], {"port": 81, "protocol": "TCP"}]
    await services.update(old, ports=ports, commit=False)
    assert services.taken() == taken


async def test_rebuilt_from_what_is_stored(reader: Any, clock: Any) -> None:
    """After a restart nobody gets an address that a stored Service has."""
    stored = service(clusterIP="10.96.0.10", type="NodePort", ports=[{"port": 80, "nodePort": 30001}])
    reader.put("Service", stored)
    services = Services(reader, clock)
    services.allocation.rebuild()
    assert services.taken() == ({int(IPv4Address("10.96.0.10"))}, {30001})
    with pytest.raises(APIError, match="already allocated"):
        await services.create("t", clusterIP="10.96.0.10")


async def test_a_full_range_is_said(reader: Any, clock: Any) -> None:
    """The error names the cause, and a free address is found again after a deletion."""
    services = Services(reader, clock, IPv4Network("10.0.0.0/29"))
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
    assert len(address_pool(NETWORK, Random(1)).numbers) == 65534
    assert port_pool(Random(1)).static_band == 86


@given(st.integers(0, 40), st.integers(0, 40), st.randoms(use_true_random=False))
def test_every_number_is_given_once(size: int, band: int, rng: Random) -> None:
    """A pool gives each of its numbers exactly once, whatever its band, and then says that it is empty."""
    pool = Pool(range(100, 100 + size), min(band, size), rng)

    def drain() -> Iterator[int]:
        while True:
            try:
                yield pool.take_any("x")
            except Exhausted:
                return

    assert sorted(drain()) == list(range(100, 100 + size))
