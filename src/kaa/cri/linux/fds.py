"""Reading and writing non-blocking descriptors (pipes, terminals, packet sockets) from the event loop."""

import asyncio
import errno
import os

READ_BYTES = 32 * 1024


class Descriptor:
    """A non-blocking descriptor, closed by `close`. One reader and one writer at a time."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._drained = asyncio.Event()

    def fileno(self) -> int:
        return self._fd

    def end_when_empty(self) -> None:
        """Nobody we care about writes any more: `read` ends once what is there has been read, though others hold it."""
        self._drained.set()

    async def read(self) -> bytes:
        """The next bytes (or packet); b"" at the end."""
        while True:
            try:
                return os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                if self._drained.is_set():
                    return b""
            except OSError as e:
                if e.errno in (errno.EIO, errno.ECONNRESET):  # how a terminal and a socket say that the other is gone
                    return b""
                raise
            await self._readable()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._fd, ready.set)
        waits = [asyncio.ensure_future(ready.wait()), asyncio.ensure_future(self._drained.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(self._fd)
            for wait in waits:
                wait.cancel()

    async def write(self, data: bytes) -> None:
        """Writes all of it. Raises BrokenPipeError (or OSError EIO) when the other side is gone."""
        loop = asyncio.get_running_loop()
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                ready = asyncio.Event()
                loop.add_writer(self._fd, ready.set)
                try:
                    await ready.wait()
                finally:
                    loop.remove_writer(self._fd)

    def close(self) -> None:
        """Twice is once."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
