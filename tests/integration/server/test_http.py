"""The server over real sockets: TLS, streams, limits, and the end."""

import asyncio
import gzip
import io
import ssl
from datetime import UTC, datetime
from random import Random

import aiohttp
import pytest

from kaa.server.http import SLICE_BYTES, CannotListen, HTTPServer
from kaa.server.request import MAX_BODY_BYTES, Outlet, Request, Response
from kaa.server.tls import server_context


@pytest.fixture
def certificates(tmp_path):
    """A server's certificate, its authority, and a client certificate of an authority that nobody knows."""
    from kaa.cluster.certificates import Identity, make_authority, make_client, make_server

    now, rng = datetime.now(UTC), Random(1)
    authority, stranger = make_authority("ca", now, rng), make_authority("stranger", now, rng)
    pairs = {
        "server": make_server(authority, Identity("kube-apiserver"), ["127.0.0.1"], now, rng),
        "client": make_client(stranger, Identity("me"), now, rng),
    }
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    for name, pair in pairs.items():
        (tmp_path / f"{name}.crt").write_bytes(pair.certificate)
        (tmp_path / f"{name}.key").write_bytes(pair.key)
    return tmp_path


async def serve(handle, tls=None):
    http = HTTPServer(handle, tls)
    port = await http.start(["127.0.0.1"], 0)
    return http, port


async def test_a_strangers_certificate_reaches_authentication(certificates):
    """An unknown client CA is for authentication to refuse with a 401: the handshake succeeds."""
    shown = []

    async def handle(request: Request) -> Response:
        shown.append(request.client_certificate_der)
        return Response(401, b"{}")

    tls = server_context(certificates / "server.crt", certificates / "server.key", certificates / "ca.crt")
    http, port = await serve(handle, tls)
    context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    async with aiohttp.ClientSession() as session, session.get(f"https://127.0.0.1:{port}/", ssl=context) as answer:
        assert answer.status == 401
    context.load_cert_chain(certificates / "client.crt", certificates / "client.key")
    async with aiohttp.ClientSession() as session, session.get(f"https://127.0.0.1:{port}/", ssl=context) as answer:
        assert answer.status == 401
    await http.stop()
    assert shown[0] is None
    assert shown[1] == ssl.PEM_cert_to_DER_cert((certificates / "client.crt").read_text())


async def test_requests_arrive_whole(certificates):
    """Path unquoted, query in order with repeats, repeated headers as a list, the body."""
    seen = []

    async def handle(request: Request) -> Response:
        seen.append(request)
        return Response(201, b"{}", headers={"warning": '299 - "x"'})

    http, port = await serve(handle)
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}/a%20b?x=1&x=2&y="
        async with session.post(url, data=b"body", headers=[("A", "1"), ("A", "2")]) as answer:
            assert (answer.status, answer.headers["warning"]) == (201, '299 - "x"')
            assert answer.headers["content-type"] == "application/json"
    await http.stop()
    (request,) = seen
    assert (request.method, request.path, request.body) == ("POST", "/a b", b"body")
    assert request.query == [("x", "1"), ("x", "2"), ("y", "")]
    assert request.headers["a"] == "1,2"


async def test_a_large_body_is_refused_before_it_is_read():
    """Memory is bounded whatever clients send, with or without a length."""

    async def handle(request: Request) -> Response:
        raise AssertionError("never reached")

    async def endless():
        for _ in range(MAX_BODY_BYTES // 65536 + 2):
            yield b" " * 65536

    http, port = await serve(handle)
    async with aiohttp.ClientSession() as session:
        for body in (io.BytesIO(b" " * (MAX_BODY_BYTES + 1)), endless()):
            async with session.post(f"http://127.0.0.1:{port}/", data=body) as answer:
                assert answer.status == 413
                assert (await answer.json())["reason"] == "RequestEntityTooLarge"
    await http.stop()


async def test_a_stream_is_flushed_and_ends_with_its_client():
    """Each chunk is on its way at once; when the client goes, the stream's own clean-up runs."""
    closed = asyncio.Event()

    async def chunks():
        try:
            yield b"one\n"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def handle(request: Request) -> Response:
        return Response(200, chunks=chunks())

    http, port = await serve(handle)
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
        assert await answer.content.readline() == b"one\n"
        answer.close()
    async with asyncio.timeout(2):
        await closed.wait()
    await http.stop()


async def test_large_answers_are_compressed_when_asked_for():
    """Lists shrink tenfold; clients that did not ask get plain bytes."""
    body = b'{"a":1}' * 40_000

    async def handle(request: Request) -> Response:
        return Response(200, body)

    http, port = await serve(handle)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        url = f"http://127.0.0.1:{port}/"
        async with session.get(url, headers={"accept-encoding": "gzip"}) as answer:
            assert answer.headers["content-encoding"] == "gzip"
            assert gzip.decompress(await answer.read()) == body
        async with session.get(url, headers={"accept-encoding": "identity"}) as answer:
            assert await answer.read() == body
    await http.stop()


@pytest.mark.parametrize("size", [SLICE_BYTES, SLICE_BYTES + 1, 5 * SLICE_BYTES + 7])
async def test_a_large_answer_arrives_whole(size):
    """It is written in slices; its length is known all the same, and the connection serves the next request."""
    body = bytes(range(256)) * (size // 256) + b"." * (size % 256)

    async def handle(request: Request) -> Response:
        return Response(200, body)

    http, port = await serve(handle)
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            url = f"http://127.0.0.1:{port}/"
            async with session.get(url, headers={"accept-encoding": "identity"}) as answer:
                assert answer.content_length == size
                assert await answer.read() == body
        async with session.head(url) as answer:
            assert await answer.read() == b""
    await http.stop()


async def test_a_stream_has_a_short_way_out():
    """Bytes put into the outlet while the stream is waited for reach the client in their order."""
    outlet, more = Outlet(), asyncio.Event()

    async def chunks():
        yield b"one\n"
        await more.wait()
        yield b"three\n"

    async def handle(request: Request) -> Response:
        return Response(200, chunks=chunks(), outlet=outlet)

    http, port = await serve(handle)
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
        assert await answer.content.readline() == b"one\n"
        assert outlet.write(b"two\n")
        assert await answer.content.readline() == b"two\n"
        more.set()
        assert await answer.read() == b"three\n"
    await http.stop()


async def test_a_connection_can_be_taken_over():
    """exec and port-forward speak their own protocol after the upgrade."""

    async def handle(request: Request) -> Response:
        reader, writer = await request.hijack()
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        writer.write(await reader.readexactly(4))
        writer.close()
        return Response(hijacked=True)

    http, port = await serve(handle)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    writer.write(b"ping")
    assert await reader.read() == b"ping"
    writer.close()
    await writer.wait_closed()
    await http.stop()


async def test_a_taken_port_is_a_readable_error():
    """The first thing that goes wrong for people who start a second cluster."""

    async def handle(request: Request) -> Response:
        return Response()

    http, port = await serve(handle)
    with pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{port}: it is in use by another program"):
        await HTTPServer(handle, None).start(["127.0.0.1"], port)
    await http.stop()


@pytest.mark.parametrize(
    ("content_type", "protocols", "expected"),
    [
        ("text/plain", ["binary.k8s.io"], [b"one\n", b"two\nthree\n"]),
        ("text/plain", [], [b"one\n", b"two\nthree\n"]),
        ("text/plain", ["base64.binary.k8s.io"], ["b25lCg==", "dHdvCnRocmVlCg=="]),
        ("application/json", [], ["one", "two", "three"]),
    ],
)
async def test_a_stream_as_websocket_messages(content_type, protocols, expected):
    """A log in pieces as they come, a watch event by event, to clients that ask for a WebSocket; then it is closed."""
    closed = []

    async def chunks():
        try:
            yield b"one\n"
            yield b"two\nthree\n"
        finally:
            closed.append(True)

    async def handle(request: Request) -> Response:
        return Response(200, content_type=content_type, chunks=chunks())

    http, port = await serve(handle)
    url = f"http://127.0.0.1:{port}/"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, protocols=protocols) as socket:
        assert [message.data async for message in socket] == expected
        assert socket.close_code == 1000
    await http.stop()
    assert closed == [True]
