"""Processes by an identity that outlives a reuse of their number, kept in files across our own restarts."""

import json
import os
import select
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kaa.cluster.spec import write_atomically


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process of this machine. `start_ticks` (field 22 of /proc/PID/stat) tells it from a later one of its number."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """The process that has the number now; None if none has, or only its zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = stat.rpartition(")")[2].split()  # the command's name may hold spaces
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    @property
    def is_alive(self) -> bool:
        return ProcessId.of(self.pid) == self

    def open(self) -> int | None:
        """A pidfd, which becomes readable when the process ends; None if it has ended."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if self.is_alive:
            return fd
        os.close(fd)
        return None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to exactly this process; one that has ended is left alone."""
        fd = self.open()
        if fd is not None:
            try:
                signal.pidfd_send_signal(fd, number)
            except ProcessLookupError:
                pass
            finally:
                os.close(fd)

    def save(self, path: Path) -> None:
        write_atomically(path, json.dumps([self.pid, self.start_ticks]))

    @classmethod
    def load(cls, path: Path) -> "ProcessId | None":
        """The process that the file names, if it is still alive."""
        try:
            pid, start_ticks = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        process = cls(pid, start_ticks)
        return process if process.is_alive else None


def end(processes: Iterable[ProcessId], grace_seconds: float) -> None:
    """SIGTERM to all, and SIGKILL to those that still live after the grace. Returns when all have ended."""
    waiting = {fd: process for process in processes if (fd := process.open()) is not None}
    for number, timeout in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 10.0)):
        for process in waiting.values():
            process.signal(number)
        _wait(waiting, timeout)
    for fd in waiting:
        os.close(fd)


def _wait(waiting: dict[int, ProcessId], timeout_seconds: float) -> None:
    """Takes out those that end within the time, which counts anew for each that does."""
    poll = select.poll()
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    while waiting:
        ended = poll.poll(timeout_seconds * 1000)
        if not ended:
            return
        for fd, _ in ended:
            poll.unregister(fd)
            os.close(fd)
            del waiting[fd]
