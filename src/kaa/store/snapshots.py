"""Copies of a SQLite store: saved while it runs, and made a store again.

A snapshot file is the database at one moment, and behind it the SHA-256 of all that: damage anywhere is found before
anything is replaced. It is read by a connection of its own, through SQLite's backup: the server that has the store
open is not asked, and waits for nothing.

A restored store does not take up where the snapshot was. Clients may have seen later revisions, and would take what
comes next for what they know already; so the next revision follows the newest of the store that is replaced, or jumps
ahead if that cannot be known, and history before it counts as compacted: whoever was watching lists again.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kaa.store.log import POSITION_BITS
from kaa.store.sqlite import ADVICE, FILE_NAME, FORMAT, lock_directory, readable_errors
from kaa.store.store import StoreFailed

REVISION_JUMP = 1_000_000_000
"""How far revisions jump where the replaced store's are not known: as etcd's documentation advises."""

DIGEST_BYTES = hashlib.sha256().digest_size
CHUNK_BYTES = 1024 * 1024

NEWEST = f"""SELECT max((SELECT revision FROM compaction),
                    coalesce((SELECT max(id) FROM change), 0) >> {POSITION_BITS})"""
LIVE_KEYS = "SELECT count(*) FROM (SELECT create_revision, max(id) FROM change GROUP BY key) WHERE create_revision > 0"


@dataclass(frozen=True, slots=True)
class Snapshot:
    revision: int
    keys: int
    size_bytes: int


def save(directory: Path, file: Path) -> Snapshot:
    """Writes the store in that directory to the file, all or nothing; only its owner reads it. Raises StoreFailed."""
    source = directory / FILE_NAME
    if not source.exists():
        raise StoreFailed(f"there is no store in {directory}")
    with _new_file(file) as (copy, temporary):
        with (
            readable_errors("read", source),
            closing(_connect(source, "ro")) as store,
            closing(sqlite3.connect(temporary, isolation_level=None)) as database,
        ):
            store.backup(database)
            # One file, without the write-ahead log that the store has beside it.
            database.execute("PRAGMA journal_mode = DELETE")
            found = _describe(database, temporary.stat().st_size)
        with readable_errors("write", file):
            digest = _digest(copy, temporary.stat().st_size)
            copy.seek(0, os.SEEK_END)
            copy.write(digest)
    return found


def restore(file: Path, directory: Path) -> Snapshot:
    """Makes the snapshot the store in that directory, in place of what is there.

    Raises StoreFailed, when that is in use or the file is damaged; then all is as it was.
    """
    with readable_errors("open", directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = lock_directory(directory)
    try:
        target = directory / FILE_NAME
        with _new_file(target) as (copy, temporary):
            _copy_checked(file, copy)
            with readable_errors("write", temporary), closing(sqlite3.connect(temporary)) as database:
                found = _describe(database, temporary.stat().st_size)
                database.execute("UPDATE compaction SET revision = ?", (_continues_at(found, target),))
                database.commit()
                database.execute("PRAGMA journal_mode = WAL")
            _remove_log(target)
        return found
    finally:
        os.close(held)


@contextmanager
def _new_file(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A file beside `path` that takes its place at the end of the block, or is removed if that fails."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with readable_errors("write", path):
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            yield file, temporary
            with readable_errors("write", path):
                file.flush()
                os.fsync(descriptor)
                temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _copy_checked(file: Path, copy: BinaryIO) -> None:
    """Copies the database of a snapshot file. Raises StoreFailed when a byte of it is not as it was saved."""
    with readable_errors("read", file), file.open("rb") as snapshot:
        size = os.fstat(snapshot.fileno()).st_size - DIGEST_BYTES
        damaged = StoreFailed(f"cannot restore {file}: it is damaged, or no snapshot of kaa")
        if size <= 0:
            raise damaged
        expected = _digest(snapshot, size)
        if snapshot.read(DIGEST_BYTES) != expected:
            raise damaged
        snapshot.seek(0)
        for chunk in _chunks(snapshot, size):
            copy.write(chunk)
        copy.flush()


def _digest(file: BinaryIO, size: int) -> bytes:
    """Of the file's first bytes; it is left behind them."""
    file.seek(0)
    digest = hashlib.sha256()
    for chunk in _chunks(file, size):
        digest.update(chunk)
    return digest.digest()


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size and (chunk := file.read(min(size, CHUNK_BYTES))):
        yield chunk
        size -= len(chunk)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)


def _describe(database: sqlite3.Connection, size_bytes: int) -> Snapshot:
    """Raises StoreFailed for what is no whole store."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version != FORMAT:
        raise StoreFailed(f"the store's format is {version}, this version of kaa reads {FORMAT}")
    (finding,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise StoreFailed(f"the store cannot be copied: {ADVICE[sqlite3.SQLITE_CORRUPT]} ({finding})")
    (revision,) = database.execute(NEWEST).fetchone()
    (keys,) = database.execute(LIVE_KEYS).fetchone()
    return Snapshot(revision, keys, size_bytes)


def _continues_at(snapshot: Snapshot, replaced: Path) -> int:
    """The revision that the restored store begins with: one that no client has seen."""
    try:
        with closing(_connect(replaced, "rw")) as database:
            (newest,) = database.execute(NEWEST).fetchone()
    except sqlite3.Error:
        # There is none, or it cannot be read.
        newest = snapshot.revision + REVISION_JUMP
    return int(max(newest, snapshot.revision)) + 1


def _remove_log(path: Path) -> None:
    """What a killed server has left beside its file would be taken for the restored file's."""
    with readable_errors("write", path):
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
