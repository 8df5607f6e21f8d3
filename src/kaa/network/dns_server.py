"""Cluster DNS: answers the cluster's zone from Services and EndpointSlices, and asks the host's resolvers for the rest.

One server a node, over UDP and TCP. Answers are cached as bytes until anything changes. A node without a way out
(`upstreams` empty) says that outside names do not exist, so that resolvers stop asking instead of waiting.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from kaa.api.objects import Object
from kaa.client.informer import Change
from kaa.client.view import Informers
from kaa.lib.clock import Clock
from kaa.network.dns_message import (
    FORMERR,
    NOERROR,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    MalformedMessage,
    address_records,
    answer,
    failure,
    parse_query,
    question_for,
)
from kaa.network.dns_zone import in_zone, resolve, soa
from kaa.network.service_rules import SERVICE_NAME_LABEL

log = logging.getLogger(__name__)

CACHE_ANSWERS = 10_000
FORWARDS_AT_ONCE = 512
FORWARD_SECONDS = 2.0
"""How long one resolver of the host's gets before the next is asked."""
TCP_CLIENTS = 128
TCP_IDLE_SECONDS = 10.0

SocketFactory = Callable[[int], Awaitable[socket.socket]]
"""Makes a socket of that type (SOCK_DGRAM, SOCK_STREAM) where the outside can be reached: in the host's namespace."""


async def own_socket(kind: int) -> socket.socket:
    """Where this process lives."""
    return socket.socket(socket.AF_INET, kind)


@dataclass(frozen=True, slots=True)
class DNSOptions:
    domain: str  # cluster.local
    addresses: tuple[str, ...]  # to listen on
    port: int = 53
    upstreams: tuple[str, ...] = ()  # the host's resolvers; empty: nothing outside
    outside_socket: SocketFactory = own_socket


class _Objects:
    """The `Lookup` of the zone, over informers."""

    def __init__(self, informers: Informers) -> None:
        self.services = informers.informer("Service")
        self.slices_informer = informers.informer("EndpointSlice.discovery.k8s.io")
        self.namespaces = informers.informer("Namespace")
        self.services.add_index("dns-address", _cluster_ips)
        self.slices_informer.add_index("dns-service", _service_keys)
        self.slices_informer.add_index("dns-address", _endpoint_addresses)

    def service(self, namespace: str, name: str) -> Object | None:
        return self.services.get(name, namespace)

    def slices(self, namespace: str, service: str) -> list[Object]:
        return self.slices_informer.by_index("dns-service", f"{namespace}/{service}")

    def namespace_exists(self, name: str) -> bool:
        return self.namespaces.get(name) is not None

    def services_at(self, address: str) -> list[Object]:
        return self.services.by_index("dns-address", address)

    def slices_at(self, address: str) -> list[Object]:
        return self.slices_informer.by_index("dns-address", address)


def _cluster_ips(service: Object) -> Iterable[str]:
    return service["spec"].get("clusterIPs") or ()


def _service_keys(endpoint_slice: Object) -> Iterable[str]:
    metadata = endpoint_slice["metadata"]
    if service := (metadata.get("labels") or {}).get(SERVICE_NAME_LABEL):
        yield f"{metadata['namespace']}/{service}"


def _endpoint_addresses(endpoint_slice: Object) -> Iterable[str]:
    for endpoint in endpoint_slice.get("endpoints") or ():
        yield from endpoint["addresses"]


class DNSServer:
    def __init__(self, informers: Informers, clock: Clock, options: DNSOptions) -> None:
        self._options = options
        self._clock = clock
        self._objects = _Objects(informers)
        self._informers = (self._objects.services, self._objects.slices_informer, self._objects.namespaces)
        self._soa = soa(options.domain)
        self._cache: dict[tuple[bytes, bool, bool, int], bytes] = {}
        self._forwards = asyncio.Semaphore(FORWARDS_AT_ONCE)
        self._tcp_clients = 0
        for informer in self._informers:
            informer.subscribe(self._forget)

    def _forget(self, _change: Change) -> None:
        self._cache.clear()

    async def run(self) -> None:
        """Until cancelled. Raises OSError if the port is taken."""
        for informer in self._informers:
            await informer.wait_synced()
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            transports = []
            servers = []
            try:
                for address in self._options.addresses:
                    where = (address, self._options.port)
                    transport, _ = await loop.create_datagram_endpoint(lambda: _UDP(self, tasks), local_addr=where)
                    transports.append(transport)
                    servers.append(await asyncio.start_server(self._serve_tcp, *where, limit=65536 + 2))
                await loop.create_future()  # until cancelled
            finally:
                for transport in transports:
                    transport.close()
                for server in servers:
                    server.close()

    def local_answer(self, message: bytes, *, tcp: bool) -> bytes | None:
        """The reply to a message; None when it takes a question to the outside (`outside_answer`)."""
        try:
            query = parse_query(message)
        except MalformedMessage:
            return failure(message, FORMERR)
        limit = 65535 if tcp else query.udp_bytes
        key = (query.question, query.recursion_desired, query.edns, limit)
        if cached := self._cache.get(key):
            return message[:2] + cached[2:]
        domain, forwards = self._options.domain, bool(self._options.upstreams)
        found = resolve(query.name, query.type, domain, self._objects)
        if forwards and (found is None or found.forward):
            return None
        if found is None:
            # Nothing of ours and nothing outside: it does not exist, which resolvers believe at once.
            return answer(query, NXDOMAIN, [], [], recursion=False, limit_bytes=limit)
        authority = [] if found.records or not in_zone(query.name, domain) else [self._soa]
        reply = answer(query, found.code, found.records, authority, recursion=forwards, limit_bytes=limit)
        if len(self._cache) < CACHE_ANSWERS:
            self._cache[key] = reply
        return reply

    async def outside_answer(self, message: bytes, *, tcp: bool) -> bytes:
        """The reply to a message for which `local_answer` had none."""
        query = parse_query(message)
        found = resolve(query.name, query.type, self._options.domain, self._objects)
        if found is None:
            return await self._forward(message, tcp=tcp)
        # An alias that leads outside: simple resolvers want its addresses in the same reply.
        target = question_for(found.forward, query.type, query.id)
        try:
            behind = address_records(await self._forward(target, tcp=tcp))
        except MalformedMessage:
            behind = []
        limit = 65535 if tcp else query.udp_bytes
        return answer(query, NOERROR, found.records + behind, [], recursion=True, limit_bytes=limit)

    async def _forward(self, message: bytes, *, tcp: bool) -> bytes:
        """The reply of the first of the host's resolvers that gives one; SERVFAIL when none does."""
        if self._forwards.locked():
            return failure(message, REFUSED)
        ask = _ask_tcp if tcp else _ask_udp
        async with self._forwards:
            for upstream in self._options.upstreams:
                try:
                    async with asyncio.timeout(FORWARD_SECONDS):
                        return await ask(self._options.outside_socket, upstream, message)
                except (OSError, TimeoutError, asyncio.IncompleteReadError):
                    continue
        return failure(message, SERVFAIL)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._tcp_clients >= TCP_CLIENTS:
            writer.close()
            return
        self._tcp_clients += 1
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE_SECONDS):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    message = await reader.readexactly(length)
                    reply = self.local_answer(message, tcp=True)
                    if reply is None:
                        reply = await self.outside_answer(message, tcp=True)
                    writer.write(struct.pack("!H", len(reply)) + reply)
                    await writer.drain()
        except (asyncio.IncompleteReadError, OSError, TimeoutError):
            pass  # the client is done, or gone
        finally:
            self._tcp_clients -= 1
            writer.close()


class _UDP(asyncio.DatagramProtocol):
    def __init__(self, server: DNSServer, tasks: asyncio.TaskGroup) -> None:
        self._server = server
        self._tasks = tasks
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, message: bytes, client: tuple[str, int]) -> None:
        reply = self._server.local_answer(message, tcp=False)
        if reply is None:
            self._tasks.create_task(self._answer_later(message, client))
        elif reply:
            self._send(reply, client)

    async def _answer_later(self, message: bytes, client: tuple[str, int]) -> None:
        self._send(await self._server.outside_answer(message, tcp=False), client)

    def _send(self, reply: bytes, client: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(reply, client)


async def _ask_udp(make_socket: SocketFactory, upstream: str, message: bytes) -> bytes:
    """One question over a socket of its own: the kernel's random port and `connect` keep forged replies out."""
    loop = asyncio.get_running_loop()
    sock = await make_socket(socket.SOCK_DGRAM)
    with sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (upstream, 53))
        await loop.sock_sendall(sock, message)
        while True:
            reply = await loop.sock_recv(sock, 65535)
            if reply[:2] == message[:2]:
                return reply


async def _ask_tcp(make_socket: SocketFactory, upstream: str, message: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    sock = await make_socket(socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await loop.sock_connect(sock, (upstream, 53))
    except BaseException:
        sock.close()
        raise
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        writer.write(struct.pack("!H", len(message)) + message)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.close()


def nameservers(resolv_conf: str) -> tuple[str, ...]:
    """The IPv4 name servers that a resolv.conf text lists, at most three as resolvers take."""
    lines: Sequence[list[str]] = [line.split() for line in resolv_conf.splitlines()]
    found = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver" and ":" not in words[1]]
    return tuple(found[:3])
