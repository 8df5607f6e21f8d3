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


class AnotherLoop(RuntimeError):
    """Virtual time was to pass in a thread that is in the middle of another event loop's work."""

    def __init__(self) -> None:
        super().__init__(
            "a cluster on virtual time cannot run inside another event loop (a notebook's, an asynchronous fixture's): "
            "use `async with` in a kaa.VirtualEventLoop, the pytest marker `kaa`, or a thread"
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
        self.run(_finish(self._loop))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class VirtualDriver:
    """A loop on virtual time that runs only while somebody waits for something.

    Ctrl-C cancels what is waited for, between two steps of the loop: raised wherever the cluster happens to be, it
    would leave that half done.
    """

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=VirtualEventLoop)
        self._loop = self._runner.get_loop()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        running = running_loop()
        if running is not None:
            coroutine.close()
            raise CalledFromInside if running is self._loop else AnotherLoop
        return self._runner.run(coroutine)

    def close(self) -> None:
        if running_loop() is None:
            self._runner.close()
        else:  # nothing has ever run in it
            self._loop.close()


def running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """Ends what a loop leaves to whoever made it."""
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
