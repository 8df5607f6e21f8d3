"""The CRI log format, `2030-01-01T00:00:00.000000000Z stdout F text`, and finding one's way in such files.

A line that the runtime had to split is tagged P but for its last part, F. Rotated files are named
`<n>.log.<time>`; the newest is `<n>.log`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

READ_BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a log: `text` includes the newline unless the line goes on in the next record."""

    time: str
    stream: str
    text: bytes


def parse_record(line: bytes) -> Record | None:
    """None for a line that is not of the format (a crash's torn write, say)."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    text = parts[3] if len(parts) == 4 else b""
    is_partial = parts[2].split(b":")[0] == b"P"
    return Record(parts[0].decode(errors="replace"), parts[1].decode(), text if is_partial else text + b"\n")


def lines_backwards(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each whole line from the last to the first; a block of the file at a time."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        rest = b""
        while end > 0:
            start = max(0, end - READ_BLOCK_BYTES)
            file.seek(start)
            block = file.read(end - start) + rest
            lines = block.split(b"\n")
            rest, offset = lines[0], start + len(block)
            for line in reversed(lines[1:]):
                offset -= len(line)
                if line:
                    yield offset, line
                offset -= 1
            end = start
        if rest:
            yield 0, rest


def tail_offset(path: Path, lines: int) -> tuple[int, int]:
    """Where the last so many lines begin, and how many there are; a line in parts counts once."""
    seen = 0
    position = path.stat().st_size
    for offset, line in lines_backwards(path):
        record = parse_record(line)
        if record is not None and record.text.endswith(b"\n"):
            if seen == lines:
                break
            seen += 1
        position = offset
    return position, seen


def tail_text(path: Path, lines: int, limit_bytes: int) -> str:
    """The last lines of a log as text, at most so many bytes. "" when there is no such file."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(tail_offset(path, lines)[0])
        records = [record for line in file if (record := parse_record(line))]
    return b"".join(record.text for record in records)[-limit_bytes:].decode(errors="replace")
