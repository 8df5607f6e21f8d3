"""EndpointSlice: the addresses behind each Service with a selector, in slices of at most 100.

Observed: the Service's pods that have an address, and the slices that carry its name and our mark. Wanted: every such
pod once, in a slice with the ports that it offers (a port by name may lead to different numbers in different pods). An
endpoint stays in the slice that it is in; new ones fill the slices with room, then new slices. A Service with no
endpoints keeps one empty slice, by which readers know that it is served.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from kaa.api.objects import Object, is_being_deleted, labels_of, name_of, namespace_of, owner_reference
from kaa.controllers.actions import Action, Create, Delete, Update
from kaa.controllers.controller import Actions, Controller, View, labelled, selected
from kaa.controllers.service_endpoints import (
    Endpoint,
    Port,
    endpoints_of,
    hostname_of,
    is_headless,
    pod_reference,
    selects_pods,
)

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"

NEAR = {
    "PreferClose": (("zone", "forZones"),),
    "PreferSameZone": (("zone", "forZones"),),
    "PreferSameNode": (("zone", "forZones"), ("nodeName", "forNodes")),
}
"""By `spec.trafficDistribution`: from which fields of an endpoint its hints come."""

SLICE_LIMIT = 100
"""Endpoints in a slice, as upstream's default: one change of one pod rewrites no more than that."""


def reconcile(service: Object, view: View, now: datetime) -> Actions:
    if is_being_deleted(service) or not selects_pods(service):
        return
    slices = [s for s in slices_of(service, view) if not is_being_deleted(s)]
    wanted = group_by_ports(service, view)
    for ports, endpoints in wanted.items():
        yield from write_group(service, ports, endpoints, [s for s in slices if ports_of(s) == ports])
    for obsolete in slices:
        if ports_of(obsolete) not in wanted:
            yield Delete(obsolete)


def slices_of(service: Object, view: View) -> list[Object]:
    """Ours of this very Service: one of the same name that was deleted had another uid."""
    return sorted(
        (s for s in view.owned(service, "EndpointSlice") if labels_of(s).get(MANAGED_BY) == MANAGER), key=name_of
    )


def group_by_ports(service: Object, view: View) -> dict[tuple[Port, ...], list[Object]]:
    """Endpoints as on the wire, by the ports that they share; one empty group when there are none."""
    groups: dict[tuple[Port, ...], list[Object]] = {}
    for endpoint in endpoints_of(service, view):
        groups.setdefault(endpoint.ports, []).append(endpoint_object(service, endpoint, view))
    return groups or {(): []}


def endpoint_object(service: Object, endpoint: Endpoint, view: View) -> Object:
    obj: Object = {
        "addresses": [endpoint.address],
        "conditions": {
            "ready": endpoint.ready,
            "serving": endpoint.serving,
            "terminating": endpoint.terminating,
        },
        "targetRef": pod_reference(endpoint.pod),
    }
    if hostname := hostname_of(service, endpoint.pod):
        obj["hostname"] = hostname
    if node_name := endpoint.pod["spec"].get("nodeName"):
        obj["nodeName"] = node_name
        node = view.get("Node", node_name)
        if node is not None and (zone := labels_of(node).get(ZONE)):
            obj["zone"] = zone
    if hints := hints_of(service, obj):
        obj["hints"] = hints
    return obj


def hints_of(service: Object, endpoint: Object) -> Object:
    """For whom a ready endpoint is meant first, where the Service prefers what is near."""
    fields = NEAR.get(service["spec"].get("trafficDistribution") or "", ())
    if not endpoint["conditions"]["ready"]:
        return {}
    return {hint: [{"name": endpoint[field]}] for field, hint in fields if field in endpoint}


def write_group(
    service: Object, ports: tuple[Port, ...], endpoints: Sequence[Object], slices: Sequence[Object]
) -> Iterator[Action]:
    contents = distribute(endpoints, slices)
    kept = contents[: len(slices)]
    occupied = any(contents)
    for position, (existing, content) in enumerate(zip(slices, kept, strict=True)):
        if not content and (occupied or position > 0):
            yield Delete(existing)
            continue
        fresh = build_slice(service, ports, content)
        if differs(existing, fresh):
            yield Update({**existing, **fresh, "metadata": {**existing["metadata"], "labels": labels_for(service)}})
    for content in contents[len(slices) :]:
        yield Create(build_slice(service, ports, content))


def distribute(endpoints: Sequence[Object], slices: Sequence[Object]) -> list[list[Object]]:
    """The endpoints of each existing slice, in its order, and then of as many new ones as are needed."""
    rest = {e["targetRef"]["uid"]: e for e in endpoints}
    contents: list[list[Object]] = []
    for existing in slices:
        uids = [(e.get("targetRef") or {}).get("uid") for e in existing.get("endpoints") or ()]
        contents.append([rest.pop(uid) for uid in uids if uid in rest])
    added = list(rest.values())
    for content in contents:
        room = SLICE_LIMIT - len(content)
        content += added[:room]
        del added[:room]
    contents += [added[i : i + SLICE_LIMIT] for i in range(0, len(added), SLICE_LIMIT)]
    return contents or [[]]


def build_slice(service: Object, ports: tuple[Port, ...], endpoints: Sequence[Object]) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{name_of(service)}-",
            "namespace": namespace_of(service),
            "labels": labels_for(service),
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [port_object(port) for port in ports],
    }


def port_object(port: Port) -> Object:
    name, number, protocol, app_protocol = port
    obj: Object = {"name": name, "port": number, "protocol": protocol}
    return obj | {"appProtocol": app_protocol} if app_protocol else obj


def ports_of(endpoint_slice: Object) -> tuple[Port, ...]:
    return tuple(
        (p.get("name") or "", p.get("port") or 0, p.get("protocol") or "TCP", p.get("appProtocol") or "")
        for p in endpoint_slice.get("ports") or ()
    )


def labels_for(service: Object) -> dict[str, str]:
    """The Service's own, and ours; the headless mark is ours alone."""
    labels = {key: value for key, value in labels_of(service).items() if key != HEADLESS}
    labels |= {SERVICE_NAME: name_of(service), MANAGED_BY: MANAGER}
    return labels | {HEADLESS: ""} if is_headless(service) else labels


def differs(existing: Object, fresh: Object) -> bool:
    same_endpoints = (existing.get("endpoints") or []) == fresh["endpoints"]
    return not (same_endpoints and labels_of(existing) == fresh["metadata"]["labels"])


CONTROLLER = Controller(
    name="endpointslice",
    kind="Service",
    watches=(selected("Pod", by="Service"), labelled("EndpointSlice", SERVICE_NAME)),
    reads=("Node",),
    reconcile=reconcile,
)
