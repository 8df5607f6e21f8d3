"""The audit log's file: lines from a bounded queue, written in a thread, and files that are put aside when full.

`put` never waits: where the disk is slower than requests come, lines beyond the queue's bounds are dropped and counted,
as in upstream's batch mode. The server goes on; what was lost is said in its own log.

    audit.log   audit-2030-01-01T00-00-00.000.log   ...   (what was put aside; the oldest beyond `max_backups` go)
"""

import asyncio
import logging
import os
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kaa.lib.clock import Clock

log = logging.getLogger(__name__)

QUEUE_LINES = 10_000
QUEUE_BYTES = 16 * 1024 * 1024
"""How far the file may lag behind the requests."""

STDOUT = "-"
MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LogFile:
    """`path` "-" is standard output, which is never put aside. `max_backups` and `max_age_days` 0 keep all."""

    path: str
    max_bytes: int = 100 * MEGABYTE
    max_backups: int = 100
    max_age_days: int = 0


class AuditLog:
    """Lines are written in the order they were put, by `run`."""

    def __init__(self, file: LogFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0
        self._more = asyncio.Event()

    def put(self, line: bytes) -> None:
        if len(self._lines) >= QUEUE_LINES or self._bytes + len(line) > QUEUE_BYTES:
            self._dropped += 1
            return
        self._lines.append(line)
        self._bytes += len(line)
        self._more.set()

    async def run(self) -> None:
        """Until cancelled; what is queued then is still written."""
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                await self._more.wait()
                writing = asyncio.create_task(asyncio.to_thread(self._write, self._take()))
                await asyncio.shield(writing)
        finally:
            if writing is not None:
                await writing  # cancelled on the way, its lines would be lost or come after these
            self._write(self._take())

    def _take(self) -> list[bytes]:
        lines = list(self._lines)
        self._lines.clear()
        self._bytes = 0
        self._more.clear()
        if self._dropped:
            log.error("%d audit events were dropped: %s is too slow", self._dropped, self._file.path)
            self._dropped = 0
        return lines

    def _write(self, lines: list[bytes]) -> None:
        try:
            append(self._file, lines, self._clock.now())
        except OSError as error:
            log.error("%d audit events are lost: %s: %s", len(lines), self._file.path, error.strerror)


def append(file: LogFile, lines: Sequence[bytes], now: datetime) -> None:
    """Adds lines to the file; one that would grow beyond its bound is put aside first. Raises OSError."""
    if file.path == STDOUT:
        sys.stdout.buffer.writelines(lines)
        sys.stdout.buffer.flush()
        return
    path = Path(file.path)
    pending: list[bytes] = []
    size = path.stat().st_size if path.exists() else 0
    for line in lines:
        if size and size + len(line) > file.max_bytes:
            _add(path, pending)
            put_aside(file, now)
            pending, size = [], 0
        pending.append(line)
        size += len(line)
    _add(path, pending)


def _add(path: Path, lines: Sequence[bytes]) -> None:
    # What is told of requests is not for everybody to read.
    with open(path, "ab", opener=_private) as out:
        out.writelines(lines)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def put_aside(file: LogFile, now: datetime) -> None:
    """Gives the file a name with the time, and removes those of these that are too many or too old."""
    path = Path(file.path)
    path.rename(_free_name(path, now))
    backups = sorted(path.parent.glob(f"{path.stem}-????-??-??T*{path.suffix}"))
    surplus = backups[: -file.max_backups] if file.max_backups else []
    if file.max_age_days:
        oldest = path.with_name(f"{path.stem}-{_stamp(now - timedelta(days=file.max_age_days))}{path.suffix}")
        surplus += [backup for backup in backups if backup < oldest]
    for old in dict.fromkeys(surplus):
        old.unlink()


def _free_name(path: Path, now: datetime) -> Path:
    """Files that were filled within one millisecond get later times: none may replace another."""
    milliseconds = int(now.timestamp() * 1000)
    while True:
        stamp = _stamp(datetime.fromtimestamp(milliseconds / 1000, UTC))
        backup = path.with_name(f"{path.stem}-{stamp}{path.suffix}")
        if not backup.exists():
            return backup
        milliseconds += 1


def _stamp(moment: datetime) -> str:
    """The time in a name: in the order of names, as of times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%S.") + f"{moment.microsecond // 1000:03d}"
