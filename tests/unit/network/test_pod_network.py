"""Addresses of pods, and the ways to them."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.network.pod_network import NoAddressLeft, first_free, gateway_of, veth_of
from kaa.network.routes import route_commands, routes_for

RANGE = ipaddress.IPv4Network("10.244.3.0/24")


@given(st.sets(st.integers(2, 254), max_size=253), st.one_of(st.none(), st.integers(2, 254)))
def test_an_address_is_given_to_one_sandbox_only(taken: set[int], last: int | None) -> None:
    """Never one that is taken, never the gateway's, the network's or the broadcast address."""
    used = [f"10.244.3.{n}" for n in taken]
    after = None if last is None else f"10.244.3.{last}"
    if len(taken) == 253:
        with pytest.raises(NoAddressLeft):
            first_free(RANGE, used, after)
        return
    address = first_free(RANGE, used, after)
    assert address not in used
    assert ipaddress.IPv4Address(address) in list(RANGE.hosts())
    assert address != gateway_of(RANGE)


def test_an_address_just_given_back_is_not_the_next_to_be_given() -> None:
    """Others may still remember its old owner."""
    assert first_free(RANGE, [], "10.244.3.7") == "10.244.3.8"
    assert first_free(RANGE, [], "10.244.3.254") == "10.244.3.2"


def test_link_names_fit_the_kernel() -> None:
    """IFNAMSIZ is 16 with the final NUL."""
    assert len(veth_of("f" * 64)) == 15


def node(name: str, pod_cidr: str | None, *addresses: str) -> dict[str, object]:
    listed = [{"type": "InternalIP", "address": address} for address in addresses]
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": pod_cidr} if pod_cidr else {},
        "status": {"addresses": listed},
    }


def test_routes_lead_through_every_other_node_that_is_ready_for_it() -> None:
    """A node without range or address is not routed to; an IPv6 address is passed over."""
    nodes = [
        node("me", "10.244.0.0/24", "172.30.0.2"),
        node("other", "10.244.1.0/24", "fd00::3", "172.30.0.3"),
        node("new", None, "172.30.0.4"),
        node("silent", "10.244.2.0/24"),
    ]
    assert routes_for(nodes, "me") == {"10.244.1.0/24": "172.30.0.3"}


def test_only_routes_that_change_are_touched() -> None:
    """A heartbeat must not rewrite the routing table."""
    old = {"10.244.1.0/24": "172.30.0.3", "10.244.2.0/24": "172.30.0.4"}
    assert route_commands(old, old) == []
    new = {"10.244.1.0/24": "172.30.0.9"}
    assert route_commands(old, new) == ["route delete 10.244.2.0/24", "route replace 10.244.1.0/24 via 172.30.0.9"]
