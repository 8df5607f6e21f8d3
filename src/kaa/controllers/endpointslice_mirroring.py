"""EndpointSlice mirroring: Endpoints that somebody wrote by hand, as EndpointSlices, which is what proxies read.

Observed: Endpoints of a Service without a selector. Wanted: a slice for each family of addresses and each set of ports
in it, of at most 1,000 addresses a subset. Endpoints that say they are not to be mirrored, or that are only a lock for
electing a leader, have none.
"""

from datetime import datetime
from typing import TypeAlias

from kaa.api.objects import (
    Object,
    annotations_of,
    is_being_deleted,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
)
from kaa.controllers.actions import Create, Delete, Update
from kaa.controllers.controller import Actions, Controller, View, labelled, same_name
from kaa.controllers.endpointslice import MANAGED_BY, SERVICE_NAME, port_object, ports_of
from kaa.controllers.service_endpoints import IPV6_MARK, Port

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
NOT_COPIED = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "endpoints.kubernetes.io/last-change-trigger-time",
)

SUBSET_LIMIT = 1000
"""Addresses of one subset that are mirrored, as upstream's."""

Group: TypeAlias = tuple[str, tuple[Port, ...]]
"""(addressType, ports)"""


def reconcile(endpoints: Object, view: View, now: datetime) -> Actions:
    slices = [
        existing
        for existing in view.owned(endpoints, "EndpointSlice")
        if labels_of(existing).get(MANAGED_BY) == MANAGER and not is_being_deleted(existing)
    ]
    wanted = groups_of(endpoints) if is_mirrored(endpoints, view) else {}
    taken: set[Group] = set()
    for existing in sorted(slices, key=name_of):
        group = existing["addressType"], ports_of(existing)
        if group not in wanted or group in taken:
            yield Delete(existing)
            continue
        taken.add(group)
        fresh = build_slice(endpoints, group, wanted[group])
        if differs(existing, fresh):
            metadata = {**existing["metadata"], **{k: fresh["metadata"][k] for k in ("labels", "annotations")}}
            yield Update({**existing, "endpoints": fresh["endpoints"], "metadata": metadata})
    for group, found in sorted(wanted.items()):
        if group not in taken:
            yield Create(build_slice(endpoints, group, found))


def is_mirrored(endpoints: Object, view: View) -> bool:
    if is_being_deleted(endpoints) or labels_of(endpoints).get(SKIP) == "true" or LEADER in annotations_of(endpoints):
        return False
    service = view.get("Service", name_of(endpoints), namespace_of(endpoints))
    return service is not None and not service["spec"].get("selector")


def groups_of(endpoints: Object) -> dict[Group, list[Object]]:
    groups: dict[Group, list[Object]] = {}
    for subset in endpoints.get("subsets") or ():
        ports = ports_of(subset)
        listed = [(True, a) for a in subset.get("addresses") or ()]
        listed += [(False, a) for a in subset.get("notReadyAddresses") or ()]
        for ready, address in listed[:SUBSET_LIMIT]:
            family = "IPv6" if IPV6_MARK in address["ip"] else "IPv4"
            groups.setdefault((family, ports), []).append(endpoint_object(address, ready=ready))
    return groups


def endpoint_object(address: Object, *, ready: bool) -> Object:
    obj: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for field in ("hostname", "nodeName", "targetRef"):
        if value := address.get(field):
            obj[field] = value
    return obj


def build_slice(endpoints: Object, group: Group, found: list[Object]) -> Object:
    family, ports = group
    copied = {key: value for key, value in annotations_of(endpoints).items() if key not in NOT_COPIED}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{name_of(endpoints)}-",
            "namespace": namespace_of(endpoints),
            "labels": {**labels_of(endpoints), SERVICE_NAME: name_of(endpoints), MANAGED_BY: MANAGER},
            "annotations": copied,
            "ownerReferences": [owner_reference(endpoints)],
        },
        "addressType": family,
        "endpoints": sorted(found, key=by_address),
        "ports": [port_object(port) for port in ports],
    }


def by_address(endpoint: Object) -> str:
    address: str = endpoint["addresses"][0]
    return address


def differs(existing: Object, fresh: Object) -> bool:
    return (
        (existing.get("endpoints") or []) != fresh["endpoints"]
        or labels_of(existing) != labels_of(fresh)
        or annotations_of(existing) != annotations_of(fresh)
    )


CONTROLLER = Controller(
    name="endpointslice-mirroring",
    kind="Endpoints",
    watches=(same_name("Service"), labelled("EndpointSlice", SERVICE_NAME)),
    reconcile=reconcile,
)
