"""Snapshots: one moment of a store that runs, and a store again that takes no revision twice."""

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kaa.cli.main import cli
from kaa.lib.clock import WallClock
from kaa.store.snapshots import REVISION_JUMP, restore, save
from kaa.store.sqlite import SQLiteStore
from kaa.store.store import Compacted, Delete, Put, StoreFailed

WRITER = """
import asyncio, sys
from pathlib import Path
from kaa.lib.clock import WallClock
from kaa.store.sqlite import SQLiteStore
from kaa.store.store import Put

async def main():
    store = await SQLiteStore.open(Path(sys.argv[1]), WallClock())
    for i in range(1_000_000):
        value = b"%d" % i
        await asyncio.gather(*(store.txn((), [Put(f"/{n}/a", value), Put(f"/{n}/b", value)]) for n in range(20)))
        if i == 20:
            print("open", flush=True)

asyncio.run(main())
"""


async def store_with(directory: Path, count: int) -> SQLiteStore:
    store = await SQLiteStore.open(directory, WallClock())
    for i in range(count):
        await store.txn((), [Put(f"/{i % 10}", b"%d" % i)])
    return store


@pytest.fixture
async def snapshot(tmp_path: Path) -> Path:
    """Ten keys at revision 25."""
    store = await store_with(tmp_path / "origin", 25)
    save(tmp_path / "origin", tmp_path / "snapshot")
    await store.close()
    return tmp_path / "snapshot"


async def test_save_and_restore(tmp_path: Path) -> None:
    """Everything is there again, deleted things are not, and the file is for its owner only: it holds Secrets."""
    store = await store_with(tmp_path / "one", 25)
    await store.txn((), [Delete("/3")])
    saved = save(tmp_path / "one", tmp_path / "file")
    assert (saved.revision, saved.keys) == (26, 9)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    await store.txn((), [Put("/later", b"1")])
    before = (await store.range("", revision=26)).items
    await store.close()
    assert restore(tmp_path / "file", tmp_path / "two") == saved
    restored = await SQLiteStore.open(tmp_path / "two", WallClock())
    assert (await restored.range("")).items == before
    assert stat.S_IMODE((tmp_path / "two/store.db").stat().st_mode) == 0o600
    await restored.close()
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["lock", "store.db"]


async def test_no_revision_is_given_twice(tmp_path: Path, snapshot: Path) -> None:
    """A client that has seen later revisions must not take new ones for those: it is told to list again."""
    store = await store_with(tmp_path / "one", 40)
    await store.close()
    restore(snapshot, tmp_path / "one")
    store = await SQLiteStore.open(tmp_path / "one", WallClock())
    assert store.revision == store.compacted_revision == 41
    with pytest.raises(Compacted):
        await anext(store.watch("", 41))
    assert (await store.txn((), [Put("/a", b"1")])).revision == 42
    assert (await store.range("")).count == 11
    await store.close()


@pytest.mark.parametrize("replaced", [None, b"", b"no database at all" * 1000])
async def test_revisions_jump_where_the_old_ones_are_not_known(
    tmp_path: Path, snapshot: Path, replaced: bytes | None
) -> None:
    """A store that is lost or damaged may have come far since the snapshot."""
    if replaced is not None:
        (tmp_path / "one").mkdir()
        (tmp_path / "one/store.db").write_bytes(replaced)
    restore(snapshot, tmp_path / "one")
    store = await SQLiteStore.open(tmp_path / "one", WallClock())
    assert store.revision == 25 + REVISION_JUMP + 1
    assert (await store.range("")).count == 10
    await store.close()


async def test_it_is_one_moment_of_a_store_that_another_process_writes(tmp_path: Path) -> None:
    """Each writer's two keys are written together, so they agree in every snapshot; the writer is not held up."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "one")]
    writer = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert await writer.stdout.readline() == b"open\n"
    try:
        revisions = []
        for i in range(3):
            revisions.append(save(tmp_path / "one", tmp_path / f"file{i}").revision)
            await asyncio.sleep(0.05)
        with pytest.raises(StoreFailed, match=f"in use by process {writer.pid}"):
            restore(tmp_path / "file0", tmp_path / "one")
    finally:
        writer.kill()
        await writer.wait()
    assert revisions[0] < revisions[1] < revisions[2]
    for i in range(3):
        restore(tmp_path / f"file{i}", tmp_path / f"copy{i}")
        store = await SQLiteStore.open(tmp_path / f"copy{i}", WallClock())
        values = {kv.key: kv.value for kv in (await store.range("")).items}
        assert len(values) == 40
        assert all(values[f"/{n}/a"] == values[f"/{n}/b"] for n in range(20))
        await store.close()
    # The writer was killed: what it left in its write-ahead log belongs to the snapshot, and to the count of revisions.
    after = save(tmp_path / "one", tmp_path / "after")
    assert after.revision >= revisions[2]
    restore(tmp_path / "file0", tmp_path / "one")
    store = await SQLiteStore.open(tmp_path / "one", WallClock())
    assert store.revision == after.revision + 1
    await store.close()


@pytest.mark.parametrize("damage", ["cut", "flipped", "longer", "empty", "text", "store"])
async def test_a_damaged_file_is_refused_and_the_store_stays(tmp_path: Path, snapshot: Path, damage: str) -> None:
    """Whatever has happened to it: nothing is replaced by half of something."""
    whole = snapshot.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    snapshot.write_bytes(
        {
            "cut": whole[:-4096],
            "flipped": bytes(flipped),
            "longer": whole + b"\0",
            "empty": b"",
            "text": b"hello\n" * 1000,
            "store": (tmp_path / "origin/store.db").read_bytes(),
        }[damage]
    )
    store = await store_with(tmp_path / "one", 3)
    await store.close()
    with pytest.raises(StoreFailed, match=rf"^cannot restore {snapshot}: it is damaged, or no snapshot of kaa$"):
        restore(snapshot, tmp_path / "one")
    store = await SQLiteStore.open(tmp_path / "one", WallClock())
    assert store.revision == 3
    await store.close()
    assert not list((tmp_path / "one").glob(".*"))


def test_what_cannot_be_saved_says_why(tmp_path: Path) -> None:
    """No store, and no place to write to."""
    with pytest.raises(StoreFailed, match="there is no store in"):
        save(tmp_path, tmp_path / "file")
    asyncio.run(_make(tmp_path / "one"))
    with pytest.raises(StoreFailed, match=r"cannot write .*/nowhere/file: No such file or directory"):
        save(tmp_path / "one", tmp_path / "nowhere/file")


async def _make(directory: Path) -> None:
    await (await store_with(directory, 1)).close()


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a person types, and what is said."""
    monkeypatch.setenv("KAA_HOME", str(tmp_path))
    asyncio.run(_make(tmp_path / "a/store"))
    (tmp_path / "a/cluster.json").write_text('{"name": "a", "index": 0, "api_port": 6443}')
    file = str(tmp_path / "file")
    cli.main(["snapshot", "save", file, "--name", "a"], standalone_mode=False)
    cli.main(["snapshot", "restore", file, "--name", "b"], standalone_mode=False)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Saved 1 objects at revision 1 (0.0 MB) to ")
    assert said[1] == "Restored 1 objects at revision 1 (0.0 MB); start the cluster with: kaa up --name b"
    kaa = [sys.executable, "-c", "from kaa.cli.main import main; main()", "snapshot", "restore", "--name", "b"]
    Path(file).write_bytes(b"rubbish")
    ran = subprocess.run([*kaa, file], env={**os.environ, "KAA_HOME": str(tmp_path)}, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (1, f"kaa: cannot restore {file}: it is damaged, or no snapshot of kaa\n")
