"""What the server connects to on a client's behalf: kubelets, pods and Services.

A *target* is an address, a port, and how TLS is spoken to it, if at all. Kubelets are reached at their node's internal
address with the server's own client certificate, and theirs is checked against the cluster's authority. What stands
behind a pod or Service is not known: with `https` it is encrypted, not verified, as upstream does.

A kubelet may also live in this process (a simulated node's): it is reached over a pair of sockets, and no network.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kaa.api.errors import APIError, bad_request, not_found
from kaa.api.objects import Object
from kaa.server.chain import Reader

if TYPE_CHECKING:  # aiohttp takes as long to load as half of the server; many servers in tests call no backend
    import aiohttp

DIAL_SECONDS = 30.0
KUBELET_PORT = 10250
ADDRESS_TYPES = ("InternalIP", "Hostname", "ExternalIP")
"""Upstream's --kubelet-preferred-address-types, of which the first that the node has is used."""

BUFFER_BYTES = 64 * 1024
"""Of what is read and not yet written, in each direction of a connection."""


@dataclass(frozen=True, slots=True)
class Target:
    """`is_inside`: a kubelet of this process, whose node `host` is then."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    is_inside: bool = False

    def url(self, path: str) -> str:
        """`path` is quoted and has its query."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}{path}"


class Kubelets(Protocol):
    """The kubelets of this process, by their node's name."""

    def __contains__(self, node_name: object) -> bool: ...

    async def connect(self, node_name: str) -> socket.socket:
        """A connection to the node's kubelet, without TLS; the caller's to close. Raises OSError if there is none."""
        ...


class Backends:
    """Finds targets and connects to them. Its HTTP sessions live until `close`."""

    def __init__(
        self, reader: Reader, kubelet_tls: Callable[[], ssl.SSLContext], kubelets: Kubelets | None = None
    ) -> None:
        self._reader = reader
        self._kubelets = kubelets
        self._inside: aiohttp.ClientSession | None = None
        self._make_kubelet_tls = kubelet_tls
        self._kubelet_tls: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None

    def kubelet(self, node_name: str) -> Target:
        """Raises NotFound for a node that isn't there, BadRequest for one without address."""
        node = self._reader.get("Node", node_name)
        if node is None:
            raise not_found("nodes", "", node_name)
        if self._kubelets is not None and node_name in self._kubelets:
            return Target(node_name, KUBELET_PORT, is_inside=True)
        status = node.get("status") or {}
        address = preferred_address(status.get("addresses") or [])
        if not address:
            raise bad_request(f"no preferred addresses found; known addresses: {status.get('addresses') or []}")
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or KUBELET_PORT
        if self._kubelet_tls is None:
            self._kubelet_tls = self._make_kubelet_tls()
        return Target(address, port, self._kubelet_tls)

    async def dial(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection. Raises APIError when there is none to be had."""
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                if target.is_inside and self._kubelets is not None:
                    end = await self._kubelets.connect(target.host)
                    return await asyncio.open_unix_connection(sock=end, limit=BUFFER_BYTES)
                return await asyncio.open_connection(target.host, target.port, ssl=target.tls, limit=BUFFER_BYTES)
        except (OSError, TimeoutError) as error:
            raise unreachable(target, error) from None

    async def request(
        self, method: str, target: Target, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> "aiohttp.ClientResponse":
        """One HTTP request; the answer's body is read by the caller, who closes it. Raises APIError."""
        from kaa.server.backend_http import Failed

        try:
            return await self._http(target).request(
                method,
                target.url(path),
                headers=headers,
                data=body or None,
                ssl=target.tls if target.tls is not None else True,
                allow_redirects=False,
            )
        except (Failed, OSError) as error:
            raise unreachable(target, error) from None

    def _http(self, target: Target) -> "aiohttp.ClientSession":
        from kaa.server.backend_http import inside_session, outside_session

        if target.is_inside and self._kubelets is not None:
            if self._inside is None:
                self._inside = inside_session(self._kubelets)
            return self._inside
        if self._session is None:
            self._session = outside_session()
        return self._session

    async def close(self) -> None:
        for session in (self._session, self._inside):
            if session is not None:
                await session.close()
        self._session = self._inside = None


def preferred_address(addresses: list[Object]) -> str:
    for kind in ADDRESS_TYPES:
        for address in addresses:
            if address.get("type") == kind and address.get("address"):
                return str(address["address"])
    return ""


def unreachable(target: Target, error: Exception) -> APIError:
    """Our certificate files, the network or the other side: a person reads which, and of whom."""
    where = f"dial tcp {target.host}:{target.port}"
    return APIError("InternalError", f"error dialing backend: {where}: {str(error) or type(error).__name__}")


def kubelet_context(authority: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS to kubelets: theirs is checked against the cluster's authority, ours says that the API server asks."""
    context = ssl.create_default_context(cafile=str(authority))
    context.load_cert_chain(certificate, key)
    return context


def insecure_context() -> ssl.SSLContext:
    """TLS to somebody whose certificate says nothing to us."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
