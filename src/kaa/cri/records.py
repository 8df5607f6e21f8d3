"""Small JSON files that survive a crash: each is replaced as a whole, so a reader sees the old one or the new one."""

import os
from pathlib import Path
from typing import Any

import orjson


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Replaces the file. `durable` also survives the loss of power, at the price of two fsyncs."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(orjson.dumps(value))
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        sync_directory(path.parent)


def read_json(path: Path) -> Any:
    """The file's value, or None when there is no such file."""
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Records:
    """One JSON file a record in one directory, by id.

    Not durable against loss of power: what they describe (processes, mounts) does not survive that either.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def load(self) -> dict[str, Any]:
        names = (path for path in sorted(self._directory.iterdir()) if path.suffix == ".json" and path.name[0] != ".")
        return {path.stem: read_json(path) for path in names}

    def save(self, identifier: str, record: Any) -> None:
        write_json(self._directory / f"{identifier}.json", record, durable=False)

    def delete(self, identifier: str) -> None:
        (self._directory / f"{identifier}.json").unlink(missing_ok=True)
