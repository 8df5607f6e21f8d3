"""Compaction by itself: the past is bounded, whoever falls behind is told, and of several servers one does it."""

import asyncio
from pathlib import Path

import orjson
import pytest

from kaa.lib.clock import VirtualClock, VirtualEventLoop
from kaa.server.app import APIServer
from kaa.server.compaction import COMPACTION_SECONDS, TURN_KEY, compact_regularly, take_turn
from kaa.server.request import Request
from kaa.store.memory import MemoryStore
from kaa.store.sqlite import SQLiteStore
from kaa.store.store import Compacted, Put, StoreFailed

ROUND = COMPACTION_SECONDS


def test_what_is_older_than_ten_minutes_is_gone_and_the_last_five_are_kept() -> None:
    """Upstream's interval: a paged list has at least five minutes, and history at most ten."""

    async def scenario() -> None:
        clock = VirtualClock(1)
        store = MemoryStore(clock)
        compacting = asyncio.create_task(compact_regularly(store, clock))
        revision_at: list[int] = []
        for minute in range(30):
            await store.txn((), [Put("/registry/core/configmaps/a/b", b"%d" % minute)])
            revision_at.append(store.revision)
            await clock.sleep(60)
            kept = store.revision - store.compacted_revision
            if minute >= 10:
                assert store.compacted_revision >= revision_at[minute - 10]
                assert store.compacted_revision <= revision_at[minute - 4]
                assert kept < 15
        compacting.cancel()

    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        runner.run(scenario())


async def test_of_several_servers_one_compacts() -> None:
    """The others learn from the key that it has been done, and take over when nobody does it any more."""
    store = MemoryStore(VirtualClock(1))
    first, second = await take_turn(store, 0, 0), await take_turn(store, 0, 0)
    await store.txn((), [Put("/a", b"1")])
    for _ in range(3):
        compacted = store.compacted_revision
        first = await take_turn(store, *first)
        assert store.compacted_revision > compacted
        compacted = store.compacted_revision
        second = await take_turn(store, *second)
        assert store.compacted_revision == compacted
    second = await take_turn(store, *second)  # the first has died
    assert store.compacted_revision > compacted


async def test_a_store_that_fails_for_a_while_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    """An etcd that elects a leader, or a full disk, must not take the server down with it."""
    clock = VirtualClock(1)

    class Failing(MemoryStore):
        async def compact(self, revision: int) -> None:
            raise StoreFailed("no space left on device")

    store = Failing(clock)
    rounds = 0

    class Counting(VirtualClock):
        async def sleep(self, seconds: float) -> None:
            nonlocal rounds
            rounds += 1
            if rounds > 5:
                raise asyncio.CancelledError

    # The first round only begins; a turn that came to nothing is noticed in the round after it.
    with pytest.raises(asyncio.CancelledError):
        await compact_regularly(store, Counting(1))
    assert caplog.text.count("cannot compact: no space left on device") == 2


async def test_the_file_stays_bounded(tmp_path: Path) -> None:
    """One object written for ever takes as much room as one object."""
    clock = VirtualClock(1)
    store = await SQLiteStore.open(tmp_path, clock)
    sizes = []
    turn = (0, 0)
    for _ in range(6):
        for start in range(0, 2000, 100):
            await asyncio.gather(*(store.txn((), [Put("/a", bytes(8192))]) for _ in range(start, start + 100)))
        turn = await take_turn(store, *turn)
        sizes.append((tmp_path / "store.db").stat().st_size)
    await store.close()
    assert max(sizes) < 48 * 1024 * 1024  # two rounds of 16 MB, and what the file keeps in reserve
    assert sizes[-1] <= sizes[2] * 1.1
    assert (tmp_path / "store.db").stat().st_size < 48 * 1024 * 1024


async def test_who_is_behind_gets_410_expired() -> None:
    """A watch and an exact list from before are told to list again, in upstream's words."""
    clock = VirtualClock(1)
    store = MemoryStore(clock)
    server = APIServer(store, clock)
    await server.start()
    configmap = b'{"metadata":{"name":"a"},"data":{"a":"%d"}}'
    namespace = b'{"metadata":{"name":"default"}}'
    await server.handle(Request("POST", "/api/v1/namespaces", body=namespace))
    path = "/api/v1/namespaces/default/configmaps"
    assert (await server.handle(Request("POST", path, body=configmap % 1))).status == 201
    old = store.revision
    for i in range(3):
        assert (await server.handle(Request("PUT", f"{path}/a", body=configmap % (2 + i)))).status == 200
    await store.compact(store.revision)
    query = [("resourceVersion", str(old)), ("resourceVersionMatch", "Exact")]
    exact = await server.handle(Request("GET", path, query=query))
    assert exact.status == 410
    assert b'"reason":"Expired"' in exact.body
    await server.stop()

    restarted = APIServer(store, clock)
    await restarted.start()
    watch = await restarted.handle(Request("GET", path, query=[("watch", "1"), ("resourceVersion", str(old))]))
    assert watch.status == 200  # as upstream: a watch that has begun tells its errors as events
    assert watch.chunks is not None
    event = orjson.loads(await anext(watch.chunks))
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    with pytest.raises(Compacted):
        await store.range("/", revision=old)
    await restarted.stop()
    await store.close()


async def test_the_turn_is_no_object() -> None:
    """The key moves the revision and is served nowhere; consistent reads still catch up with it."""
    clock = VirtualClock(1)
    store = MemoryStore(clock)
    server = APIServer(store, clock)
    await server.start()
    await take_turn(store, 0, 0)
    answer = await server.handle(Request("GET", "/api/v1/namespaces"))
    assert answer.status == 200
    assert TURN_KEY.encode() not in answer.body
    await server.stop()
    await store.close()
