"""Kubelets that live in the API server's process: how it reaches them for logs, exec and statistics, without a network.

A door is one end of a pair of connected sockets, the other end of which the kubelet's own HTTP application answers. No
port is opened and nothing needs a certificate; what is said is the same as on port 10250.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # aiohttp's server, and all of the kubelet: most clusters never ask their kubelets anything
    from aiohttp import web

    from kaa.kubelet.loop import Kubelet

SHUTDOWN_SECONDS = 1.0


class KubeletDoors:
    """The kubelets that run now, by their node's name. A `server.backends.Kubelets`."""

    def __init__(self) -> None:
        self._kubelets: dict[str, Kubelet] = {}
        self._answering: dict[str, web.AppRunner] = {}

    def __contains__(self, node_name: object) -> bool:
        return node_name in self._kubelets

    async def connect(self, node_name: str) -> socket.socket:
        """A connection to the node's kubelet, the caller's to close. Raises OSError when there is no such kubelet."""
        if node_name not in self._kubelets:
            raise ConnectionRefusedError(f"the kubelet of {node_name} does not run")
        runner = self._answering.get(node_name)
        if runner is None:
            from aiohttp import web

            from kaa.kubelet.server import application

            app = application(self._kubelets[node_name], authenticated=False)
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS)
            self._answering[node_name] = runner
            await runner.setup()
        assert runner.server is not None
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        await asyncio.get_running_loop().connect_accepted_socket(runner.server, ours)
        return theirs

    @asynccontextmanager
    async def opened(self, node_name: str, kubelet: "Kubelet") -> AsyncIterator[None]:
        """The kubelet answers while this lasts."""
        self._kubelets[node_name] = kubelet
        try:
            yield
        finally:
            del self._kubelets[node_name]
            runner = self._answering.pop(node_name, None)
            if runner is not None:
                await runner.cleanup()
