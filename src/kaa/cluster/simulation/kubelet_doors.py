"""Kubelets that live in the API server's process: how it reaches them for logs, exec and statistics, without a network.

A door is one end of a pair of connected sockets, the other end of which the kubelet's own HTTP application answers. No
port is opened and nothing needs a certificate; what is said is the same as on port 10250.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

SHUTDOWN_SECONDS = 1.0
"""Given to requests under way when a kubelet ends: somebody may be following a log."""


class _Door:
    """One kubelet's application, made when somebody comes for the first time."""

    def __init__(self, application: "Callable[[], web.Application]") -> None:
        self._application = application
        self._runner: web.AppRunner | None = None

    async def connect(self) -> socket.socket:
        if self._runner is None:
            from aiohttp import web

            self._runner = web.AppRunner(
                self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS
            )
            await self._runner.setup()
        assert self._runner.server is not None
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        await asyncio.get_running_loop().connect_accepted_socket(self._runner.server, ours)
        return theirs

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


class KubeletDoors:
    """The kubelets of this process, by their node's name. A `server.backends.Kubelets`.

    A node that has been here once stays known: while its kubelet is down nobody is to look for it on a network.
    """

    def __init__(self) -> None:
        self._doors: dict[str, _Door] = {}
        self._known: set[str] = set()

    def __contains__(self, node_name: object) -> bool:
        return node_name in self._known

    async def connect(self, node_name: str) -> socket.socket:
        """A connection to the node's kubelet, the caller's to close. Raises OSError when there is no such kubelet."""
        if node_name not in self._doors:
            raise ConnectionRefusedError(f"the kubelet of {node_name} does not run")
        return await self._doors[node_name].connect()

    @asynccontextmanager
    async def opened(
        self, node_names: Iterable[str], application: "Callable[[], web.Application]"
    ) -> AsyncIterator[None]:
        """One kubelet answers for these nodes while this lasts."""
        door = _Door(application)
        opened = dict.fromkeys(node_names, door)
        self._doors |= opened
        self._known.update(opened)
        try:
            yield
        finally:
            for name in opened:
                del self._doors[name]
            await door.close()
