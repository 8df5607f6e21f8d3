"""What `kubectl logs` shows: a container's log files as plain text, from the line asked for, followed if asked for.

Rotated files are read before the current one. Following ends with the container: when it runs no more and its last line
has been read. A file that is rotated away while being followed is read to its end before the new one.
"""

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from kaa.kubelet.log_format import Record, parse_record, tail_offset
from kaa.kubelet.log_rotation import log_files
from kaa.lib.clock import Clock, parse_rfc3339

POLL_SECONDS = 0.1
"""Between looks at a log that is followed: half of it on average is the delay of a line."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    limit_bytes: int | None = None
    stream: str = "All"  # or Stdout, Stderr


def log_options(query: dict[str, str], now: datetime) -> LogOptions:
    """From the kubelet's query parameters. Raises ValueError."""
    since = parse_rfc3339(query["sinceTime"]) if query.get("sinceTime") else None
    if query.get("sinceSeconds"):
        since = now - timedelta(seconds=int(query["sinceSeconds"]))
    return LogOptions(
        follow=query.get("follow") == "true",
        timestamps=query.get("timestamps") == "true",
        tail_lines=int(query["tailLines"]) if query.get("tailLines") else None,
        since=since,
        limit_bytes=int(query["limitBytes"]) if query.get("limitBytes") else None,
        stream=query.get("stream") or "All",
    )


async def read_log(
    path: Path, options: LogOptions, clock: Clock, is_running: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Chunks of text. `is_running` says whether the container may still write."""
    left = options.limit_bytes
    formatter = _Formatter(options)
    async for line in _lines(path, options, clock, is_running):
        text = formatter.text(line)
        if left is not None:
            text = text[:left]
            left -= len(text)
        if text:
            yield text
        if left == 0:
            return


class _Formatter:
    """Remembers whether the last record was a part of a line: only a line's beginning has a time."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._in_line = False

    def text(self, line: bytes) -> bytes:
        record = parse_record(line)
        if record is None or not self._is_wanted(record):
            return b""
        prefix = f"{record.time} ".encode() if self._options.timestamps and not self._in_line else b""
        self._in_line = not record.text.endswith(b"\n")
        return prefix + record.text

    def _is_wanted(self, record: Record) -> bool:
        if self._options.stream not in ("All", record.stream.capitalize()):
            return False
        return self._options.since is None or parse_rfc3339(record.time) >= self._options.since


async def _lines(path: Path, options: LogOptions, clock: Clock, is_running: Callable[[], bool]) -> AsyncIterator[bytes]:
    files = log_files(path)
    starts = _starts(files, options.tail_lines)
    for file in files[:-1] if files and files[-1] == path else files:
        if file in starts:
            with file.open("rb") as old:
                old.seek(starts[file])
                for line in old:
                    yield line
    if not await _appears(path, options, clock, is_running):
        return
    current = path.open("rb")
    try:
        current.seek(starts.get(path, 0))
        partial = b""
        while True:
            was_running = is_running()
            for line in current:
                partial += line
                if partial.endswith(b"\n"):
                    yield partial
                    partial = b""
            if not options.follow:
                return
            if _is_rotated(path, current.fileno()):
                current.close()
                current = path.open("rb")
            elif not was_running:
                return  # what it wrote before it ended has just been read
            else:
                await clock.sleep(POLL_SECONDS)
    finally:
        current.close()


async def _appears(path: Path, options: LogOptions, clock: Clock, is_running: Callable[[], bool]) -> bool:
    """A runtime may make the file with the first line: a follower waits for it as long as it can come."""
    while True:
        was_running = is_running()
        if path.exists():
            return True
        if not (options.follow and was_running):
            return False
        await clock.sleep(POLL_SECONDS)


def _is_rotated(path: Path, descriptor: int) -> bool:
    return path.exists() and not os.path.samestat(path.stat(), os.fstat(descriptor))


def _starts(files: list[Path], tail_lines: int | None) -> dict[Path, int]:
    """Where to begin in each file that is read at all."""
    if tail_lines is None:
        return dict.fromkeys(files, 0)
    starts: dict[Path, int] = {}
    for file in reversed(files):
        starts[file], found = tail_offset(file, tail_lines)
        tail_lines -= found
        if tail_lines == 0:
            break
    return starts
