"""What the server passes through: logs, upgraded connections, proxied requests; and what it says when it cannot."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest

from kaa.api.objects import Object
from kaa.cluster import certificates
from kaa.server.request import Request, Response, User

ADMIN = User("admin", ("system:masters",))

UPGRADE = "connection: Upgrade\r\nupgrade: SPDY/3.1\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"


class FakeKubelet:
    """A real TLS server that wants a client certificate and remembers what it was asked."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.connections: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            path = head.split(" ")[1]
            if path.startswith("/exec"):
                writer.write(SWITCH + b"hello ")
                while data := await reader.read(1024):
                    writer.write(data.upper())
                    await writer.drain()
                    if data.endswith(b"quit"):
                        break
            elif path.startswith("/attach"):
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nno such c")
            elif "waiting" in path:
                text = b'container "c" in pod "waiting" is waiting to start: ContainerCreating'
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nline 1\nline 2\n")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections.discard(writer)
            writer.close()


@pytest.fixture
async def kubelet(secured: Any) -> AsyncIterator[FakeKubelet]:
    """A node `n1` whose kubelet it is, and pods on it."""
    clock, directory = secured.clock, secured.directory
    certificates.ensure_node_serving(secured.pki, directory, "n1", ["127.0.0.1"], clock)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(secured.pki / "ca.crt"))
    tls.load_cert_chain(directory / "kubelet.crt", directory / "kubelet.key")
    tls.verify_mode = ssl.CERT_REQUIRED
    fake = FakeKubelet()
    listener = await asyncio.start_server(fake.serve, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    write = secured.server.writer
    await write.create("Node", node("n1", port))
    await write.create("Node", node("dead", 1))
    for name, where in (("p", "n1"), ("waiting", "n1"), ("lost", "dead"), ("nowhere", "")):
        await write.create("Pod", pod(name, where))
    await write.create("Pod", pod("two", "n1", "a", "b"))
    await eventually(lambda: secured.server.reader.get("Pod", "two", "default"))
    yield fake
    listener.close()
    await listener.wait_closed()


def node(name: str, port: int) -> Object:
    addresses = [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": "127.0.0.1"}]
    endpoint = {"kubeletEndpoint": {"Port": port}}
    return {"metadata": {"name": name}, "status": {"addresses": addresses, "daemonEndpoints": endpoint}}


def pod(name: str, where: str, *containers: str) -> Object:
    spec: Object = {"containers": [{"name": c, "image": "x"} for c in containers or ("c",)]}
    if where:
        spec["nodeName"] = where
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def eventually(test: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not test():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def get(secured: Any, path: str, query: str = "", **fields: Any) -> Response:
    pairs = [tuple(pair.split("=", 1)) for pair in query.split("&") if pair]
    request = Request("GET", f"/api/v1/{path}", pairs, raw_query=query, user=ADMIN, **fields)
    answer: Response = await secured.server.handle(request)
    return answer


async def text(response: Response) -> str:
    if response.chunks is None:
        return response.body.decode()
    return b"".join([chunk async for chunk in response.chunks]).decode()


def message(response: Response) -> str:
    status: Object = orjson.loads(response.body)
    return str(status["message"])


PODS = "namespaces/default/pods"


async def test_a_log_is_the_kubelets(secured: Any, kubelet: FakeKubelet) -> None:
    """The path and the options reach the kubelet, its lines the client, the connection ends."""
    response = await get(secured, f"{PODS}/p/log", "tailLines=2&follow=true&timestamps=false&previous=true")
    assert await text(response) == "line 1\nline 2\n"
    assert kubelet.heads[0].startswith("GET /containerLogs/default/p/c?follow=true&previous=true&tailLines=2 HTTP/1.1")
    await eventually(lambda: not kubelet.connections)


@pytest.mark.parametrize(
    ("path", "query", "code", "expected"),
    [
        ("none", "", 404, 'pods "none" not found'),
        ("two", "", 400, "a container name must be specified for pod two, choose one of: [a b]"),
        ("two", "container=z", 400, "container z is not valid for pod two"),
        ("p", "tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("p", "sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ("waiting", "", 400, 'container "c" in pod "waiting" is waiting to start: ContainerCreating'),
        ("lost", "", 500, "error dialing backend: dial tcp 127.0.0.1:1"),
    ],
)
async def test_logs_that_cannot_be_had(
    secured: Any, kubelet: FakeKubelet, path: str, query: str, code: int, expected: str
) -> None:
    """Upstream's own sentences: kubectl prints them as they are."""
    response = await get(secured, f"{PODS}/{path}/log", query)
    assert response.status == code
    assert expected in message(response)


async def test_a_pod_without_node_has_an_empty_log(secured: Any, kubelet: FakeKubelet) -> None:
    """It is no error to ask early."""
    response = await get(secured, f"{PODS}/nowhere/log")
    assert (response.status, await text(response)) == (200, "")


async def connected(secured: Any, path: str, extra: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client's raw connection, the request for an upgrade sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", secured.port, ssl=secured.client_tls())
    head = f"POST /api/v1/{path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n{UPGRADE}{extra}\r\n"
    writer.write(head.encode())
    return reader, writer


async def test_exec_passes_bytes_both_ways(secured: Any, kubelet: FakeKubelet) -> None:
    """The kubelet's 101 and everything after it are the client's, and the other way round; the end arrives, too."""
    query = "command=sh&command=-c&command=a%20b&stdin=true&stdout=true&tty=1"
    secrets = "authorization: Bearer x\r\nx-remote-user: root\r\n"
    reader, writer = await connected(secured, f"{PODS}/p/exec?{query}", secrets)
    assert await reader.readuntil(b"\r\n\r\n") == SWITCH
    assert await reader.readexactly(6) == b"hello "
    writer.write(b"x" * 500_000)
    assert await reader.readexactly(500_000) == b"X" * 500_000
    writer.write(b"quit")
    assert await reader.read() == b"QUIT"
    writer.close()
    head = kubelet.heads[0]
    assert head.startswith("POST /exec/default/p/c?command=sh&command=-c&command=a+b&input=1&output=1&tty=1 HTTP/1.1")
    assert "upgrade: SPDY/3.1" in head
    assert "authorization" not in head
    assert "x-remote-user" not in head


async def test_a_client_that_leaves_takes_the_backend_with_it(secured: Any, kubelet: FakeKubelet) -> None:
    """No connection to a kubelet outlives the client that wanted it."""
    reader, writer = await connected(secured, f"{PODS}/p/exec?command=sh&stdout=true")
    await reader.readuntil(b"hello ")
    assert kubelet.connections
    writer.transport.abort()
    await eventually(lambda: not kubelet.connections)


async def test_a_refused_upgrade_is_an_answer(secured: Any, kubelet: FakeKubelet) -> None:
    """The client sees the kubelet's words, and its next request goes to the server, not to the kubelet."""
    reader, writer = await connected(secured, f"{PODS}/p/attach?stdout=true")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404")
    assert await reader.readexactly(9) == b"no such c"
    writer.write(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert len(kubelet.heads) == 1
    writer.close()


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("p/exec", "stdout=true", "you must specify at least one command to execute"),
        ("p/exec", "command=ls", "you must specify at least 1 of stdin, stdout, stderr"),
        ("p/exec", "command=ls&stdout=true", "Upgrade request required"),
        ("nowhere/portforward", "", "Upgrade request required"),
    ],
)
async def test_connections_that_make_no_sense(
    secured: Any, kubelet: FakeKubelet, path: str, query: str, expected: str
) -> None:
    """Refused before anybody is called."""
    response = await get(secured, f"{PODS}/{path}", query)
    assert (response.status, message(response)) == (400, expected)
    assert kubelet.heads == []


async def test_a_dead_node_is_said(secured: Any, kubelet: FakeKubelet) -> None:
    """kubectl exec shows which address did not answer."""
    reader, writer = await connected(secured, f"{PODS}/lost/exec?command=sh&stdout=true")
    answer = await reader.readuntil(b'"code":500}')
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"error dialing backend: dial tcp 127.0.0.1:1" in answer
    writer.close()


async def test_a_kubelet_with_a_strangers_certificate_is_not_trusted(secured: Any, kubelet: FakeKubelet) -> None:
    """Whoever takes over a node's address gets neither commands nor the server's certificate."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stranger = certificates.make_authority("kubernetes", secured.clock.now(), secured.clock.random)
    pair = certificates.make_server(
        stranger, certificates.node_identity("n1"), ["127.0.0.1"], secured.clock.now(), secured.clock.random
    )
    (secured.directory / "s.crt").write_bytes(pair.certificate)
    (secured.directory / "s.key").write_bytes(pair.key)
    tls.load_cert_chain(secured.directory / "s.crt", secured.directory / "s.key")
    fake = FakeKubelet()
    listener = await asyncio.start_server(fake.serve, "127.0.0.1", 0, ssl=tls)
    await secured.server.writer.create("Node", node("n2", listener.sockets[0].getsockname()[1]))
    await secured.server.writer.create("Pod", pod("q", "n2"))
    await eventually(lambda: secured.server.reader.get("Pod", "q", "default"))
    response = await get(secured, f"{PODS}/q/log")
    assert (response.status, "certificate verify failed" in message(response)) == (500, True)
    assert fake.heads == []
    listener.close()
    await listener.wait_closed()


async def test_a_node_is_proxied_to_its_kubelet(secured: Any, kubelet: FakeKubelet) -> None:
    """`kubectl get --raw /api/v1/nodes/x/proxy/...` speaks to the kubelet with the server's certificate."""
    response = await get(secured, "nodes/n1/proxy/stats/summary")
    assert await text(response) == "line 1\nline 2\n"
    assert kubelet.heads[0].startswith("GET /stats/summary HTTP/1.1")
