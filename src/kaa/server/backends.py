"""What the server connects to on a client's behalf: kubelets, pods and Services.

A *target* is an address, a port, and how TLS is spoken to it, if at all. Kubelets are reached at their node's internal
address with the server's own client certificate, and theirs is checked against the cluster's authority. What stands
behind a pod or Service is not known: with `https` it is encrypted, not verified, as upstream does.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from kaa.api.errors import APIError, bad_request, not_found
from kaa.api.objects import Object
from kaa.server.chain import Reader

DIAL_SECONDS = 30.0
KUBELET_PORT = 10250
ADDRESS_TYPES = ("InternalIP", "Hostname", "ExternalIP")
"""Upstream's --kubelet-preferred-address-types, of which the first that the node has is used."""

BUFFER_BYTES = 64 * 1024
"""Of what is read and not yet written, in each direction of a connection."""


@dataclass(frozen=True, slots=True)
class Target:
    host: str
    port: int
    tls: ssl.SSLContext | None = None

    def url(self, path: str) -> str:
        """`path` is quoted and has its query."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}{path}"


class Backends:
    """Finds targets and connects to them. Its HTTP session lives until `close`."""

    def __init__(self, reader: Reader, kubelet_tls: Callable[[], ssl.SSLContext]) -> None:
        self._reader = reader
        self._make_kubelet_tls = kubelet_tls
        self._kubelet_tls: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None

    def kubelet(self, node_name: str) -> Target:
        """Raises NotFound for a node that isn't there, BadRequest for one without address."""
        node = self._reader.get("Node", node_name)
        if node is None:
            raise not_found("nodes", "", node_name)
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
                return await asyncio.open_connection(target.host, target.port, ssl=target.tls, limit=BUFFER_BYTES)
        except (OSError, TimeoutError) as error:
            raise unreachable(target, error) from None

    async def request(
        self, method: str, target: Target, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> aiohttp.ClientResponse:
        """One HTTP request; the answer's body is read by the caller, who closes it. Raises APIError."""
        try:
            return await self._http().request(
                method,
                target.url(path),
                headers=headers,
                data=body or None,
                ssl=target.tls if target.tls is not None else True,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable(target, error) from None

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            # No limit on the whole: a log is followed for days. No connection is kept for another request.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=DIAL_SECONDS),
                auto_decompress=False,
                read_bufsize=BUFFER_BYTES,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


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
