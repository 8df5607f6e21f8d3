"""Processes: starting a program and waiting for it, and watching one that is not our child.

Not asyncio's subprocesses: under uvloop a child inherits duplicates of its own standard streams, and what it leaves
behind (conmon) would keep a pipe of ours open for ever. A pidfd tells the end of a child and of a stranger alike.
"""

import asyncio
import errno
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class Child:
    """A program that we have started. Whoever starts one waits for it to the end."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        stderr: int = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        directory: Path | None = None,
    ) -> None:
        """Raises FileNotFoundError when there is no such program."""
        self._process = subprocess.Popen(
            arguments,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            pass_fds=pass_fds,
            cwd=directory,
            start_new_session=True,
        )
        self._ended = asyncio.Event()
        self._watch = ProcessWatch(self._process.pid, self._ended.set)

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    async def wait(self) -> int:
        """The exit code, or minus the signal it died of."""
        await self._ended.wait()
        return self._process.wait()

    def signal(self, number: int) -> None:
        """Nothing, if it has ended."""
        if self.running:
            signal_process(self._process.pid, number)


async def run(
    arguments: Sequence[str],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    directory: Path | None = None,
) -> int:
    """Runs a program to its end and returns its exit code; kills it after the timeout (TimeoutError)."""
    child = Child(arguments, environment=environment, pass_fds=pass_fds, directory=directory)
    try:
        async with asyncio.timeout(timeout_seconds):
            return await child.wait()
    finally:
        child.signal(signal.SIGKILL)
        await asyncio.shield(child.wait())


def signal_process(pid: int, number: int) -> bool:
    """Sends a signal; False when there is no such process."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def command_line(pid: int) -> list[str]:
    """The arguments a process was started with; none when there is no such process or it is a zombie."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [part.decode(errors="replace") for part in raw.split(b"\0") if part]


class ProcessWatch:
    """Calls back once, on the event loop, when a process that need not be our child has ended (a pidfd)."""

    def __init__(self, pid: int, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._fd = -1
        try:
            self._fd = os.pidfd_open(pid)
        except OSError as e:
            if e.errno != errno.ESRCH:
                raise
            self._loop.call_soon(callback)
            return
        self._loop.add_reader(self._fd, self._ended)

    def _ended(self) -> None:
        self.close()
        self._callback()

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


def signal_number(name: str, default: int = signal.SIGTERM) -> int:
    """`SIGQUIT`, `QUIT`, `3` or `RTMIN+3` as a number; the default for an empty or unknown name."""
    text = name.strip().upper().removeprefix("SIG")
    if text.isdigit():
        return int(text)
    base, plus, offset = text.partition("+")
    if plus and base == "RTMIN" and offset.isdigit():
        return signal.SIGRTMIN + int(offset)
    try:
        return signal.Signals[f"SIG{text}"].value
    except KeyError:
        return default
