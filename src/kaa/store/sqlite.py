"""The store in a SQLite file: the default.

The change log is one table, appended in the order of its integer key; nothing else is indexed on disk, because every
key's versions are in memory (`index.py`). A group of transactions is one INSERT of many rows, run by the one writer
thread: the event loop never waits for the disk, and the thread takes the interpreter's lock once a group, not once a
row. WAL and synchronous=FULL: a commit is on the disk when it returns. Values are read on the event loop by a second
connection, which WAL never makes wait: 4 us each from the operating system's cache of the file.

    <directory>/store.db (and -wal, -shm)     readable by the owner only
    <directory>/lock                          held by the process that has the store open; its pid is inside
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from kaa.lib.clock import Clock
from kaa.store.log import Batch, Change, Contents
from kaa.store.log_store import LogStore
from kaa.store.store import StoreFailed

T = TypeVar("T")

FILE_NAME = "store.db"

FORMAT = 1
"""PRAGMA user_version of files that this code reads."""

ROWS_PER_STATEMENT = 128
"""Rows that one INSERT carries; each number of them is a statement of its own in SQLite's cache."""

SPARE_PAGES = 1024
"""Free pages (4 KiB each) that the file keeps for new rows; what is more goes back to the file system."""

WAL_LIMIT_BYTES = 16 * 1024 * 1024
"""The write-ahead log file is cut back to this after a checkpoint."""

SCHEMA = f"""
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE change (
    id              INTEGER PRIMARY KEY,  -- revision and position in its transaction, see log.py
    key             TEXT NOT NULL,
    create_revision INTEGER NOT NULL,     -- 0: a deletion
    lease           INTEGER NOT NULL,     -- 0: none
    value           BLOB
);
CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_seconds INTEGER NOT NULL);
CREATE TABLE compaction (revision INTEGER NOT NULL);
INSERT INTO compaction VALUES (0);
PRAGMA user_version = {FORMAT};
COMMIT;
"""


READ = "SELECT value FROM change WHERE id = ?"
READ_MANY = "SELECT id, value FROM change WHERE id IN (SELECT value FROM json_each(?))"
READ_CHANGES = "SELECT * FROM change WHERE id >= ? AND id < ? AND substr(key, 1, length(?)) = ? ORDER BY id"
READ_INDEX = "SELECT id, key, create_revision, lease, NULL FROM change ORDER BY id"
FORGET_MANY = "DELETE FROM change WHERE id IN (SELECT value FROM json_each(?))"

ADVICE = {
    sqlite3.SQLITE_FULL: "no space left on device; free space and try again",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a copy, or move it away to begin anew",
    sqlite3.SQLITE_NOTADB: "the file is damaged; restore it from a copy, or move it away to begin anew",
    sqlite3.SQLITE_READONLY: "the file may not be written; check its owner and mode",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; check the directory's owner and mode",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written, or is full; see the kernel's log",
}
"""What SQLite's primary result codes mean for the person who runs the cluster."""


class SQLiteStore(LogStore):
    @classmethod
    async def open(cls, directory: Path, clock: Clock) -> "SQLiteStore":
        """Opens the store in that directory, or makes it. Raises StoreFailed: in use, damaged, not writable."""
        log = SQLiteLog(directory)
        try:
            store = cls(log, await log.open(), clock)
            await store._start()
        except BaseException:
            await log.close()
            raise
        return store


class SQLiteLog:
    def __init__(self, directory: Path) -> None:
        """Takes the directory's lock."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = lock_directory(directory)
        except OSError as error:
            raise StoreFailed(f"cannot open the store in {directory}: {error.strerror}") from error
        self._path = directory / FILE_NAME
        self._thread = ThreadPoolExecutor(1, "store-writer")
        self._connections: list[sqlite3.Connection] = []

    async def open(self) -> Contents:
        return await self._in_thread(self._open)

    def _open(self) -> Contents:
        with self._readable_errors("open"):
            # SQLite gives the files beside it the same mode.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._writer = self._connect("rw")
            self._check_format()
            self._writer.execute("PRAGMA synchronous = FULL")
            self._writer.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
            self._reader = self._connect("ro")
            (compacted,) = self._reader.execute("SELECT revision FROM compaction").fetchone()
            leases = dict(self._reader.execute("SELECT id, ttl_seconds FROM lease").fetchall())
            changes = [Change(*row) for row in self._reader.execute(READ_INDEX)]
            return Contents(compacted, leases, changes)

    def _connect(self, mode: str) -> sqlite3.Connection:
        # Made in one thread and used in another, but never in two at once.
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=2 * ROWS_PER_STATEMENT,
        )
        self._connections.append(connection)
        return connection

    def _check_format(self) -> None:
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        (tables,) = self._writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not version and not tables:
            self._writer.executescript(SCHEMA)
        elif version != FORMAT:
            raise StoreFailed(f"cannot open {self._path}: its format is {version}, this version of kaa reads {FORMAT}")
        (finding,) = self._writer.execute("PRAGMA quick_check(1)").fetchone()
        if finding != "ok":
            raise StoreFailed(f"cannot open {self._path}: {ADVICE[sqlite3.SQLITE_CORRUPT]} ({finding})")

    def append(self, batch: Batch) -> "asyncio.Future[None]":
        return self._in_thread(self._append, batch)

    def _append(self, batch: Batch) -> None:
        with self._readable_errors("write"):
            if len(batch.changes) <= ROWS_PER_STATEMENT and not batch.leases:
                self._insert(batch.changes)  # a transaction by itself
                return
            with self._transaction():
                for start in range(0, len(batch.changes), ROWS_PER_STATEMENT):
                    self._insert(batch.changes[start : start + ROWS_PER_STATEMENT])
                for lease, ttl_seconds in batch.leases.items():
                    if ttl_seconds:
                        self._writer.execute("INSERT INTO lease VALUES (?, ?)", (lease, ttl_seconds))
                    else:
                        self._writer.execute("DELETE FROM lease WHERE id = ?", (lease,))

    def _insert(self, changes: Sequence[Change]) -> None:
        rows = ",".join(["(?,?,?,?,?)"] * len(changes))
        self._writer.execute(f"INSERT INTO change VALUES {rows}", [field for change in changes for field in change])

    def forget(self, compacted_revision: int, ids: Sequence[int]) -> "asyncio.Future[None]":
        return self._in_thread(self._forget, compacted_revision, tuple(ids))

    def _forget(self, compacted_revision: int, ids: Sequence[int]) -> None:
        with self._readable_errors("write"):
            with self._transaction():
                self._writer.execute("UPDATE compaction SET revision = ?", (compacted_revision,))
                self._writer.execute(FORGET_MANY, (_json(ids),))
            (free,) = self._writer.execute("PRAGMA freelist_count").fetchone()
            if free > SPARE_PAGES:
                # `execute` would stop after the first page: the statement is a row a page, of no columns.
                self._writer.executescript(f"PRAGMA incremental_vacuum({free - SPARE_PAGES})")

    def values(self, ids: Sequence[int]) -> list[bytes]:
        with self._readable_errors("read"):
            if len(ids) == 1:
                return [self._reader.execute(READ, ids).fetchone()[0]]
            found = dict(self._reader.execute(READ_MANY, (_json(ids),)).fetchall())
            return [found[id] for id in ids]

    def changes(self, first_id: int, end_id: int, prefix: str) -> list[Change]:
        with self._readable_errors("read"):
            rows = self._reader.execute(READ_CHANGES, (first_id, end_id, prefix, prefix))
            return [Change(*row) for row in rows]

    async def close(self) -> None:
        """Finishes what was asked for, then releases the directory."""
        await self._in_thread(self._close_connections)
        self._thread.shutdown()
        os.close(self._lock)

    def _close_connections(self) -> None:
        # The writer, first to be made, goes last: it then folds the write-ahead log into the file.
        for connection in reversed(self._connections):
            connection.close()

    def _in_thread(self, function: Callable[..., T], *args: object) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:  # SQLite ends it by itself after some errors
                self._writer.execute("ROLLBACK")
            raise

    def _readable_errors(self, verb: str) -> AbstractContextManager[None]:
        return readable_errors(verb, self._path)


@contextmanager
def readable_errors(verb: str, path: Path) -> Iterator[None]:
    """Makes what SQLite and the operating system say of that file a StoreFailed."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        raise StoreFailed(f"cannot {verb} {path}: {ADVICE.get(code, str(error))}") from error
    except OSError as error:
        raise StoreFailed(f"cannot {verb} {path}: {error.strerror}") from error


def _json(ids: Sequence[int]) -> str:
    return f"[{','.join(map(str, ids))}]"


def lock_directory(directory: Path) -> int:
    """Holds the directory for this process, until the descriptor is closed. Raises OSError, StoreFailed."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode()
        os.close(descriptor)
        raise StoreFailed(
            f"the store in {directory} is in use by process {holder}: only one API server can open it; stop that first"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
