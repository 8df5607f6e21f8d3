"""Probe handlers against real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from kaa.cri.simulated import SimulatedRuntime
from kaa.kubelet.handlers import NodeHandlers, Result, Target, run_handler, run_hook
from kaa.lib.clock import WallClock


@asynccontextmanager
async def http_server() -> AsyncIterator[int]:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await asyncio.sleep(5)
        if request.path == "/moved":
            raise web.HTTPFound("/ok")
        text = f"{request.headers['User-Agent']} {request.headers.get('X-Probe', '')}"
        return web.Response(status=500 if request.path == "/bad" else 200, text=text)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def ask(spec: dict[str, object], port: int = 0, timeout_seconds: float = 1.0) -> Result:
    container = {"name": "a", "ports": [{"name": "web", "containerPort": port}]}
    target = Target("c1", container, "127.0.0.1")
    return await run_handler(SimulatedRuntime(WallClock()), target, spec, timeout_seconds)


async def test_http() -> None:
    """200 to 399 succeed, redirects are followed, all else fails with upstream's text."""
    async with http_server() as port:
        headers = [{"name": "X-Probe", "value": "yes"}]
        ok = await ask({"httpGet": {"path": "/ok", "port": "web", "httpHeaders": headers}}, port)
        assert ok == Result("success", "kube-probe/1.37 yes")
        assert (await ask({"httpGet": {"path": "/moved", "port": port}})).succeeded
        bad = await ask({"httpGet": {"path": "/bad", "port": port}})
        assert bad == Result("failure", "HTTP probe failed with statuscode: 500")
        slow = await ask({"httpGet": {"path": "/slow", "port": port}}, timeout_seconds=0.2)
        assert slow.outcome == "failure"
        assert "context deadline exceeded (Client.Timeout exceeded while awaiting headers)" in slow.output


async def test_refused_connections() -> None:
    """Nobody listening is a failure that says so."""
    async with http_server() as port:
        pass
    refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert await ask({"tcpSocket": {"port": port}}) == Result("failure", refused)
    http = await ask({"httpGet": {"port": port}})
    assert http == Result("failure", f'Get "http://127.0.0.1:{port}/": {refused}')


async def test_tcp() -> None:
    """An open port is enough."""
    async with http_server() as port:
        assert (await ask({"tcpSocket": {"port": "web"}}, port)).succeeded


async def test_unknown_port_name_counts_neither_way() -> None:
    """A name that no port of the container has is an error of the spec's, not the container's failure."""
    assert (await ask({"tcpSocket": {"port": "none"}})).outcome == "error"


@pytest.mark.parametrize(("status", "outcome"), [(1, "success"), (2, "failure")])
async def test_grpc(status: int, outcome: str) -> None:
    """The health protocol's SERVING succeeds, NOT_SERVING fails; the service's name is sent."""
    from grpclib.const import Cardinality, Handler
    from grpclib.server import Server, Stream

    from kaa.kubelet.grpc_health import RawBytes

    asked = []

    class Health:
        def __mapping__(self) -> dict[str, Handler]:
            return {"/grpc.health.v1.Health/Check": Handler(self.check, Cardinality.UNARY_UNARY, bytes, bytes)}

        async def check(self, stream: Stream[bytes, bytes]) -> None:
            asked.append(await stream.recv_message())
            await stream.send_message(bytes([0x08, status]))

    server = Server([Health()], codec=RawBytes())
    await server.start("127.0.0.1", 0)
    port = server._server.sockets[0].getsockname()[1]
    try:
        result = await ask({"grpc": {"port": port, "service": "x"}})
    finally:
        server.close()
        await server.wait_closed()
    assert result.outcome == outcome
    assert asked == [b"\x0a\x01x"]


async def test_sleep_hook_is_cut_short_by_the_grace_period() -> None:
    """preStop's sleep never outlasts what is left to the container."""
    clock = WallClock()
    begun = clock.monotonic()
    handlers, target = NodeHandlers(SimulatedRuntime(clock)), Target("c", {"name": "a"}, "")
    assert (await run_hook(clock, handlers, "preStop", target, {"sleep": {"seconds": 60}}, 0.05)).succeeded
    assert clock.monotonic() - begun < 5
