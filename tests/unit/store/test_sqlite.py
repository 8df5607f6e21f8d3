"""What only a store on disk can get wrong: crashes, full disks, damage, two processes, growth."""

import asyncio
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaa.lib.clock import WallClock
from kaa.store.sqlite import SPARE_PAGES, SQLiteStore
from kaa.store.store import Compare, Delete, Put, StoreFailed

WRITER = """
import asyncio, os, sys
from pathlib import Path
from kaa.lib.clock import WallClock
from kaa.store.sqlite import SQLiteStore
from kaa.store.store import Put

async def write(store, name):
    for i in range(1_000_000):
        key = f"/{name}/{i % 50}"
        answer = await store.txn((), [Put(key, b"%d" % i * 200)])
        os.write(1, f"{key} {answer.revision} {i}\\n".encode())

async def main():
    store = await SQLiteStore.open(Path(sys.argv[1]), WallClock())
    os.write(1, b"open\\n")
    async def compact():
        while True:
            await asyncio.sleep(0.02)
            if store.revision - store.compacted_revision > 200:
                await store.compact(store.revision - 100)
    await asyncio.gather(*(write(store, name) for name in "abcdefgh"), compact())

asyncio.run(main())
"""


async def open_store(directory: Path) -> SQLiteStore:
    return await SQLiteStore.open(directory, WallClock())


def killed_while_writing(directory: Path, lines: int) -> dict[str, tuple[int, int]]:
    """Runs a writer until it has acknowledged that many writes; the last one of each key as (revision, i)."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(directory)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"open\n"
    acknowledged = [writer.stdout.readline() for _ in range(lines)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += writer.stdout.readlines()
    writer.wait()
    writer.stdout.close()
    last: dict[str, tuple[int, int]] = {}
    for line in acknowledged:
        if line.endswith(b"\n"):  # else the kill cut it
            key, revision, i = line.split()
            last[key.decode()] = int(revision), int(i)
    return last


async def test_an_acknowledged_write_survives_kill_9(tmp_path: Path) -> None:
    """Killed at random moments of concurrent writing and compacting, five times over the same file."""
    rng = random.Random(0)
    for _ in range(5):
        last = killed_while_writing(tmp_path, rng.randrange(1, 3000))
        store = await open_store(tmp_path)
        for key, (revision, i) in last.items():
            found = await store.get(key)
            assert found is not None
            # A later write of the same key may have been committed and not acknowledged.
            assert found.mod_revision > revision or (found.mod_revision, found.value) == (revision, b"%d" % i * 200)
        assert store.revision >= max(revision for revision, _ in last.values())
        await store.close()


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """Values, revisions, history, leases and how far it is compacted."""
    store = await open_store(tmp_path)
    lease = await store.grant(60)
    await store.txn((), [Put("/a", b"1"), Put("/leased", b"1", lease)])
    await store.txn((), [Put("/a", b"2"), Put("/b", b"1")])
    await store.txn((), [Delete("/b")])
    await store.compact(2)
    await store.compact(3)
    await store.close()
    store = await open_store(tmp_path)
    assert (store.revision, store.compacted_revision) == (3, 3)
    found = await store.get("/a")
    assert found is not None
    assert (found.value, found.create_revision, found.mod_revision) == (b"2", 1, 2)
    await store.keep_alive(lease)
    await store.revoke(lease)
    assert [kv.key for kv in (await store.range("/")).items] == ["/a"]
    await store.close()


async def test_a_compaction_cut_short_is_finished_at_the_next_start(tmp_path: Path) -> None:
    """A crash after the mark was written and before the rows were dropped leaves nothing behind for good."""
    store = await open_store(tmp_path)
    for i in range(5):
        await store.txn((), [Put("/a", b"%d" % i)])
    await store.close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("UPDATE compaction SET revision = 4")
    connection.close()
    store = await open_store(tmp_path)
    assert store.compacted_revision == 4
    await store.close()
    connection = sqlite3.connect(tmp_path / "store.db")
    assert connection.execute("SELECT count(*) FROM change").fetchone() == (2,)
    connection.close()


async def test_only_one_process_opens_a_store(tmp_path: Path) -> None:
    """Two would each assign the same revisions."""
    store = await open_store(tmp_path)
    with pytest.raises(StoreFailed, match=rf"in use by process {os.getpid()}: only one API server"):
        await open_store(tmp_path)
    await store.close()
    await (await open_store(tmp_path)).close()


async def test_only_the_owner_reads_the_files(tmp_path: Path) -> None:
    """Secrets are in them."""
    store = await open_store(tmp_path / "store")
    await store.txn((), [Put("/a", b"1")])
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    files = list((tmp_path / "store").iterdir())
    assert sorted(file.name for file in files) == ["lock", "store.db", "store.db-shm", "store.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    await store.close()


async def filled(directory: Path, keys: int = 100) -> Path:
    store = await open_store(directory)
    await store.txn((), [Put(f"/{i}", bytes(3000)) for i in range(keys)])
    await store.close()
    return directory / "store.db"


async def test_a_damaged_file_is_said_at_open(tmp_path: Path) -> None:
    """Not a stack trace, and not a wrong answer later."""
    path = await filled(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(StoreFailed, match=r"cannot open .*store\.db: the file is damaged; restore it"):
        await open_store(tmp_path)
    path.write_bytes(whole[: 4096 * 20] + bytes(4096 * 30) + whole[4096 * 50 :])
    with pytest.raises(StoreFailed, match="the file is damaged"):
        await open_store(tmp_path)
    path.write_bytes(whole)
    await (await open_store(tmp_path)).close()


async def test_damage_under_a_running_store_is_told_to_whoever_reads_it(tmp_path: Path) -> None:
    """Readers and watchers of the damaged part get the reason; writes and the rest go on."""
    path = await filled(tmp_path, keys=1500)  # more than the reader's own cache holds
    store = await open_store(tmp_path)
    with path.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(bytes(4096 * 40))
    watching = asyncio.ensure_future(anext(store.watch("/1", store.revision + 1)))
    await asyncio.sleep(0)
    with pytest.raises(StoreFailed, match=r"cannot read .*store\.db: the file is damaged"):
        await store.get("/1")
    assert (await store.txn((), [Put("/1", b"new")])).succeeded
    with pytest.raises(StoreFailed, match="the file is damaged"):
        await watching
    found = await store.get("/1")
    assert found is not None
    assert found.value == b"new"
    await store.close()


async def test_a_file_of_another_version_is_said_at_open(tmp_path: Path) -> None:
    """A downgrade must not read what it does not understand."""
    path = await filled(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreFailed, match="its format is 99"):
        await open_store(tmp_path)


async def test_a_directory_that_cannot_be_made_is_said_at_open(tmp_path: Path) -> None:
    """The path and the reason, for the person who typed it."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreFailed, match=r"cannot open the store in .*file/store: Not a directory"):
        await open_store(tmp_path / "file" / "store")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


async def test_a_full_disk_is_readable_and_harmless(small_disk: Path) -> None:
    """Failed writes have not happened, accepted ones are all there, and space that comes back is used."""
    store = await open_store(small_disk / "store")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    accepted: list[str] = []
    failures: list[BaseException] = []
    for start in range(0, 600, 20):
        keys = [f"/{i:03}" for i in range(start, start + 20)]
        answers = await asyncio.gather(
            *(store.txn([Compare(key, 0)], [Put(key, bytes(3000))]) for key in keys), return_exceptions=True
        )
        failures += [answer for answer in answers if isinstance(answer, BaseException)]
        accepted += [key for key, answer in zip(keys, answers, strict=True) if not isinstance(answer, BaseException)]
    assert failures
    for failure in failures:
        assert isinstance(failure, StoreFailed)
        assert "no space left on device; free space and try again" in str(failure)
    assert [kv.key for kv in (await store.range("/")).items] == accepted
    ballast.unlink()
    revision = store.revision
    assert (await store.txn([Compare("/x", 0)], [Put("/x", bytes(3000))])).revision == revision + 1
    await store.close()
    store = await open_store(small_disk / "store")
    assert [kv.key for kv in (await store.range("/")).items] == [*accepted, "/x"]
    await store.close()


async def test_the_file_does_not_grow_with_history(tmp_path: Path) -> None:
    """What compaction drops is used again, and given back when it is much."""
    store = await open_store(tmp_path)
    sizes = []
    for _ in range(3):
        for _ in range(20):
            await asyncio.gather(*(store.txn((), [Put(f"/{i}", os.urandom(3000))]) for i in range(100)))
        await store.compact(store.revision)
        sizes.append((tmp_path / "store.db").stat().st_size)
    await store.close()
    assert (tmp_path / "store.db").stat().st_size < (SPARE_PAGES + 300) * 4096
    assert max(sizes) < 2500 * 4096
