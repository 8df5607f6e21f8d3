"""The ports that a simulated container's program serves: reached by `kubectl port-forward`, and by nobody else.

A connection is a pair of sockets in this process: one end goes to who forwards, the other to the program's handler, a
coroutine function as `asyncio.start_server` takes it. The connections end with the container.
"""

import asyncio
import errno
import os
import socket
import traceback
from collections.abc import Awaitable, Callable
from typing import TypeAlias

ConnectionHandler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CONNECTIONS_LIMIT = 128
"""Of one container at a time; further ones are refused."""


class SimulatedPorts:
    """One container's. `complain` is told of handlers that fail."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        self.connections: dict[asyncio.Task[None], None] = {}  # in the order in which they came
        self._complain = complain
        self._handlers: dict[int, ConnectionHandler] = {}

    def serve(self, port: int, handler: ConnectionHandler) -> None:
        self._handlers[port] = handler

    def __contains__(self, port: int) -> bool:
        return port in self._handlers

    async def dial(self, port: int) -> socket.socket:
        """The caller's end of a new connection. Raises ConnectionRefusedError."""
        handler = self._handlers.get(port)
        if handler is None or len(self.connections) >= CONNECTIONS_LIMIT:
            raise refused()
        theirs, ours = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        task = asyncio.get_running_loop().create_task(self._handle(handler, reader, writer), name=f"port {port}")
        self.connections[task] = None
        task.add_done_callback(self.connections.pop)
        return theirs

    async def _handle(
        self, handler: ConnectionHandler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await handler(reader, writer)
        except ConnectionError:
            return  # the other side is gone
        except Exception:
            # Whatever a program does wrong is its own affair, as everything that a process does.
            self._complain(traceback.format_exc())
        finally:
            writer.close()

    def hang_up(self) -> None:
        """Ends all connections: the container has ended."""
        self._handlers.clear()
        for task in self.connections:
            task.cancel()


def refused() -> ConnectionRefusedError:
    """Nobody listens there."""
    return ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
