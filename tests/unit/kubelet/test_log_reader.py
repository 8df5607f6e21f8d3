"""Container logs as kubectl shows them."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from kaa.kubelet.log_format import tail_text
from kaa.kubelet.log_reader import LogOptions, log_options, read_log
from kaa.kubelet.log_rotation import MAX_BYTES, log_files, rotate
from kaa.lib.clock import WallClock, parse_rfc3339


class Reopener:
    """The one call of a runtime that rotation makes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def reopen_container_log(self, request: dict[str, str]) -> dict[str, str]:
        self.path.touch()
        return {}


def entry(second: int, text: str, *, stream: str = "stdout", tag: str = "F") -> str:
    return f"2030-01-01T00:00:{second:02d}.123456789+00:00 {stream} {tag} {text}\n"


async def read(path: Path, is_running: Callable[[], bool] = lambda: False, **options: object) -> str:
    chunks = read_log(path, LogOptions(**options), WallClock(), is_running)  # type: ignore[arg-type]
    return b"".join([chunk async for chunk in chunks]).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two rotated lines, then a split line and two more in the current file."""
    path = tmp_path / "0.log"
    (tmp_path / "0.log.20300101-000000").write_text(entry(1, "one") + entry(2, "two"))
    path.write_text(entry(3, "thr", tag="P") + entry(3, "ee") + entry(4, "four", stream="stderr") + entry(5, ""))
    return path


async def test_whole_log_across_rotated_files(log: Path) -> None:
    """Rotation is invisible, a line in parts is one line, an empty line stays."""
    assert await read(log) == "one\ntwo\nthree\nfour\n\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (0, ""),
        (1, "\n"),
        (2, "four\n\n"),
        (3, "three\nfour\n\n"),
        (4, "two\nthree\nfour\n\n"),
        (99, "one\ntwo\nthree\nfour\n\n"),
    ],
)
async def test_tail(log: Path, lines: int, expected: str) -> None:
    """tailLines counts whole lines, and reaches back into rotated files."""
    assert await read(log, tail_lines=lines) == expected


async def test_options(log: Path) -> None:
    """since, timestamps, limitBytes and stream each do what they say."""
    assert await read(log, since=parse_rfc3339("2030-01-01T00:00:04Z")) == "four\n\n"
    assert await read(log, limit_bytes=5) == "one\nt"
    assert await read(log, stream="Stderr") == "four\n"
    stamped = (await read(log, timestamps=True)).splitlines()
    assert stamped[2] == "2030-01-01T00:00:03.123456789+00:00 three"


def test_query() -> None:
    """sinceSeconds counts back from now; nonsense is an error of the caller's."""
    now = parse_rfc3339("2030-01-01T00:01:00Z")
    assert log_options({"sinceSeconds": "10", "follow": "true"}, now) == LogOptions(
        follow=True, since=parse_rfc3339("2030-01-01T00:00:50Z")
    )
    with pytest.raises(ValueError, match="invalid literal"):
        log_options({"tailLines": "x"}, now)


async def test_follow_through_a_rotation_until_the_container_ends(tmp_path: Path) -> None:
    """Lines written later are shown, also those around a rotation; the end of the container is the end."""
    path = tmp_path / "0.log"
    path.write_text(entry(1, "one"))
    running = True

    async def container() -> None:
        nonlocal running
        await asyncio.sleep(0.15)
        with path.open("a") as file:
            file.write(entry(2, "two"))
            path.rename(tmp_path / "0.log.20300101-000000")
            file.write(entry(3, "three"))
        path.write_text(entry(4, "four"))
        await asyncio.sleep(0.3)
        running = False

    text, _ = await asyncio.gather(read(path, lambda: running, follow=True), container())
    assert text == "one\ntwo\nthree\nfour\n"


async def test_follow_before_the_first_line(tmp_path: Path) -> None:
    """A container that runs and has said nothing yet is waited for; one that ends so has an empty log."""
    path = tmp_path / "0.log"
    running = True

    async def container(text: str) -> None:
        nonlocal running
        await asyncio.sleep(0.15)
        if text:
            path.write_text(text)
        running = False

    silent, _ = await asyncio.gather(read(path, lambda: running, follow=True), container(""))
    assert silent == ""
    running = True
    assert await read(path, lambda: running) == ""
    text, _ = await asyncio.gather(read(path, lambda: running, follow=True), container(entry(1, "one")))
    assert text == "one\n"


async def test_rotation_keeps_five_files(tmp_path: Path) -> None:
    """Only a large log is put aside, and only the newest four of those are kept."""
    path = tmp_path / "0.log"
    path.write_text("small")
    now = parse_rfc3339("2030-01-01T00:00:00Z")
    await rotate(Reopener(path), "c", path, now)  # type: ignore[arg-type]
    assert log_files(path) == [path]
    for hour in range(7):
        with path.open("wb") as file:
            file.truncate(MAX_BYTES)
        await rotate(Reopener(path), "c", path, now.replace(hour=hour))  # type: ignore[arg-type]
    files = [file.name for file in log_files(path)]
    assert files == [*(f"0.log.20300101-0{hour}0000" for hour in (3, 4, 5, 6)), "0.log"]


def test_tail_text_for_termination_messages(log: Path) -> None:
    """FallbackToLogsOnError takes the last lines, and at most so many bytes of them."""
    assert tail_text(log, 2, 1000) == "four\n\n"
    assert tail_text(log, 80, 4) == "ur\n\n"
    assert tail_text(log.with_name("none"), 80, 4) == ""
