"""Who runs the cluster's event loop while others use it.

On the wall clock a thread does: the cluster lives on between two calls. On a virtual clock nobody does: the loop runs
during a call, in the caller's thread, and the world stands still in between.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

import uvloop

from kaa.lib.clock import VirtualEventLoop

T = TypeVar("T")


class CalledFromInside(RuntimeError):
    """A blocking method of the cluster was called by code that the cluster itself runs."""

    def __init__(self) -> None:
        super().__init__(
            "code that runs inside the cluster's event loop cannot wait for it: use the asynchronous names"
        )


class Driver(Protocol):
    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs it in the cluster's loop and returns what it returns. Raises CalledFromInside."""
        ...

    def close(self) -> None: ...


class ThreadDriver:
    """A loop in a thread of its own, from the first to the last."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._work, name="kaa cluster", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise CalledFromInside
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()  # when the caller was interrupted

    async def join(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The same for coroutines of another event loop, which goes on meanwhile."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        _close(self._loop)


class VirtualDriver:
    """A loop on virtual time that runs only while somebody waits for something."""

    def __init__(self) -> None:
        self._loop = VirtualEventLoop()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_running():
            coroutine.close()
            raise CalledFromInside
        return self._loop.run_until_complete(coroutine)

    def close(self) -> None:
        _close(self._loop)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
