"""What a Service's endpoints are: its pods with an address, and the ports that each offers under the Service's names.

Shared by `endpointslice.py`, which writes them as EndpointSlices, and `endpoints.py`, which writes the older Endpoints.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from kaa.api.objects import Object, is_being_deleted, name_of, namespace_of, uid_of
from kaa.api.selectors import selector_of_labels
from kaa.controllers.controller import View
from kaa.controllers.pods import is_ready, is_terminal

Port: TypeAlias = tuple[str, int, str, str]
"""(name, number, protocol, appProtocol)"""

IPV6_MARK = ":"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod behind a Service."""

    pod: Object
    address: str
    ports: tuple[Port, ...]
    ready: bool  # receives traffic; a Service may ask for that whatever the pod's state
    serving: bool  # the pod is ready, whether or not it is on its way out
    terminating: bool


def selects_pods(service: Object) -> bool:
    """Services without a selector get their endpoints from whoever made them; an ExternalName has none."""
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def is_headless(service: Object) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def endpoints_of(service: Object, view: View) -> list[Endpoint]:
    """In the order of names, so that the same pods always give the same list."""
    selector = selector_of_labels(service["spec"]["selector"])
    pods = view.list("Pod", namespace_of(service), selector)
    found = [_endpoint(service, pod) for pod in pods if not is_terminal(pod)]
    return sorted((e for e in found if e is not None), key=lambda e: name_of(e.pod))


def _endpoint(service: Object, pod: Object) -> Endpoint | None:
    address = next((ip for ip in addresses_of(pod) if IPV6_MARK not in ip), None)
    if address is None:
        return None
    terminating = is_being_deleted(pod)
    serving = is_ready(pod)
    anyway = bool(service["spec"].get("publishNotReadyAddresses"))
    return Endpoint(
        pod=pod,
        address=address,
        ports=tuple(_ports(service, pod)),
        ready=anyway or (serving and not terminating),
        serving=serving,
        terminating=terminating,
    )


def addresses_of(pod: Object) -> list[str]:
    status = pod.get("status", {})
    listed = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    return listed or ([status["podIP"]] if status.get("podIP") else [])


def _ports(service: Object, pod: Object) -> Iterator[Port]:
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol", "TCP")
        number = target_port(port, pod)
        if number is not None:
            yield port.get("name", ""), number, protocol, port.get("appProtocol", "")


def target_port(port: Object, pod: Object) -> int | None:
    """The pod's port that a Service's port leads to; None if it names one that the pod does not have."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    protocol = port.get("protocol", "TCP")
    for container in containers_of(pod):
        for offered in container.get("ports") or ():
            if offered.get("name") == target and offered.get("protocol", "TCP") == protocol:
                number: int = offered["containerPort"]
                return number
    return None


def containers_of(pod: Object) -> list[Object]:
    """Those that run while the pod does: also the init containers that are sidecars."""
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return [*spec.get("containers", ()), *sidecars]


def pod_reference(pod: Object) -> Object:
    return {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}


def hostname_of(service: Object, pod: Object) -> str:
    """The name that DNS gives the pod under this Service, if the pod asks for one."""
    spec = pod["spec"]
    hostname: str = spec.get("hostname", "")
    return hostname if hostname and spec.get("subdomain") == name_of(service) else ""
