"""What every Store promises (see `kaa/store/store.py`): each implementation passes this suite."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.etcd_server import etcd_server, needs_etcd

from kaa.lib.clock import WallClock
from kaa.server.encryption.configuration import parse_configuration
from kaa.server.encryption.store import EncryptedStore
from kaa.store.etcd import EtcdStore
from kaa.store.etcd_client import EtcdServers
from kaa.store.memory import MemoryStore
from kaa.store.sqlite import SQLiteStore
from kaa.store.store import (
    Compacted,
    Compare,
    Delete,
    Event,
    FutureRevision,
    KeyValue,
    Operation,
    Page,
    Put,
    Store,
    StoreFailed,
    Transaction,
)
from kaa.store.watchers import MAX_WAITING_EVENTS


class ManualClock:
    """A clock that a test moves: timers fire in `advance`, so that leases end when the test says so."""

    lease_seconds = 60

    def __init__(self) -> None:
        self.random = random.Random(1)
        self.elapsed_seconds = 0.0
        self.timers: list[tuple[float, asyncio.TimerHandle]] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.elapsed_seconds, UTC)

    def monotonic(self) -> float:
        return self.elapsed_seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def uuid(self) -> str:
        return "0"

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        handle = asyncio.TimerHandle(0, callback, args, loop)
        self.timers.append((self.elapsed_seconds + seconds, handle))
        return handle

    async def wait(self, seconds: float) -> None:
        self.elapsed_seconds += seconds
        due = [handle for moment, handle in self.timers if moment <= self.elapsed_seconds]
        self.timers = [timer for timer in self.timers if timer[0] > self.elapsed_seconds]
        for handle in due:
            if not handle.cancelled():
                handle._run()


class RealClock(WallClock):
    """For a store whose leases end by somebody else's clock."""

    lease_seconds = 2

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


AnyClock = ManualClock | RealClock


@asynccontextmanager
async def memory(directory: Path) -> AsyncIterator[tuple[Store, AnyClock]]:
    clock = ManualClock()
    yield MemoryStore(clock), clock


@asynccontextmanager
async def sqlite(directory: Path) -> AsyncIterator[tuple[Store, AnyClock]]:
    clock = ManualClock()
    yield await SQLiteStore.open(directory, clock), clock


@asynccontextmanager
async def etcd(directory: Path) -> AsyncIterator[tuple[Store, AnyClock]]:
    clock = RealClock()
    async with etcd_server(directory) as url:
        yield await EtcdStore.open(EtcdServers(urls=(url,)), clock), clock


class Beneath:
    """A store whose keys all lie beneath a prefix of another store's: there, they are Secrets."""

    PREFIX = "/registry/core/secrets"

    def __init__(self, store: Store) -> None:
        self._store = store
        self.current_revision, self.compact = store.current_revision, store.compact
        self.grant, self.keep_alive, self.revoke, self.close = store.grant, store.keep_alive, store.revoke, store.close

    @property
    def revision(self) -> int:
        return self._store.revision

    @property
    def compacted_revision(self) -> int:
        return self._store.compacted_revision

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        return self._out(await self._store.get(self.PREFIX + key, revision=revision))

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        start = self.PREFIX + start if start else ""
        page = await self._store.range(self.PREFIX + prefix, start=start, limit=limit, revision=revision)
        return replace(page, items=[self._out(kv) for kv in page.items])

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> Transaction:
        done = await self._store.txn(
            [compare._replace(key=self.PREFIX + compare.key) for compare in compares],
            [operation._replace(key=self.PREFIX + operation.key) for operation in operations],
        )
        return done._replace(current=tuple(self._out(kv) for kv in done.current))

    async def watch(self, prefix: str, from_revision: int) -> AsyncGenerator[list[Event], None]:
        async with aclosing(self._store.watch(self.PREFIX + prefix, from_revision)) as watch:
            async for events in watch:
                yield [self._event(event) for event in events]

    def _event(self, event: Event) -> Event:
        key = event.key.removeprefix(self.PREFIX)
        return Event(key, event.revision, self._out(event.current), self._out(event.previous))

    def _out(self, kv: Any) -> Any:
        return None if kv is None else kv._replace(key=kv.key.removeprefix(self.PREFIX))


ENCRYPTION = """
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers: [{aesgcm: {keys: [{name: one, secret: MTIzNDU2Nzg5MDEyMzQ1Ng==}]}}]
"""


@asynccontextmanager
async def encrypted(directory: Path) -> AsyncIterator[tuple[Store, AnyClock]]:
    async with sqlite(directory) as (store, clock):
        yield Beneath(EncryptedStore(store, parse_configuration(ENCRYPTION, clock.random))), clock


Opener = Callable[[Path], AbstractAsyncContextManager[tuple[Store, AnyClock]]]


@pytest.fixture(params=[memory, sqlite, encrypted, pytest.param(etcd, marks=needs_etcd)])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, AnyClock]]:
    opener: Opener = request.param
    async with opener(tmp_path) as (store, clock):
        yield store, clock
        await store.close()


@pytest.fixture
def store(opened: tuple[Store, AnyClock]) -> Store:
    return opened[0]


@pytest.fixture
def clock(opened: tuple[Store, AnyClock]) -> AnyClock:
    return opened[1]


async def put(store: Store, key: str, value: str = "", lease: int = 0) -> int:
    return (await store.txn((), [Put(key, value.encode(), lease)])).revision


async def delete(store: Store, key: str) -> int:
    return (await store.txn((), [Delete(key)])).revision


async def put_many(store: Store, prefix: str, value: str, count: int) -> None:
    """Keys `<prefix>0000`, ..., a hundred a transaction."""
    for start in range(0, count, 100):
        await store.txn([], [Put(f"{prefix}{i:04}", value.encode()) for i in range(start, min(start + 100, count))])


async def take(store: Store, prefix: str, from_revision: int, count: int) -> list[Event]:
    """The first `count` events of a watch, and the rest of their list."""
    events: list[Event] = []
    async with aclosing(store.watch(prefix, from_revision)) as watch:
        async with asyncio.timeout(10):
            async for batch in watch:
                events += batch
                if len(events) >= count:
                    break
    return events


def told(events: list[Event]) -> list[tuple[int, str, str | None, str | None]]:
    """Events as (revision, key, new value, previous value)."""
    return [
        (e.revision, e.key, e.current and e.current.value.decode(), e.previous and e.previous.value.decode())
        for e in events
    ]


async def test_an_empty_store_is_at_revision_zero(store: Store) -> None:
    """A server tells a new cluster from an old one by it, and lists nothing at revision 0."""
    assert (store.revision, store.compacted_revision) == (0, 0)
    assert await store.get("/a") is None
    page = await store.range("")
    assert (page.items, page.revision, page.count, page.more) == ([], 0, 0, False)


async def test_a_key_carries_its_creation_and_last_change(store: Store) -> None:
    """resourceVersion and creation detection come from these; re-creation begins a new life."""
    assert await put(store, "/a", "1") == 1
    assert await put(store, "/a", "2") == 2
    found = await store.get("/a")
    assert found is not None
    assert (found.value, found.create_revision, found.mod_revision) == (b"2", 1, 2)
    await delete(store, "/a")
    assert await store.get("/a") is None
    await put(store, "/a", "3")
    found = await store.get("/a")
    assert found is not None
    assert (found.create_revision, found.mod_revision) == (4, 4)


async def test_a_transaction_is_all_at_one_revision_or_nothing(store: Store) -> None:
    """Compare-and-set is what optimistic concurrency stands on."""
    first = await store.txn([Compare("/a", 0)], [Put("/a", b"1"), Put("/b", b"1")])
    assert (first.succeeded, first.revision) == (True, 1)
    again = await store.txn([Compare("/a", 0), Compare("/c", 0)], [Put("/a", b"2"), Delete("/b")])
    assert (again.succeeded, again.revision) == (False, 1)
    assert [kv and (kv.key, kv.value, kv.mod_revision) for kv in again.current] == [("/a", b"1", 1), None]
    assert [kv.value for kv in (await store.range("/")).items] == [b"1", b"1"]
    assert (await store.txn([Compare("/a", 1)], [Put("/a", b"3"), Delete("/b")])).succeeded
    assert [(kv.key, kv.mod_revision) for kv in (await store.range("/")).items] == [("/a", 2)]


async def test_a_transaction_that_changes_nothing_has_no_revision(store: Store) -> None:
    """Else every no-op delete would move every watcher's bookmark."""
    await put(store, "/a")
    gone = await store.txn([], [Delete("/b")])
    assert (gone.succeeded, gone.revision, store.revision) == (True, 1, 1)
    assert (await store.txn([Compare("/a", 1)], [])).revision == 1


async def test_of_many_concurrent_creations_exactly_one_wins(store: Store) -> None:
    """Each is decided on top of those before it, also while these are still being written."""
    answers = await asyncio.gather(*(store.txn([Compare("/a", 0)], [Put("/a", b"%d" % i)]) for i in range(20)))
    (winner,) = [i for i, answer in enumerate(answers) if answer.succeeded]
    losers = answers[:winner] + answers[winner + 1 :]
    assert all(answer.current[0] and answer.current[0].value == b"%d" % winner for answer in losers)
    assert store.revision == 1


async def test_concurrent_compare_and_set_loses_no_update(store: Store) -> None:
    """A counter that many increment with retries ends at the number of increments."""
    await put(store, "/n", "0")

    async def increment() -> None:
        while True:
            now = await store.get("/n")
            assert now is not None
            change = Put("/n", b"%d" % (int(now.value) + 1))
            if (await store.txn([Compare("/n", now.mod_revision)], [change])).succeeded:
                return

    await asyncio.gather(*(increment() for _ in range(25)))
    final = await store.get("/n")
    assert final is not None
    assert final.value == b"25"
    assert store.revision == 26


async def test_an_answer_never_speaks_of_what_cannot_be_read_yet(store: Store) -> None:
    """A conflict with a write that is still on its way is told after that write, so a read that follows sees it."""
    creating = [store.txn([Compare("/a", 0)], [Put("/a", value)]) for value in (b"1", b"2")]
    for first in asyncio.as_completed(creating):
        answer = await first
        assert answer.revision == store.revision == 1
        assert await store.get("/a") is not None


async def test_the_current_revision_is_never_behind(store: Store) -> None:
    """A consistent list waits for it: what anybody has been told before is in there."""
    assert await store.current_revision() == 0
    assert await put(store, "/a") == await store.current_revision() == store.revision
    await asyncio.gather(*(put(store, "/a") for _ in range(5)))
    assert await store.current_revision() == 6


async def test_cancelling_a_caller_does_not_undo_its_transaction(store: Store) -> None:
    """A client that hangs up leaves the write whole, and others' writes alone."""
    writing = asyncio.ensure_future(store.txn([], [Put("/a", b"1")]))
    await asyncio.sleep(0)
    writing.cancel()
    await put(store, "/b")
    assert {event.key for event in await take(store, "/", 1, 2)} == {"/a", "/b"}


async def test_range_pages_through_a_prefix_in_order(store: Store) -> None:
    """Chunked lists: `start` is where to go on, `count` says what remains."""
    for key in ("/p/c", "/p/a", "/p/b/x", "/pq", "/o", "/p/b"):
        await put(store, key)
    page = await store.range("/p/", limit=2)
    assert ([kv.key for kv in page.items], page.count, page.more) == (["/p/a", "/p/b"], 4, True)
    page = await store.range("/p/", start="/p/b\0", limit=2)
    assert ([kv.key for kv in page.items], page.count, page.more) == (["/p/b/x", "/p/c"], 2, False)
    assert [kv.key for kv in (await store.range("/p")).items] == ["/p/a", "/p/b", "/p/b/x", "/p/c", "/pq"]
    assert (await store.range("/p/", start="/z")).count == 0


async def test_the_past_is_a_snapshot(store: Store) -> None:
    """A paged list stays at its first page's revision whatever happens meanwhile."""
    await put(store, "/a", "1")
    await put(store, "/b", "1")
    await put(store, "/a", "2")
    await delete(store, "/b")
    await put(store, "/c", "1")

    async def at(revision: int) -> list[tuple[str, str]]:
        return [(kv.key, kv.value.decode()) for kv in (await store.range("/", revision=revision)).items]

    assert await at(1) == [("/a", "1")]
    assert await at(2) == [("/a", "1"), ("/b", "1")]
    assert await at(3) == [("/a", "2"), ("/b", "1")]
    assert await at(4) == [("/a", "2")]
    assert await at(5) == [("/a", "2"), ("/c", "1")]
    page = await store.range("/", revision=2, limit=1)
    assert (page.revision, page.count) == (2, 2)
    old = await store.get("/b", revision=3)
    assert old is not None
    assert old.value == b"1"
    assert await store.get("/b", revision=4) is None


async def test_the_future_cannot_be_read(store: Store) -> None:
    """Else a client that is ahead (another server's revision) would get a wrong snapshot."""
    await put(store, "/a")
    with pytest.raises(FutureRevision):
        await store.get("/a", revision=2)
    with pytest.raises(FutureRevision):
        await store.range("/", revision=2)
    with pytest.raises(FutureRevision):
        await store.compact(2)


async def test_a_large_range_is_one_snapshot(store: Store) -> None:
    """Also when writes and a compaction come in the middle of reading it."""
    await put_many(store, "/p/", "old", 1500)
    reading = asyncio.ensure_future(store.range("/p/"))
    await asyncio.sleep(0)
    await put_many(store, "/p/", "new", 1500)
    await store.compact(16)
    page = await reading
    assert [kv.mod_revision > 15 for kv in page.items].count(True) == max(page.revision - 15, 0) * 100
    assert [kv.value for kv in page.items].count(b"new") == max(page.revision - 15, 0) * 100
    assert len(page.items) == 1500


async def test_a_watch_tells_each_change_once_in_order(store: Store) -> None:
    """Past and present joined without gap or repeat, with the previous value, only for the prefix."""
    await put(store, "/p/a", "1")
    await put(store, "/q", "1")
    await put(store, "/p/a", "2")
    watching = asyncio.ensure_future(take(store, "/p/", 1, 4))
    await asyncio.sleep(0)
    await delete(store, "/p/a")
    await put(store, "/p/b", "1")
    assert told(await watching) == [
        (1, "/p/a", "1", None),
        (3, "/p/a", "2", "1"),
        (4, "/p/a", None, "2"),
        (5, "/p/b", "1", None),
    ]


async def test_a_watch_may_begin_in_the_future(store: Store) -> None:
    """Nothing before its revision is told, even if it happens after the watch began."""
    watching = asyncio.ensure_future(take(store, "/", 3, 1))
    await asyncio.sleep(0)
    for _ in range(3):
        await put(store, "/a")
    assert [event.revision for event in await watching] == [3]


async def test_watches_from_every_revision_agree(store: Store) -> None:
    """Whenever a watch begins, and however writes interleave, it sees exactly the history from there on."""
    watches = []
    for i in range(60):
        watches.append(asyncio.ensure_future(take(store, "/", i // 2 + 1, 60 - i // 2)))
        await store.txn([], [Put(f"/{i % 7}", b"%d" % i)])
    seen = [told(await watch) for watch in watches]
    for i, events in enumerate(seen):
        assert [event[0] for event in events] == list(range(i // 2 + 1, 61))
        assert events == seen[0][i // 2 :]


async def test_a_slow_watcher_loses_nothing_until_compaction(store: Store) -> None:
    """What waits for it in memory is bounded; the rest is read later."""
    total = MAX_WAITING_EVENTS + 1500
    async with aclosing(store.watch("/", 1)) as watch:
        await put(store, "/first")
        batch = await anext(watch)
        assert [event.revision for event in batch] == [1]
        for start in range(2, total, 50):
            await asyncio.gather(*(put(store, f"/{i % 10}") for i in range(start, start + 50)))
        seen: list[int] = []
        while not seen or seen[-1] < store.revision:
            seen += [event.revision for event in await anext(watch)]
        assert seen == list(range(2, store.revision + 1))


async def test_a_slow_watcher_that_compaction_overtakes_is_told(store: Store) -> None:
    """It must list again: an exception, never a silent gap. What waits for it already may still be delivered."""
    async with aclosing(store.watch("/", 1)) as watch:
        await put(store, "/a")
        seen = [event.revision for event in await anext(watch)]
        for start in range(0, MAX_WAITING_EVENTS + 50, 50):
            await asyncio.gather(*(put(store, f"/{i % 10}") for i in range(start, start + 50)))
        await store.compact(store.revision)
        overtaken = False
        while not overtaken and seen[-1] < store.revision:
            try:
                seen += [event.revision for event in await anext(watch)]
            except Compacted:
                overtaken = True
        assert seen == list(range(1, seen[-1] + 1))
        assert overtaken == (seen[-1] < store.revision)


async def test_compaction_does_not_disturb_an_idle_watch(store: Store) -> None:
    """A live watcher has nothing to catch up with, however old its revision is."""
    async with aclosing(store.watch("/p/", 1)) as watch:
        await put(store, "/p/x", "1")
        assert told(await anext(watch)) == [(1, "/p/x", "1", None)]
        for _ in range(5):
            await put(store, "/a")
        await store.compact(store.revision)
        await put(store, "/p/y", "1")
        assert told(await anext(watch)) == [(7, "/p/y", "1", None)]


async def test_compaction_forgets_the_past_and_keeps_the_present(store: Store) -> None:
    """The oldest readable revision is the compacted one; a deletion's key is gone for good."""
    await put(store, "/a", "1")
    await put(store, "/a", "2")
    await put(store, "/b", "1")
    await delete(store, "/b")
    await put(store, "/a", "3")
    await store.compact(4)
    assert store.compacted_revision == 4
    with pytest.raises(Compacted) as compacted:
        await store.range("/", revision=3)
    assert compacted.value.compacted_revision == 4
    assert [kv.value for kv in (await store.range("/", revision=4)).items] == [b"2"]
    assert [kv.value for kv in (await store.range("/")).items] == [b"3"]
    with pytest.raises(Compacted):
        await store.compact(4)
    with pytest.raises(Compacted):
        await take(store, "/", 4, 1)
    assert told(await take(store, "/", 5, 1)) == [(5, "/a", "3", "2")]


async def test_a_lease_that_runs_out_deletes_its_keys_as_a_change(store: Store, clock: AnyClock) -> None:
    """Events and server registrations vanish, and watchers see them go, at one revision."""
    lease = await store.grant(clock.lease_seconds)
    await put(store, "/a", "1", lease)
    await put(store, "/b", "1", lease)
    await put(store, "/c", "1", lease)
    await put(store, "/c", "2")  # without a lease: it stays
    await clock.wait(clock.lease_seconds * 0.7)
    await store.keep_alive(lease)
    await clock.wait(clock.lease_seconds * 0.7)
    await put(store, "/d")
    assert await store.get("/a") is not None
    await clock.wait(clock.lease_seconds * 0.7)
    gone = await take(store, "/", 6, 2)
    assert sorted((e.revision, e.key, e.current) for e in gone) == [(6, "/a", None), (6, "/b", None)]
    assert [kv.key for kv in (await store.range("/")).items] == ["/c", "/d"]
    with pytest.raises(KeyError):
        await store.keep_alive(lease)


async def test_revoking_a_lease_twice_is_once(store: Store) -> None:
    """A retried revoke is not an error, and an unknown lease takes no key."""
    lease = await store.grant(60)
    await put(store, "/a", "1", lease)
    await store.revoke(lease)
    assert (await store.get("/a"), store.revision) == (None, 2)
    await store.revoke(lease)
    assert store.revision == 2
    with pytest.raises(KeyError):
        await put(store, "/b", "1", lease)


async def test_a_key_written_while_its_lease_ends_does_not_stay(store: Store) -> None:
    """Nobody would ever delete it."""
    lease = await store.grant(60)
    written, *_ = await asyncio.gather(
        put(store, "/a", "1", lease), store.revoke(lease), put(store, "/b"), return_exceptions=True
    )
    if isinstance(written, int):
        assert [event.current is None for event in await take(store, "/a", 1, 2)] == [False, True]
    else:
        assert isinstance(written, KeyError)  # the lease went first
    assert await store.get("/a") is None
    assert await store.get("/b") is not None


async def test_closing_finishes_writes_and_ends_watches(store: Store) -> None:
    """A clean shutdown loses nothing that was accepted; later calls fail readably."""
    watching = asyncio.ensure_future(take(store, "/", 1, 99))
    await asyncio.sleep(0)
    writing = asyncio.ensure_future(store.txn([], [Put("/a", b"1")]))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    assert (await writing).succeeded
    assert [event.revision for event in await watching] == [1]
    with pytest.raises(StoreFailed, match="closed"):
        await put(store, "/b")
