"""What every Transport promises (see `kaa/client/transport.py`): HTTP, HTTPS with client certificates, in process,
and those that wrap another.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import orjson
import pytest
from aiohttp import web

from kaa.client.http import HTTPTransport
from kaa.client.kubeconfig import ClientConfig
from kaa.client.transport import Transport, TransportError
from kaa.client.with_headers import impersonating
from kaa.cluster.certificates import Identity, KeyPair, make_authority, make_client, make_server
from kaa.cluster.simulation.link import Link
from kaa.lib.clock import WallClock
from kaa.server.inprocess import InProcessTransport
from kaa.server.request import Request, Response


class EchoServer:
    """Answers with what it was asked, and counts the streams that are open."""

    def __init__(self) -> None:
        self.open_streams = 0
        self.closed = asyncio.Event()

    async def handle(self, request: Request) -> Response:
        match request.path:
            case "/chunks":
                return Response(chunks=self._chunks(3))
            case "/endless":
                return Response(chunks=self._chunks(1_000_000))
            case "/slow":
                await asyncio.sleep(30)
            case "/missing":
                return Response(404, b'{"kind":"Status"}')
        said = {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "body": request.body.decode(),
            "x": request.headers.get("x-test", ""),
        }
        return Response(200, orjson.dumps(said), headers={"x-answer": "Yes"})

    async def _chunks(self, count: int) -> AsyncIterator[bytes]:
        self.open_streams += 1
        try:
            for i in range(count):
                yield b"%d\n" % i
                await asyncio.sleep(0.005)
        finally:
            self.open_streams -= 1
            self.closed.set()

    async def over_http(self, request: web.Request) -> web.StreamResponse:
        answer = await self.handle(
            Request(
                request.method,
                request.path,
                list(request.query.items()),
                {name.lower(): value for name, value in request.headers.items()},
                await request.read(),
            )
        )
        if answer.chunks is None:
            headers = {name.title(): value for name, value in answer.headers.items()}
            return web.Response(status=answer.status, body=answer.body, headers=headers)
        stream = web.StreamResponse()
        await stream.prepare(request)
        try:
            async for chunk in answer.chunks:
                await stream.write(chunk)
        finally:
            await answer.chunks.aclose()  # type: ignore[attr-defined]
        return stream


@asynccontextmanager
async def listening(echo: EchoServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo.over_http)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


NOW = datetime.now(UTC)
AUTHORITY = make_authority("kubernetes", NOW, Random(1))
SERVER = make_server(AUTHORITY, Identity("kube-apiserver"), ["127.0.0.1"], NOW, Random(2))
ADMIN = make_client(AUTHORITY, Identity("kubernetes-admin"), NOW, Random(3))


def server_tls(directory: Path, *, client_certificates: bool = True) -> ssl.SSLContext:
    (directory / "server.pem").write_bytes(SERVER.certificate + SERVER.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=AUTHORITY.certificate.decode())
    context.load_cert_chain(directory / "server.pem")
    context.verify_mode = ssl.CERT_REQUIRED if client_certificates else ssl.CERT_NONE
    return context


def tls_config(server: str, *, authority: KeyPair = AUTHORITY, client: KeyPair | None = ADMIN) -> ClientConfig:
    return ClientConfig(
        server,
        ca=authority.certificate,
        client_certificate=client.certificate if client else b"",
        client_key=client.key if client else b"",
    )


@pytest.fixture
def echo() -> EchoServer:
    return EchoServer()


WITHOUT_SOCKETS: dict[str, Callable[[Transport], Transport]] = {
    "in process": lambda transport: transport,
    "as somebody else": lambda transport: impersonating(transport, "jane", ("system:authenticated",)),
    "a component's link": lambda transport: Link(transport, WallClock(), Random(1)),
}


@pytest.fixture(params=[*WITHOUT_SOCKETS, "http", "https"])
async def transport(request: pytest.FixtureRequest, echo: EchoServer, tmp_path: Path) -> AsyncIterator[Transport]:
    if make := WITHOUT_SOCKETS.get(request.param):
        yield make(InProcessTransport(echo.handle))
        return
    tls = server_tls(tmp_path) if request.param == "https" else None
    async with listening(echo, tls) as address:
        made = HTTPTransport.from_config(tls_config(address))
        yield made
        await made.close()


async def test_a_request_arrives_as_it_was_made(transport: Transport) -> None:
    """Method, quoted path, query with repeats and special characters, headers and body, unchanged."""
    answer = await transport.request(
        "POST",
        "/a%20b/c",
        query=[("labelSelector", "a=b,c!=d"), ("x", "1"), ("x", "ä &")],
        headers={"x-test": "1"},
        body=b'{"a": 1}',
    )
    assert answer.status == 200
    assert answer.headers["x-answer"] == "Yes"
    assert orjson.loads(answer.body) == {
        "method": "POST",
        "path": "/a b/c",
        "query": [["labelSelector", "a=b,c!=d"], ["x", "1"], ["x", "ä &"]],
        "body": '{"a": 1}',
        "x": "1",
    }


async def test_a_failed_request_is_an_answer(transport: Transport) -> None:
    """Statuses are the client's business, not the transport's."""
    answer = await transport.request("GET", "/missing")
    assert (answer.status, answer.body) == (404, b'{"kind":"Status"}')


async def test_no_answer_in_time_is_a_transport_error(transport: Transport) -> None:
    """A caller never hangs on a server that does."""
    with pytest.raises(TransportError):
        await transport.request("GET", "/slow", timeout_seconds=0.1)


async def test_a_stream_ends_as_the_server_ends_it(transport: Transport) -> None:
    """A watch is read to its end, in order, whole."""
    async with transport.stream("GET", "/chunks") as answer:
        assert answer.status == 200
        assert b"".join([chunk async for chunk in answer]) == b"0\n1\n2\n"


async def test_chunks_come_as_they_are_sent_and_leaving_ends_the_stream(transport: Transport, echo: EchoServer) -> None:
    """Events are not held back until there are many; the server sees that nobody listens any more."""
    async with transport.stream("GET", "/endless") as answer:
        async for chunk in answer:
            assert chunk.startswith(b"0\n")
            break
    async with asyncio.timeout(5):
        await echo.closed.wait()
    assert echo.open_streams == 0


async def test_many_requests_at_once_share_a_bounded_pool(transport: Transport) -> None:
    """A burst queues in the client, and each gets its own answer."""
    answers = await asyncio.gather(*(transport.request("GET", f"/{i}") for i in range(200)))
    assert [orjson.loads(answer.body)["path"] for answer in answers] == [f"/{i}" for i in range(200)]


# What only HTTP can do wrong


async def test_nobody_there_is_said_clearly() -> None:
    """The first thing that people see when a cluster is down."""
    transport = HTTPTransport(ClientConfig("http://127.0.0.1:1"))
    with pytest.raises(TransportError, match=r"GET http://127\.0\.0\.1:1/api: cannot connect: .*refused"):
        await transport.request("GET", "/api")
    with pytest.raises(TransportError, match="cannot connect"):
        async with transport.stream("GET", "/api"):
            pass
    await transport.close()


async def test_an_untrusted_server_is_refused(echo: EchoServer, tmp_path: Path) -> None:
    """A certificate of another authority, unless verification is turned off."""
    other = make_authority("other", NOW, Random(4))
    async with listening(echo, server_tls(tmp_path)) as address:
        transport = HTTPTransport(tls_config(address, authority=other))
        with pytest.raises(TransportError, match="certificate is not trusted"):
            await transport.request("GET", "/")
        await transport.close()
        insecure = ClientConfig(
            address,
            client_certificate=ADMIN.certificate,
            client_key=ADMIN.key,
            insecure_skip_tls_verify=True,
        )
        transport = HTTPTransport(insecure)
        assert (await transport.request("GET", "/")).status == 200
        await transport.close()


async def test_a_server_that_wants_a_certificate_gets_none(echo: EchoServer, tmp_path: Path) -> None:
    """A failed handshake is a TransportError too, however the TLS library words it."""
    async with listening(echo, server_tls(tmp_path)) as address:
        transport = HTTPTransport(tls_config(address, client=None))
        with pytest.raises(TransportError):
            await transport.request("GET", "/")
        await transport.close()


async def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """Service-account tokens are rotated under a running pod."""
    seen: list[str] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(request.headers["authorization"])
        return web.Response()

    app = web.Application()
    app.router.add_get("/", note)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    token = tmp_path / "token"
    transport = HTTPTransport(ClientConfig(f"http://127.0.0.1:{runner.addresses[0][1]}", token_file=token))
    with pytest.raises(TransportError, match="cannot read the token file"):
        await transport.request("GET", "/")
    for text in ("one\n", "two"):
        token.write_text(text)
        await transport.request("GET", "/")
    assert seen == ["Bearer one", "Bearer two"]
    await transport.close()
    await runner.cleanup()


async def test_a_connection_cut_in_the_middle_is_a_transport_error() -> None:
    """Half a watch event must not look like the end of the watch."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(cut, "127.0.0.1", 0)
    transport = HTTPTransport(ClientConfig(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"))
    with pytest.raises(TransportError, match="closed the connection"):
        async with transport.stream("GET", "/") as answer:
            assert [chunk async for chunk in answer] == [b"abc"]
    await transport.close()
    listener.close()
    await listener.wait_closed()
