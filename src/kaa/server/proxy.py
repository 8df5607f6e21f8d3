"""The reverse proxy in the API: `nodes/x/proxy/...`, `pods/x/proxy/...`, `services/x/proxy/...`.

The name in the path may say more: `[scheme:]name[:port]`, as in `https:web:8443` or `web:http`. A node's proxy is its
kubelet's API; a pod's goes to the pod's address; a Service's to one of its ready endpoints. The rest of the path, the
query, the method and the body go through unchanged; WebSockets do, too. Links in the answer are made to lead through
the proxy; so answers are not compressed.

Addresses come from objects that people write: one that means this machine itself is refused, or the proxy would open
everything that listens only here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random
from urllib.parse import quote

from kaa.api.errors import APIError, bad_request, not_found
from kaa.api.objects import Object
from kaa.api.resource import Resource
from kaa.server.backends import Backends, Target, insecure_context
from kaa.server.chain import Handler, Reader
from kaa.server.proxy_links import RewrittenPage, prefixed
from kaa.server.request import Attributes, Request, Response
from kaa.server.upgrade import forwarded_headers, is_upgrade, pass_through

HOP_BY_HOP = ("connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade")
ANSWER_DROPPED = (*HOP_BY_HOP, "content-length", "content-type")
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Reference:
    """`[scheme:]name[:port]`."""

    scheme: str
    name: str
    port: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Raises BadRequest."""
        parts = text.split(":")
        if len(parts) == 3 and parts[0] in ("http", "https", ""):
            return cls(parts[0] or "http", parts[1], parts[2])
        if len(parts) == 2:
            return cls("http", parts[0], parts[1])
        if len(parts) == 1:
            return cls("http", text, "")
        raise bad_request(f'invalid proxy request "{text}"')


class Proxy:
    def __init__(
        self, reader: Reader, backends: Backends, rng: Random, may_reach: Callable[[str], bool] | None = None
    ) -> None:
        self._may_reach = may_reach or is_proxyable
        self._reader = reader
        self._backends = backends
        self._random = rng
        self._targets = {"Node": self._node, "Pod": self._pod, "Service": self._service}

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        return {(kind, "proxy"): self.handle for kind in self._targets}

    async def handle(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        own = resource.path(attributes.namespace, attributes.name, "proxy").strip("/").count("/") + 1
        path = path_behind(request.path, own)
        if not path and request.method in ("GET", "HEAD"):
            # Relative links of what is served at the root would point outside without the slash.
            return Response(301, headers={"location": _with_query(quote(request.path) + "/", request)})
        target = self._targets[resource.kind](Reference.parse(attributes.name), attributes.namespace)
        backend_path = _with_query(quote(path or "/", safe="/%:@!$&'()*+,;=~"), request)
        if is_upgrade(request):
            return await pass_through(request, self._backends, target, backend_path)
        headers = forwarded_headers(request.headers, (*HOP_BY_HOP, "accept-encoding"))
        if request.client_address:
            headers["x-forwarded-for"] = request.client_address
        answer = await self._backends.request(request.method, target, backend_path, headers, request.body)
        kept = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in ANSWER_DROPPED}
        content_type = answer.headers.get("Content-Type", "")
        prefix = quote(request.path[: len(request.path) - len(path)], safe="/:")
        own_hosts = (f"{target.host}:{target.port}", target.host, request.headers.get("host", ""))
        if "location" in kept:
            kept["location"] = prefixed(kept["location"], prefix, own_hosts)
        from kaa.server.backend_http import Body

        body = Body(answer)
        chunks = RewrittenPage(body, prefix, own_hosts) if content_type.startswith("text/html") else body
        return Response(answer.status, content_type=content_type, headers=kept, chunks=chunks)

    def _node(self, reference: Reference, namespace: str) -> Target:
        target = self._backends.kubelet(reference.name)
        if not reference.port or reference.port == str(target.port):
            return target
        return self._target(reference.scheme, target.host, _number(reference.port))

    def _pod(self, reference: Reference, namespace: str) -> Target:
        pod = self._reader.get("Pod", reference.name, namespace)
        if pod is None:
            raise not_found("pods", "", reference.name)
        address = (pod.get("status") or {}).get("podIP", "")
        if not address:
            raise APIError("ServiceUnavailable", f'pod "{reference.name}" has no address yet')
        return self._target(reference.scheme, address, pod_port(pod, reference))

    def _service(self, reference: Reference, namespace: str) -> Target:
        service = self._reader.get("Service", reference.name, namespace)
        if service is None:
            raise not_found("services", "", reference.name)
        port_name = service_port_name(service, reference)
        slices = self._reader.list("EndpointSlice", namespace)
        endpoints = list(ready_endpoints(slices, reference.name, port_name))
        if not endpoints:
            raise APIError("ServiceUnavailable", f'no endpoints available for service "{reference.name}"')
        address, port = self._random.choice(endpoints)
        return self._target(reference.scheme, address, port)

    def _target(self, scheme: str, host: str, port: int) -> Target:
        if not self._may_reach(host):
            raise bad_request("address not allowed")
        return Target(host, port, insecure_context() if scheme == "https" else None)


def path_behind(path: str, segments: int) -> str:
    """What follows that many segments of the path, with its slash; "" if nothing does."""
    position = 0
    for _ in range(segments):
        while path.startswith("/", position):
            position += 1
        position = path.find("/", position)
        if position < 0:
            return ""
    return path[position:]


def nowhere(address: str) -> bool:
    """For clusters whose pods' addresses are made up: no packet for one must leave the machine."""
    return False


def is_proxyable(address: str) -> bool:
    """Neither loopback nor link-local, and an address at all: a name could mean anything by the time it is used."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified)


def pod_port(pod: Object, reference: Reference) -> int:
    """The named or numbered port; else the first that a container declares; else the scheme's."""
    declared = [port for container in pod["spec"]["containers"] for port in container.get("ports") or ()]
    if not reference.port:
        return int(declared[0]["containerPort"]) if declared else DEFAULT_PORTS[reference.scheme]
    named = [port["containerPort"] for port in declared if port.get("name") == reference.port]
    return int(named[0]) if named else _number(reference.port)


def service_port_name(service: Object, reference: Reference) -> str:
    """The name, as endpoints know it, of the Service's port that is meant."""
    ports = service["spec"].get("ports") or []
    if not reference.port and len(ports) == 1:
        return str(ports[0].get("name", ""))
    for port in ports:
        if reference.port in (port.get("name", ""), str(port["port"])):
            return str(port.get("name", ""))
    message = f'no service port "{reference.port}" found for service "{reference.name}"'
    raise APIError("ServiceUnavailable", message)


def ready_endpoints(slices: list[Object], service: str, port_name: str) -> Iterator[tuple[str, int]]:
    for endpoint_slice in slices:
        if (endpoint_slice["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != service:
            continue
        numbers = [p["port"] for p in endpoint_slice.get("ports") or () if (p.get("name") or "") == port_name]
        for endpoint in endpoint_slice.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                yield from ((address, number) for address in endpoint["addresses"] for number in numbers)


def _number(port: str) -> int:
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise bad_request(f'invalid port "{port}"')
    return int(port)


def _with_query(path: str, request: Request) -> str:
    return f"{path}?{request.raw_query}" if request.raw_query else path
