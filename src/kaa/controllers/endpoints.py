"""Endpoints: the addresses behind each Service with a selector, as the one object that older clients read.

Observed: the Service's pods that have an address. Wanted: an Endpoints object of the Service's name whose subsets hold
each address once for the ports it offers, ready or not. It is cut off at 1,000 addresses and says so in an annotation;
EndpointSlices have no such limit.
"""

from datetime import datetime
from typing import TypeAlias

from kaa.api.objects import Object, annotations_of, copy_object, is_being_deleted, labels_of, name_of, namespace_of
from kaa.controllers.actions import Create, Delete, Update
from kaa.controllers.controller import Actions, Controller, Key, View, same_name, selected
from kaa.controllers.service_endpoints import (
    Endpoint,
    Port,
    endpoints_of,
    hostname_of,
    is_headless,
    pod_reference,
    selects_pods,
)

ADDRESS_LIMIT = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
HEADLESS = "service.kubernetes.io/headless"

Groups: TypeAlias = dict[tuple[Port, ...], list[Endpoint]]


def reconcile(service: Object, view: View, now: datetime) -> Actions:
    if is_being_deleted(service) or not selects_pods(service):
        return
    endpoints = [e for e in endpoints_of(service, view) if not e.terminating or e.ready]
    wanted = build(service, endpoints)
    observed = view.get("Endpoints", name_of(service), namespace_of(service))
    if observed is None:
        yield Create(wanted)
    elif is_different(observed, wanted):
        yield Update(merged(observed, wanted))


def gone(key: Key, view: View, now: datetime) -> Actions:
    """The Service is no more. Endpoints have no owner reference, by which the garbage collector would know."""
    namespace, name = key
    observed = view.get("Endpoints", name, namespace)
    if observed is not None and labels_of(observed).get(MANAGED_BY) == MANAGER:
        yield Delete(observed)


def build(service: Object, endpoints: list[Endpoint]) -> Object:
    labels = {key: value for key, value in labels_of(service).items() if key != HEADLESS}
    labels[MANAGED_BY] = MANAGER
    if is_headless(service):
        labels[HEADLESS] = ""
    metadata: Object = {"name": name_of(service), "namespace": namespace_of(service), "labels": labels}
    if len(endpoints) > ADDRESS_LIMIT:
        metadata["annotations"] = {OVER_CAPACITY: "truncated"}
    # Those that receive traffic come first when not all can be named.
    named = sorted(endpoints, key=lambda e: not e.ready)[:ADDRESS_LIMIT]
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets(service, named)}


def subsets(service: Object, endpoints: list[Endpoint]) -> list[Object]:
    groups: Groups = {}
    for endpoint in sorted(endpoints, key=lambda e: name_of(e.pod)):
        if endpoint.ports or is_headless(service):
            groups.setdefault(endpoint.ports, []).append(endpoint)
    return [subset(service, ports, group) for ports, group in sorted(groups.items())]


def subset(service: Object, ports: tuple[Port, ...], group: list[Endpoint]) -> Object:
    obj: Object = {}
    if ready := [address_object(service, e) for e in group if e.ready]:
        obj["addresses"] = ready
    if not_ready := [address_object(service, e) for e in group if not e.ready]:
        obj["notReadyAddresses"] = not_ready
    if ports:
        obj["ports"] = [port_object(port) for port in ports]
    return obj


def address_object(service: Object, endpoint: Endpoint) -> Object:
    obj: Object = {"ip": endpoint.address, "targetRef": pod_reference(endpoint.pod)}
    if hostname := hostname_of(service, endpoint.pod):
        obj["hostname"] = hostname
    if node_name := endpoint.pod["spec"].get("nodeName"):
        obj["nodeName"] = node_name
    return obj


def port_object(port: Port) -> Object:
    name, number, protocol, app_protocol = port
    fields = {"name": name, "port": number, "protocol": protocol, "appProtocol": app_protocol}
    return {field: value for field, value in fields.items() if value}


def is_different(observed: Object, wanted: Object) -> bool:
    truncated = OVER_CAPACITY in annotations_of(observed), OVER_CAPACITY in annotations_of(wanted)
    return (
        (observed.get("subsets") or []) != wanted["subsets"]
        or labels_of(observed) != labels_of(wanted)
        or truncated[0] != truncated[1]
    )


def merged(observed: Object, wanted: Object) -> Object:
    """Annotations that others have set stay."""
    obj = copy_object(observed)
    annotations = {key: value for key, value in annotations_of(observed).items() if key != OVER_CAPACITY}
    obj["metadata"]["labels"] = labels_of(wanted)
    obj["metadata"]["annotations"] = {**annotations, **annotations_of(wanted)}
    obj["subsets"] = wanted["subsets"]
    return obj


CONTROLLER = Controller(
    name="endpoints",
    kind="Service",
    watches=(selected("Pod", by="Service"), same_name("Endpoints")),
    reconcile=reconcile,
    gone=gone,
)
