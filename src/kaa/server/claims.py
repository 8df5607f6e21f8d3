"""What a Service has that no other may have, cluster addresses and node ports: each is a key of its own in the store.

A *claim* is put there by the transaction that writes its Service, which succeeds only if the key is free; the one that
removes the Service, or takes the number from it, deletes the claim. So however many servers share a store, no number
is given twice; a server that dies in between leaves nothing behind; and a write whose outcome is unknown has done both
or neither.

    address     its IPAddress object: `/registry/networking.k8s.io/ipaddresses/10.96.0.10`
    node port   `/registry/ranges/servicenodeports/30080`, which no kind serves

Upstream writes an IPAddress before its Service and cleans up what is left over. Of the node ports it keeps one bitmap,
which every write of a port replaces; a key a port lets them be written side by side.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import orjson

from kaa.api.objects import Object, name_of, namespace_of
from kaa.api.resource import Resource
from kaa.lib.clock import Clock, rfc3339
from kaa.server.storage import REGISTRY
from kaa.store.store import Compare, Delete, Operation, Put

ADDRESSES = f"{REGISTRY}networking.k8s.io/ipaddresses/"
NODE_PORTS = f"{REGISTRY}ranges/servicenodeports/"

HEADLESS = "None"

FAMILY = "ipaddress.kubernetes.io/ip-family"
MANAGED_BY = "ipaddress.kubernetes.io/managed-by"
ALLOCATOR = "ipallocator.k8s.io"
"""What marks an IPAddress as a claim; others belong to whoever made them."""


@dataclass(frozen=True, slots=True)
class ClaimChange:
    """What a write adds to its transaction."""

    compares: tuple[Compare, ...] = ()
    operations: tuple[Operation, ...] = ()


NO_CHANGE = ClaimChange()


class ClaimLost(Exception):
    """Another write was faster in taking a number."""


def makes_claims(resource: Resource) -> bool:
    return resource.kind == "Service" and not resource.group


def claim_change(resource: Resource, old: Object | None, new: Object | None, clock: Clock) -> ClaimChange:
    """What goes along with a write that makes `new` of `old` (None: it is not there)."""
    if not makes_claims(resource):
        return NO_CHANGE
    had = dict.fromkeys(claims_of(old) if old is not None else ())
    wanted = dict.fromkeys(claims_of(new) if new is not None else ())
    taken = [key for key in wanted if key not in had]
    operations: list[Operation] = [Put(key, claim_value(key, new or {}, clock)) for key in taken]
    operations += [Delete(key) for key in had if key not in wanted]
    return ClaimChange(tuple(Compare(key, 0) for key in taken), tuple(operations))


def claims_of(service: Object) -> Iterator[str]:
    """The store keys of what a Service has."""
    spec = service.get("spec") or {}
    for address in addresses(spec):
        yield f"{ADDRESSES}{address}"
    for number in dict.fromkeys(node_ports(spec)):
        yield f"{NODE_PORTS}{number}"


def addresses(spec: Object) -> Iterator[IPv4Address | IPv6Address]:
    """The cluster addresses; what is none is left to validation."""
    for text in spec.get("clusterIPs") or (spec.get("clusterIP"),):
        if text and text != HEADLESS:
            try:
                yield ip_address(text)
            except ValueError:
                continue


def node_ports(spec: Object) -> Iterator[int]:
    yield from (port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort"))
    if spec.get("healthCheckNodePort"):
        yield spec["healthCheckNodePort"]


def claim_value(key: str, service: Object, clock: Clock) -> bytes:
    """What stands at a claim's key: of which Service it is. Laid out as `storage.encode` does."""
    metadata: dict[str, Any] = {
        "name": key.rpartition("/")[2],
        "uid": clock.uuid(),
        "creationTimestamp": rfc3339(clock.now()),
    }
    kind = {"apiVersion": "v1", "kind": "ServiceNodePort"}
    if key.startswith(ADDRESSES):
        kind = {"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress"}
        metadata["labels"] = {FAMILY: "IPv6" if ":" in metadata["name"] else "IPv4", MANAGED_BY: ALLOCATOR}
    return orjson.dumps({**kind, "metadata": metadata, "spec": {"parentRef": reference_to(service)}})


def reference_to(service: Object) -> Object:
    return {"resource": "services", "namespace": namespace_of(service), "name": name_of(service)}
