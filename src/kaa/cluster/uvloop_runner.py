"""Running one component's coroutine to its end in this process."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import uvloop

ENDING = (signal.SIGTERM, signal.SIGINT)


def run_until_signal(work: Callable[[], Awaitable[None]]) -> None:
    """Runs `work` until it returns, or until SIGTERM or SIGINT, which cancel it and let it clean up."""

    async def main() -> None:
        task = asyncio.ensure_future(work())
        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise

    uvloop.run(main())
