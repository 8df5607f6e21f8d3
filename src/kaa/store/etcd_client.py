"""etcd's gRPC API: calls and streams to whichever of its servers can be reached. Dicts in, dicts out.

Calls share one connection; a stream has a connection of its own, so that a reader who is slow holds up nobody else.
Two things can go wrong: etcd says no (`Refused`), or no answer comes (`Unavailable`); in the second case it is not
known whether the call took effect. Only what changes nothing is asked again.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from kaa.api.grpc import DictCodec, method_of
from kaa.api.messages import etcd_messages
from kaa.lib.backoff import Backoff
from kaa.lib.clock import Clock
from kaa.store.store import StoreFailed

Message = dict[str, Any]

REQUEST_SECONDS = 10.0
"""How long a call may take, as upstream's timeout for a write to etcd."""

READ_TRIES = 6
RETRY = Backoff(initial_seconds=0.1, limit_seconds=2.0)
"""A new leader is elected within a second or two; reads outlast that."""

KEEPALIVE_SECONDS = 30.0
"""How often a quiet connection is tried, as upstream: a server that vanished is noticed."""

DEFAULT_PORT = 2379

NO_ANSWER = frozenset({Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.CANCELLED})
"""Statuses that leave open whether the call took effect."""


class Refused(Exception):
    """etcd's own answer was an error."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Unavailable(StoreFailed):
    """No answer came. Whether the call took effect is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdServers:
    """Where etcd is: URLs (`https://10.0.0.1:2379`), and for https whom to trust and who we are."""

    urls: tuple[str, ...]
    ca_file: Path | None = None  # None: the authorities that this machine trusts
    cert_file: Path | None = None
    key_file: Path | None = None


class EtcdClient:
    def __init__(self, servers: EtcdServers, clock: Clock) -> None:
        """Raises StoreFailed for URLs and files that cannot be used."""
        self._clock = clock
        self._addresses = [_address(url) for url in servers.urls]
        self._shown = ", ".join(servers.urls)
        self._tls = _tls(servers) if any(secure for _, _, secure in self._addresses) else None
        self._channels = [self._channel(server) for server in range(len(self._addresses))]
        self._current = 0  # the server that calls go to

    def _channel(self, server: int) -> Channel:
        """It connects when it is first used, and again when it has broken."""
        host, port, secure = self._addresses[server]
        config = Configuration(_keepalive_time=KEEPALIVE_SECONDS)
        return Channel(host, port, codec=DictCodec(), ssl=self._tls if secure else None, config=config)

    def _leave(self, server: int) -> None:
        """That server does not answer: calls go to the next one. Twice is once."""
        if server == self._current:
            self._current = (server + 1) % len(self._addresses)

    async def call(self, name: str, request: Mapping[str, Any]) -> Message:
        """One call, such as `KV.Txn`. Raises Refused, Unavailable."""
        error: Exception = OSError("no server is named")
        for _ in self._addresses:
            server = self._current
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    reply: Message = await method_of(self._channels[server], etcd_messages(), name)(request)
                    return reply
            except (StreamTerminatedError, TimeoutError) as lost:
                self._leave(server)
                raise self._unavailable(lost) from lost
            except OSError as unreachable:
                # Nothing has been sent.
                self._leave(server)
                error = unreachable
            except GRPCError as refusal:
                if refusal.status in NO_ANSWER:
                    self._leave(server)
                    raise self._unavailable(refusal) from refusal
                raise Refused(refusal.status, refusal.message or "") from refusal
        raise self._unavailable(error) from error

    async def read(self, name: str, request: Mapping[str, Any]) -> Message:
        """A call that changes nothing: tried again while no answer comes. Raises Refused, Unavailable."""
        for failures in range(1, READ_TRIES):
            try:
                return await self.call(name, request)
            except Unavailable:
                await self._clock.sleep(RETRY.delay(failures))
        return await self.call(name, request)

    @asynccontextmanager
    async def stream(self, name: str) -> AsyncIterator[Any]:
        """A stream, such as `Watch.Watch`, with `send_message` and `recv_message`. Raises Refused, Unavailable."""
        server = self._current
        channel = self._channel(server)
        try:
            async with method_of(channel, etcd_messages(), name).open() as stream:
                async with asyncio.timeout(REQUEST_SECONDS):
                    await stream.send_request()
                yield stream
                await stream.cancel()  # else leaving it waits for the server's end of it
        except (StreamTerminatedError, OSError) as lost:
            self._leave(server)
            raise self._unavailable(lost) from lost
        except GRPCError as refusal:
            if refusal.status in NO_ANSWER:
                self._leave(server)
                raise self._unavailable(refusal) from refusal
            raise Refused(refusal.status, refusal.message or "") from refusal
        finally:
            channel.close()

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(f"etcd at {self._shown} does not answer: {str(error) or 'timed out'}")

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


def _address(url: str) -> tuple[str, int, bool]:
    """(host, port, whether by TLS) of a URL. Raises StoreFailed."""
    parts = urlsplit(url)
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        port = 0
    if parts.scheme not in ("http", "https") or not parts.hostname or not port:
        raise StoreFailed(f"{url!r} is not the URL of an etcd server, such as http://127.0.0.1:{DEFAULT_PORT}")
    return parts.hostname, port, parts.scheme == "https"


def _tls(servers: EtcdServers) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=servers.ca_file)
        if servers.cert_file is not None:
            context.load_cert_chain(servers.cert_file, servers.key_file)
    except OSError as error:
        raise StoreFailed(f"cannot use the certificates for etcd: {error}") from error
    context.set_alpn_protocols(["h2"])
    return context
