"""The streaming server: exec, attach and port-forward, each by a URL that is good for one connection.

CRI's Exec, Attach and PortForward only hand out the URL; the client comes to it through the API server and the kubelet,
which pass bytes on without understanding them. So the protocols end here: WebSocket and SPDY (`remotecommand`,
`port_forward`). The server listens on the node's loopback; the token in the URL is the permission.
"""

import asyncio
import base64
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from kaa.cri import port_forward
from kaa.cri.cri import RuntimeFault
from kaa.cri.execution import Command
from kaa.cri.pipes import SocketPipe, WebSocketPipe
from kaa.cri.port_forward import Pod
from kaa.cri.remotecommand import (
    ERROR,
    RESIZE,
    SPDY_PROTOCOLS,
    STDERR,
    STDIN,
    STDOUT,
    WEBSOCKET_PROTOCOLS,
    Session,
    SpdySession,
    WebSocketSession,
    failure,
)
from kaa.cri.spdy import SpdyError
from kaa.cri.spdy_connection import SpdyConnection
from kaa.lib.clock import Clock
from kaa.lib.hijack import HIJACKED, hijack

log = logging.getLogger(__name__)

TOKEN_SECONDS = 60.0
TOKENS_LIMIT = 1000
PROTOCOL_HEADER = "X-Stream-Protocol-Version"

MESSAGE_LIMIT_BYTES = 4 * 1024 * 1024
"""The largest WebSocket message taken."""


Serve = Callable[[Session], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows: a command in a container, attaching to it (no arguments), or ports of a pod.

    `serve` does what was asked for with the client's session; it raises RuntimeFault if it cannot.
    """

    kind: str  # exec, attach, portforward
    expires: float  # on the monotonic clock
    command: Command = field(default_factory=lambda: Command(()))
    serve: Serve | None = None
    pod: Pod | None = None


class StreamingServer:
    def __init__(self, address: str, clock: Clock) -> None:
        self._address = address
        self._clock = clock
        self._grants: dict[str, Grant] = {}
        self._port = 0
        self._started = asyncio.Event()

    async def run(self) -> None:
        """Serves until cancelled; connections are closed then."""
        application = web.Application()
        application.router.add_route("*", "/{kind}/{token}", self._handle)
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        with socket.create_server((self._address, 0)) as listening:
            try:
                await web.SockSite(runner, listening).start()
                self._port = listening.getsockname()[1]
                self._started.set()
                await asyncio.Event().wait()
            finally:
                await runner.cleanup()

    async def url_for_command(self, kind: str, command: Command, serve: Serve) -> str:
        return await self._url(Grant(kind, self._expiry(), command, serve))

    async def url_for_ports(self, pod: Pod) -> str:
        return await self._url(Grant("portforward", self._expiry(), pod=pod))

    def _expiry(self) -> float:
        return self._clock.monotonic() + TOKEN_SECONDS

    async def _url(self, grant: Grant) -> str:
        now = self._clock.monotonic()
        self._grants = {token: g for token, g in self._grants.items() if g.expires > now}
        if len(self._grants) >= TOKENS_LIMIT:
            raise RuntimeFault("ResourceExhausted", "maximum number of in-flight requests exceeded")
        await self._started.wait()
        token = base64.urlsafe_b64encode(self._clock.random.getrandbits(192).to_bytes(24, "big")).decode()
        self._grants[token] = grant
        return f"http://{self._address}:{self._port}/{grant.kind}/{token}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        grant = self._grants.pop(request.match_info["token"], None)
        valid = (
            grant is not None and grant.expires > self._clock.monotonic() and grant.kind == request.match_info["kind"]
        )
        if grant is None or not valid:
            return web.Response(status=404, text="the URL has been used, or has expired\n")
        serve = self._ports if grant.kind == "portforward" else self._command
        upgrade = request.headers.get("Upgrade", "").lower()
        if upgrade not in ("websocket", "spdy/3.1"):
            return web.Response(status=400, text="unable to upgrade: missing upgrade headers in request\n")
        try:
            return await serve(request, grant, websocket=upgrade == "websocket")
        except* (SpdyError, TimeoutError, ConnectionError) as e:
            log.info("%s: %s", request.path.rpartition("/")[0], e.exceptions[0])
        return HIJACKED

    async def _command(self, request: web.Request, grant: Grant, *, websocket: bool) -> web.StreamResponse:
        if websocket:
            upgraded = web.WebSocketResponse(
                protocols=WEBSOCKET_PROTOCOLS, max_msg_size=MESSAGE_LIMIT_BYTES, autoping=True
            )
            await upgraded.prepare(request)
            if not upgraded.ws_protocol and request.headers.get("Sec-WebSocket-Protocol"):
                await upgraded.close(code=1002, message=b"no common subprotocol")
                return upgraded
            session = WebSocketSession(upgraded)
            await _beside(session.run, lambda: self._serve(grant, session))
            return upgraded
        connection = await self._spdy(request, SPDY_PROTOCOLS)
        if connection is None:
            return HIJACKED

        async def accept_and_serve() -> None:
            session = await SpdySession.accept(connection, _spdy_channels(grant.command))
            await _beside(session.run, lambda: self._serve(grant, session))

        await _beside(connection.run, accept_and_serve)
        return HIJACKED

    async def _serve(self, grant: Grant, session: Session) -> None:
        assert grant.serve is not None
        try:
            await grant.serve(session)
        except RuntimeFault as e:
            await session.finish(failure(e.message))

    async def _ports(self, request: web.Request, grant: Grant, *, websocket: bool) -> web.StreamResponse:
        assert grant.pod is not None
        if websocket:
            upgraded = web.WebSocketResponse(
                protocols=(port_forward.TUNNEL_PROTOCOL,), max_msg_size=MESSAGE_LIMIT_BYTES
            )
            await upgraded.prepare(request)
            if not upgraded.ws_protocol:
                await upgraded.close(code=1002, message=b"unsupported: port forwarding without SPDY inside")
                return upgraded
            connection = SpdyConnection(WebSocketPipe(upgraded))
            await port_forward.forward(connection, grant.pod)
            await upgraded.close()
            return upgraded
        spdy = await self._spdy(request, (port_forward.PROTOCOL,))
        if spdy is not None:
            await port_forward.forward(spdy, grant.pod)
        return HIJACKED

    async def _spdy(self, request: web.Request, protocols: tuple[str, ...]) -> SpdyConnection | None:
        """Takes the connection over and answers the upgrade; None when no protocol fits, which has been answered."""
        offered = [p.strip() for h in request.headers.getall(PROTOCOL_HEADER, []) for p in h.split(",")]
        chosen = next((protocol for protocol in protocols if protocol in offered), None)
        reader, writer = await hijack(request)
        if chosen is None:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return None
        head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        writer.write(f"{head}{PROTOCOL_HEADER}: {chosen}\r\n\r\n".encode())
        return SpdyConnection(SocketPipe(reader, writer))


async def _beside(reading: Callable[[], Awaitable[None]], serving: Callable[[], Awaitable[None]]) -> None:
    """Serves while the connection is read; the reading ends with the serving."""

    async def read() -> None:
        await reading()

    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(read())
        await serving()
        reader.cancel()


def _spdy_channels(command: Command) -> set[int]:
    """The streams a client opens for these options; with a terminal there is no stderr."""
    wanted = {ERROR}
    wanted |= {STDIN} if command.stdin else set()
    wanted |= {STDOUT} if command.stdout else set()
    wanted |= {RESIZE} if command.terminal else set()
    wanted |= {STDERR} if command.stderr and not command.terminal else set()
    return wanted
