"""Processes: starting a program and waiting for it, and watching one that is not our child."""

import asyncio
import errno
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Finished:
    exit_code: int
    output: str  # standard output and error together


async def run(
    arguments: Sequence[str],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    capture: bool = True,
) -> Finished:
    """Runs a program to its end, killing it after the timeout (TimeoutError).

    Captured output ends only when all who inherited it have ended: leave it for a program that starts others.
    """
    output_to = asyncio.subprocess.PIPE if capture else asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output_to,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            output, _ = await process.communicate()
    except (TimeoutError, asyncio.CancelledError):
        kill(process)
        await process.wait()
        raise
    return Finished(process.returncode or 0, (output or b"").decode(errors="replace"))


def kill(process: asyncio.subprocess.Process) -> None:
    """Kills our child if it still runs."""
    try:
        process.kill()
    except ProcessLookupError:
        return


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
