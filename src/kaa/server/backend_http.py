"""How HTTP is spoken to kubelets, pods and Services: aiohttp's client. Loaded when the first one is called."""

from collections.abc import AsyncIterator

import aiohttp
from aiohttp.client_proto import ResponseHandler

from kaa.server.backends import BUFFER_BYTES, DIAL_SECONDS, Kubelets

Failed = aiohttp.ClientError
"""What a request may raise, beside OSError."""


def outside_session() -> aiohttp.ClientSession:
    return _session(aiohttp.TCPConnector(limit=0, force_close=True))


def inside_session(kubelets: Kubelets) -> aiohttp.ClientSession:
    """To kubelets of this process: a URL's host is the node's name."""
    return _session(_InsideConnector(kubelets))


def _session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    # No limit on the whole: a log is followed for days. No connection is kept for another request.
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=DIAL_SECONDS),
        auto_decompress=False,
        read_bufsize=BUFFER_BYTES,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


class _InsideConnector(aiohttp.BaseConnector):
    """As aiohttp's own connectors are made: a URL's host is the node whose kubelet is asked."""

    def __init__(self, kubelets: Kubelets) -> None:
        super().__init__(limit=0, force_close=True)
        self._kubelets = kubelets

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: object, timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        end = await self._kubelets.connect(req.url.host or "")
        _, protocol = await self._loop.create_unix_connection(self._factory, sock=end)
        return protocol


class Body:
    """A backend's answer as chunks. Closed when it is at its end or when nobody reads it any more."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._answer.content.readany()
        except aiohttp.ClientError:
            chunk = b""  # the backend broke off; so does the answer, whose length nobody was told
        if not chunk:
            await self.aclose()
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self._answer.close()
