"""The Transport over HTTP and TLS, to any Kubernetes API server.

Two pools of connections: one for requests, bounded so that a burst queues here and not in the server, and one for
streams (watches, logs), each of which keeps its connection. A peer that vanished without a word is noticed by TCP
keep-alive, so that a silent watch may stay open for as long as it likes.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from kaa import __version__
from kaa.client.kubeconfig import ClientConfig, KubeconfigError
from kaa.client.transport import Query, Response, ResponseStream, TransportError

REQUEST_CONNECTIONS = 32
STREAM_CONNECTIONS = 1024
CONNECT_SECONDS = 10.0

KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}
"""A peer that answers nothing for a minute is gone."""

READ_BUFFER_BYTES = 64 * 1024
"""Of one answer; twice as much may wait before the server is slowed down."""


class HTTPTransport:
    """`Transport` over HTTP. Made anywhere; its connections belong to the event loop that first uses it."""

    def __init__(self, config: ClientConfig, component: str = "kaa") -> None:
        self._server = config.server
        self._user_agent = f"{component}/{__version__}"
        self._ssl = ssl_context(config)
        self._server_name = config.tls_server_name or None
        self._token = _Token(config.token, config.token_file)
        self._requests: aiohttp.ClientSession | None = None
        self._streams: aiohttp.ClientSession | None = None

    @classmethod
    def from_config(cls, config: ClientConfig, component: str = "kaa") -> "HTTPTransport":
        """`component` is who speaks: the server names the owner of the fields it writes after it (managedFields)."""
        return cls(config, component)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_seconds: float = 30.0,
    ) -> Response:
        if self._requests is None:
            self._requests = _session(self._ssl, REQUEST_CONNECTIONS)
        timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_SECONDS)
        with self._clear_errors(method, path):
            async with self._requests.request(**self._arguments(method, path, query, headers, body, timeout)) as answer:
                return Response(answer.status, _lower(answer.headers), await answer.read())

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, query: Query = (), headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AsyncIterator[ResponseStream]:
        if self._streams is None:
            self._streams = _session(self._ssl, STREAM_CONNECTIONS)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        with self._clear_errors(method, path):
            answer = await self._streams.request(**self._arguments(method, path, query, headers, body, timeout))
        try:
            yield _Stream(self, answer, f"{method} {path}")
        finally:
            answer.close()

    def _arguments(
        self,
        method: str,
        path: str,
        query: Query,
        headers: Mapping[str, str] | None,
        body: bytes,
        timeout: aiohttp.ClientTimeout,
    ) -> dict[str, Any]:
        sent = {"user-agent": self._user_agent, "accept-encoding": "identity", **(headers or {})}
        if token := self._token.current():
            sent["authorization"] = f"Bearer {token}"
        return {
            "method": method,
            "url": URL(f"{self._server}{path}{'?' if query else ''}{urlencode(query)}", encoded=True),
            "headers": sent,
            "data": body or None,
            "timeout": timeout,
            "server_hostname": self._server_name,
            "allow_redirects": False,
        }

    @contextmanager
    def _clear_errors(self, method: str, path: str) -> Iterator[None]:
        """Every failure to get an answer as a TransportError that says what and where."""
        try:
            yield
        except (aiohttp.ClientError, OSError) as error:
            raise TransportError(f"{method} {self._server}{path}: {_reason(error)}") from error

    async def close(self) -> None:
        for session in (self._requests, self._streams):
            if session is not None:
                await session.close()


class _Stream:
    def __init__(self, transport: HTTPTransport, answer: aiohttp.ClientResponse, what: str) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = _lower(answer.headers)
        self._transport = transport
        self._answer = answer
        self._what = what

    async def __aiter__(self) -> AsyncIterator[bytes]:
        method, _, path = self._what.partition(" ")
        with self._transport._clear_errors(method, path):
            async for chunk in self._answer.content.iter_any():
                yield chunk


class _Token:
    """A bearer token, or a file of one that somebody else rotates."""

    def __init__(self, token: str, path: Path | None) -> None:
        self._token = token
        self._path = path
        self._modified_ns = 0

    def current(self) -> str:
        if self._path is not None:
            try:
                modified_ns = os.stat(self._path).st_mtime_ns
                if modified_ns != self._modified_ns:
                    self._token = self._path.read_text().strip()
                    self._modified_ns = modified_ns
            except OSError as error:
                raise TransportError(f"cannot read the token file {self._path}: {error.strerror}") from error
        return self._token


def ssl_context(config: ClientConfig) -> ssl.SSLContext | None:
    """TLS as the config says; None for a server without TLS. Raises KubeconfigError."""
    if not config.server.startswith("https://"):
        return None
    try:
        return _ssl_context(config)
    except (ssl.SSLError, ValueError) as error:
        raise KubeconfigError(f"the certificates for {config.server} cannot be used: {error}") from error


def _ssl_context(config: ClientConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=config.ca.decode() or None)
    if config.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.client_certificate:
        # The library reads certificates from files only: this one is in memory, and gone with its descriptor.
        memory = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
        try:
            with open(memory, "wb", closefd=False) as file:
                file.write(config.client_certificate + b"\n" + config.client_key)
            context.load_cert_chain(f"/proc/self/fd/{memory}")
        finally:
            os.close(memory)
    return context


def _session(context: ssl.SSLContext | None, connections: int) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=connections, ssl=context or True, socket_factory=_socket)
    return aiohttp.ClientSession(connector=connector, read_bufsize=READ_BUFFER_BYTES)


def _socket(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"the server's certificate is not trusted: {error.certificate_error}"
        case aiohttp.ClientConnectorError():
            # asyncio's own text says the address again, and not what was wrong with it.
            return f"cannot connect: {os.strerror(error.errno) if error.errno else error.os_error}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return "the server closed the connection in the middle of an answer"
        case asyncio.TimeoutError():
            return "no answer in time"
        case _:
            return str(error) or type(error).__name__
