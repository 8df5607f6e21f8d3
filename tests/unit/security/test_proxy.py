"""The reverse proxy to pods and Services: what reaches a real backend, and what must not be reached."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from kaa.api.errors import APIError
from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object
from kaa.server.backends import Backends
from kaa.server.proxy import Proxy, Reference, is_proxyable, path_behind
from kaa.server.request import Attributes, Request, Response, User

CATALOG = builtin_catalog()


ANSWER = b"HTTP/1.1 201 Created\r\nX-Own: yes\r\nContent-Type: text/x\r\nContent-Length: 4\r\n\r\nback"
PAGE = (
    b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 21\r\n\r\n"
    b'<a href="/there">x</a'
)


@pytest.fixture
async def backend() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A plain HTTP server: its port, and the requests that it got."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                body = await reader.readexactly(int(line.split(b":")[1]))
        requests.append(head + body)
        writer.write(PAGE if b"GET /page" in head else ANSWER)
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1], requests
    listener.close()
    await listener.wait_closed()


@pytest.fixture
async def backends(reader: Any) -> AsyncIterator[Backends]:
    """Kubelets are not called here, so nobody is trusted in particular."""
    backends = Backends(reader, ssl.create_default_context)
    yield backends
    await backends.close()


async def ask(proxy: Proxy, kind: str, name: str, rest: str = "", method: str = "GET", **fields: Any) -> Response:
    resource = CATALOG.named(kind)
    path = resource.path("default", name, "proxy") + rest
    attributes = Attributes(User("x"), "get", "", "v1", resource.name, "proxy", "default", name, is_resource=True)
    return await proxy.handle(Request(method, path, **fields), attributes, resource)


async def text(response: Response) -> str:
    assert response.chunks is not None
    return b"".join([chunk async for chunk in response.chunks]).decode()


def anywhere(address: str) -> bool:
    return True


def slices(*ready: bool, port: int) -> Object:
    endpoints = [{"addresses": ["127.0.0.1" if r else "192.0.2.1"], "conditions": {"ready": r}} for r in ready]
    return {"addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "http", "port": port}]}


@pytest.mark.parametrize("name", ["web", "web:80", "web:http", "http:web:http"])
async def test_a_service_is_proxied(
    reader: Any, backends: Backends, backend: tuple[int, list[bytes]], name: str
) -> None:
    """Path, query, method and body reach a ready endpoint; its answer comes back; credentials stay here."""
    port, requests = backend
    reader.add("Service", "web", "default", spec={"ports": [{"name": "http", "port": 80}]})
    labels = {"labels": {"kubernetes.io/service-name": "web"}}
    reader.add("EndpointSlice", "web-1", "default", metadata=labels, **slices(False, True, port=port))
    headers = {"authorization": "Bearer x", "x-kept": "yes", "content-length": "4"}
    proxy = Proxy(reader, backends, Random(1), anywhere)
    response = await ask(proxy, "Service", name, "/a b/c", "PUT", headers=headers, body=b"body", raw_query="x=1")
    assert (response.status, await text(response)) == (201, "back")
    assert (response.content_type, response.headers["x-own"]) == ("text/x", "yes")
    (got,) = requests
    assert got.startswith(b"PUT /a%20b/c?x=1 HTTP/1.1\r\n")
    assert got.endswith(b"\r\n\r\nbody")
    assert b"x-kept: yes" in got
    assert b"uthorization" not in got


async def test_services_that_cannot_be_reached(reader: Any, backends: Backends) -> None:
    """A missing Service, port or ready endpoint, in upstream's words."""
    proxy = Proxy(reader, backends, Random(1))
    with pytest.raises(APIError, match='services "web" not found'):
        await ask(proxy, "Service", "web", "/")
    reader.add("Service", "web", "default", spec={"ports": [{"name": "http", "port": 80}]})
    with pytest.raises(APIError, match='no service port "9" found for service "web"'):
        await ask(proxy, "Service", "web:9", "/")
    with pytest.raises(APIError, match='no endpoints available for service "web"') as raised:
        await ask(proxy, "Service", "web", "/")
    assert raised.value.code == 503


@pytest.mark.parametrize("suffix", ["", ":http", ":{port}", "http:"])
async def test_a_pod_is_proxied_by_its_first_port(
    reader: Any, backends: Backends, backend: tuple[int, list[bytes]], suffix: str
) -> None:
    """Without a port in the name the first declared one is meant."""
    port, requests = backend
    containers = [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}]
    reader.add("Pod", "web", "default", spec={"containers": containers}, status={"podIP": "127.0.0.1"})
    name = f"http:web:{port}" if suffix == "http:" else "web" + suffix.format(port=port)
    response = await ask(Proxy(reader, backends, Random(1), anywhere), "Pod", name, "/x")
    assert (response.status, await text(response), len(requests)) == (201, "back", 1)


async def test_a_page_leads_through_the_proxy(
    reader: Any, backends: Backends, backend: tuple[int, list[bytes]]
) -> None:
    """Its redirect and its links; that they can be found, the backend is not told that it may compress."""
    port, requests = backend
    reader.add("Pod", "web", "default", spec={"containers": [{"name": "c"}]}, status={"podIP": "127.0.0.1"})
    proxy = Proxy(reader, backends, Random(1), anywhere)
    response = await ask(proxy, "Pod", f"web:{port}", "/page", headers={"accept-encoding": "gzip"})
    own = f"/api/v1/namespaces/default/pods/web:{port}/proxy/there"
    assert response.headers["location"] == own
    assert await text(response) == f'<a href="{own}">x</a'
    assert b"accept-encoding" not in requests[0].lower()


async def test_this_machine_itself_is_not_reached(reader: Any, backends: Backends) -> None:
    """Whoever may write a pod's status must not reach what listens on the server's loopback."""
    reader.add("Pod", "web", "default", spec={"containers": [{"name": "c"}]}, status={"podIP": "127.0.0.1"})
    with pytest.raises(APIError, match="address not allowed"):
        await ask(Proxy(reader, backends, Random(1)), "Pod", "web", "/")


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("10.244.0.5", True), ("127.0.0.1", False), ("169.254.1.1", False), ("::1", False), ("localhost", False)],
)
def test_which_addresses_are_reached(address: str, allowed: bool) -> None:
    """Loopback, link-local and names are out."""
    assert is_proxyable(address) is allowed


async def test_the_root_without_slash_moves(reader: Any, backends: Backends) -> None:
    """Relative links of the page would lead outside the proxy otherwise."""
    response = await ask(Proxy(reader, backends, Random(1)), "Service", "web")
    assert response.status == 301
    assert response.headers["location"] == "/api/v1/namespaces/default/services/web/proxy/"


def test_references() -> None:
    """`[scheme:]name[:port]`."""
    assert Reference.parse("web") == Reference("http", "web", "")
    assert Reference.parse("web:80") == Reference("http", "web", "80")
    assert Reference.parse("https:web:tls") == Reference("https", "web", "tls")
    with pytest.raises(APIError, match="invalid proxy request"):
        Reference.parse("ftp:web:21")


@pytest.mark.parametrize(
    ("path", "segments", "rest"),
    [("/a/b/c/d", 2, "/c/d"), ("//a/b//c", 2, "//c"), ("/a/b", 2, ""), ("/a/b/", 2, "/")],
)
def test_what_is_behind_the_path(path: str, segments: int, rest: str) -> None:
    """Doubled slashes before the proxied path do not shift it."""
    assert path_behind(path, segments) == rest
