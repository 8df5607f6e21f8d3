"""Claims: each number of a Service is a key of its own, written and deleted with it, and made good when it is not."""

import json
from typing import Any

import pytest

from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object
from kaa.lib.clock import WallClock
from kaa.server.claim_repair import Claim, Make, Remove, repairs
from kaa.server.claims import ADDRESSES, NODE_PORTS, claim_change, claims_of
from kaa.store.store import Compare, Delete, Put

CATALOG = builtin_catalog()
SERVICE = CATALOG.named("Service")


def service(name: str = "s", *, created: str = "2030-01-01T00:00:00Z", **spec: Any) -> Object:
    metadata = {"name": name, "namespace": "a", "creationTimestamp": created, "resourceVersion": "7"}
    return {"metadata": metadata, "spec": spec}


def parent(name: str) -> Object:
    return {"resource": "services", "namespace": "a", "name": name}


PLAIN = service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1", "fd00::1"])
PORTS = service(clusterIP="10.0.0.1", ports=[{"nodePort": 30001}, {"nodePort": 30001}, {}], healthCheckNodePort=30002)


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (PLAIN["spec"], ["10.0.0.1", "fd00::1"]),
        (PORTS["spec"], ["10.0.0.1", "30001", "30002"]),
        ({"clusterIP": "None"}, []),
        ({"clusterIP": "nonsense", "clusterIPs": ["", "10.0.0.01"]}, []),
        (None, []),
    ],
)
def test_what_a_service_has(spec: Any, names: list[str]) -> None:
    """Every address and port, once; nothing of what is no number."""
    assert [key.rpartition("/")[2] for key in claims_of({"spec": spec})] == names


def test_a_change_takes_and_lets_go() -> None:
    """What is new must be free; what is no longer there is deleted; what stays is not touched."""
    change = claim_change(SERVICE, PLAIN, PORTS, WallClock())
    assert change.compares == (Compare(f"{NODE_PORTS}30001", 0), Compare(f"{NODE_PORTS}30002", 0))
    assert [(type(operation), operation.key) for operation in change.operations] == [
        (Put, f"{NODE_PORTS}30001"),
        (Put, f"{NODE_PORTS}30002"),
        (Delete, f"{ADDRESSES}fd00::1"),
    ]
    gone = claim_change(SERVICE, PORTS, None, WallClock())
    assert {operation.key for operation in gone.operations} == set(claims_of(PORTS))
    assert gone.compares == ()


def test_an_address_is_an_object() -> None:
    """As upstream's: named by the address, labelled, and saying whose it is."""
    first, second = claim_change(SERVICE, None, PLAIN, WallClock()).operations
    assert isinstance(first, Put)
    assert isinstance(second, Put)
    made = json.loads(first.value)
    assert (made["apiVersion"], made["kind"]) == ("networking.k8s.io/v1", "IPAddress")
    assert made["spec"] == {"parentRef": parent("s")}
    assert made["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    assert json.loads(second.value)["metadata"]["labels"]["ipaddress.kubernetes.io/ip-family"] == "IPv6"


def test_other_kinds_claim_nothing() -> None:
    """A custom kind may be called Service, too."""
    assert not claim_change(CATALOG.named("Pod"), None, PLAIN, WallClock()).operations


ONE = service("one", clusterIP="10.0.0.1")
TWO = service("two", created="2030-01-02T00:00:00Z", clusterIP="10.0.0.1")
KEY = f"{ADDRESSES}10.0.0.1"


@pytest.mark.parametrize(
    ("services", "claims", "done"),
    [
        ([ONE], {KEY: Claim(5, parent("one"), marked=True)}, []),
        ([ONE], {}, [Make(KEY, ONE)]),
        ([TWO, ONE], {}, [Make(KEY, ONE)]),
        ([TWO, ONE], {KEY: Claim(5, parent("one"), marked=True)}, []),
        ([ONE], {KEY: Claim(5, parent("two"), marked=True)}, [Remove(KEY, 5)]),
        ([ONE], {KEY: Claim(5, parent("one"), marked=False)}, [Remove(KEY, 5)]),
        ([], {KEY: Claim(5, parent("one"), marked=True)}, [Remove(KEY, 5)]),
        ([], {KEY: Claim(5, {"resource": "gateways"}, marked=False)}, []),
    ],
)
def test_repairs(services: list[Object], claims: dict[str, Claim], done: list[Any]) -> None:
    """A claim is made where it is missing, removed where it is wrong or nobody's, and others' are left alone."""
    assert list(repairs(services, claims)) == done
