"""The Store over a change log: transactions, snapshots, watches, leases and compaction. All of it but the medium.

Everything here runs on the event loop, so the order of calls is the order of history. A transaction is decided the
moment it is submitted, against what is committed *and* what waits to be (`_pending`); it gets its revision then.
What is submitted while the log is busy is appended together, as one *group*, when the log is free (group commit).
Only then does the index change, do watchers hear of it and callers get their answer. So readers see committed state
only; and an answer that depends on something not committed yet ("that key has changed") waits for it too.

A group that cannot be written fails, with everything submitted on top of it: nothing of it has happened.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from kaa.lib.clock import Clock
from kaa.store.index import KeyIndex, Version
from kaa.store.leases import Leases
from kaa.store.log import Batch, Change, ChangeLog, Contents, change_id, revision_of
from kaa.store.recent import RecentValues
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
    StoreFailed,
    Transaction,
)
from kaa.store.watchers import Watcher, Watchers

MAX_WAITING_TRANSACTIONS = 1024
"""Transactions that wait for the log; further callers wait their turn to submit."""

READ_CHUNK = 500
"""Values read, revisions caught up with, or keys compacted in one go; others on the event loop run in between."""

LEASE_RETRY_SECONDS = 5.0
"""When the keys of a lease that has run out are deleted again, after the store could not write it."""

T = TypeVar("T")


@dataclass(slots=True)
class _Group:
    """Transactions that are committed together, and what their callers are then told."""

    batch: Batch = field(default_factory=Batch)
    answers: list[tuple[asyncio.Future[Transaction], Transaction]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.batch.changes or self.batch.leases)


class LogStore:
    """See `Store` for what each method promises."""

    def __init__(self, log: ChangeLog, contents: Contents, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._index = KeyIndex()
        self._recent = RecentValues()
        self._watchers = Watchers()
        self._leases = Leases(clock, self._lease_expired)
        self._revision = self._compacted = contents.compacted_revision
        self._assigned = 0  # the newest revision given to a transaction, committed or not; >= _revision
        self._pending: dict[str, Change] = {}  # the newest uncommitted change of each key
        self._waiting = _Group()
        self._committing = _Group()
        self._flush_is_due = False
        self._room = asyncio.Semaphore(MAX_WAITING_TRANSACTIONS)
        self._reads: set[asyncio.Future[None]] = set()  # of many chunks, under way
        self._compaction = asyncio.Lock()
        self._garbage: list[int] = []  # forgotten by the index, not yet by the log
        self._orphans: list[str] = []  # keys whose lease is gone
        self._closed = False
        self._load(contents)

    def _load(self, contents: Contents) -> None:
        for lease, ttl_seconds in contents.leases.items():
            self._leases.add(lease, ttl_seconds)
        for change in contents.changes:
            self._index.apply(change)
            if not self._leases.attach(change.key, change.lease):
                self._orphans.append(change.key)
            self._revision = max(self._revision, revision_of(change.id))
        self._assigned = self._revision

    async def _start(self) -> None:
        """After loading: starts the leases, and finishes a compaction that a crash has cut short."""
        self._leases.start_all()
        self._delete_orphans()
        if self._compacted:
            await self._forget(self._compacted)

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compacted_revision(self) -> int:
        return self._compacted

    # Reading

    async def current_revision(self) -> int:
        return self._revision

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        self._check_revision(revision)
        return self._key_value(self._index.at(key, revision) if revision else self._index.current(key))

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        self._check_revision(revision)
        snapshot = revision or self._revision
        if snapshot == self._revision:
            versions, count = self._index.range(prefix, start, limit)
        else:
            versions, count = self._index.range_at(prefix, start, limit, snapshot)
        return Page(await self._read(versions), snapshot, count)

    def _check_revision(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision(f"revision {revision} has not happened yet (newest: {self._revision})")
        if 0 < revision < self._compacted:
            raise Compacted(self._compacted)

    async def _read(self, versions: Sequence[Version]) -> list[KeyValue]:
        """The values of a snapshot. While it is read in several chunks, compaction lets its versions be."""
        if len(versions) <= READ_CHUNK:
            return self._key_values(versions)
        read: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reads.add(read)
        try:
            items: list[KeyValue] = []
            for chunk in _chunks(versions, READ_CHUNK):
                items += self._key_values(chunk)
                await self._clock.sleep(0)
            return items
        finally:
            self._reads.discard(read)
            read.set_result(None)

    def _key_values(self, versions: Sequence[Version]) -> list[KeyValue]:
        values = self._log.values([version.id for version in versions])
        return [
            KeyValue(version.key, value, version.create_revision, version.mod_revision)
            for version, value in zip(versions, values, strict=True)
        ]

    def _key_value(self, version: Version | None) -> KeyValue | None:
        if version is None:
            return None
        value = self._recent.get(version.id)
        if value is None:
            return self._key_values([version])[0]
        return KeyValue(version.key, value, version.create_revision, version.mod_revision)

    # Writing

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> Transaction:
        async with self._room:
            return await self._submit(compares, operations)

    def _submit(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> "asyncio.Future[Transaction]":
        """Decides the transaction now; the answer comes once all that it depends on is committed."""
        self._check_open()
        for compare in compares:
            if self._newest_revision(compare.key) != compare.mod_revision:
                keys = [compare.key for compare in compares]
                return self._answer(keys, Transaction(False, self._assigned, tuple(map(self._newest, keys))))
        changes = list(self._changes(operations, self._assigned + 1))
        if not changes:
            keys = [entry.key for entry in (*compares, *operations)]
            return self._answer(keys, Transaction(True, self._assigned))
        self._assigned += 1
        self._waiting.batch.changes += changes
        for change in changes:
            self._pending[change.key] = change
        return self._enqueue(Transaction(True, self._assigned))

    def _changes(self, operations: Sequence[Operation], revision: int) -> Iterator[Change]:
        """Deleting what does not exist changes nothing."""
        for position, operation in enumerate(operations):
            id = change_id(revision, position)
            pending = self._pending.get(operation.key)
            newest = pending or self._index.current(operation.key)
            created = newest.create_revision if newest is not None else 0
            match operation:
                case Put(key, value, lease):
                    if lease and lease not in self._leases:
                        raise KeyError(lease)
                    yield Change(id, key, created or revision, lease, value)
                case Delete(key) if created:
                    yield Change(id, key, 0, 0, None)

    def _answer(self, keys: Sequence[str], answer: Transaction) -> "asyncio.Future[Transaction]":
        """The answer of a transaction that changes nothing."""
        if any(key in self._pending for key in keys):
            return self._enqueue(answer)
        future: asyncio.Future[Transaction] = asyncio.get_running_loop().create_future()
        future.set_result(Transaction(answer.succeeded, self._revision, answer.current))
        return future

    def _enqueue(self, answer: Transaction) -> "asyncio.Future[Transaction]":
        """Puts the answer into the newest group, which holds or follows everything that it depends on."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Transaction] = loop.create_future()
        group = self._waiting if self._waiting or not self._committing else self._committing
        group.answers.append((future, answer))
        if self._waiting and not self._committing and not self._flush_is_due:
            # Not at once: whatever else is submitted in this turn of the event loop shares the commit.
            self._flush_is_due = True
            loop.call_soon(self._flush)
        return future

    def _flush(self) -> None:
        self._flush_is_due = False
        if self._waiting and not self._committing:
            self._committing, self._waiting = self._waiting, _Group()
            appended = self._log.append(self._committing.batch)
            if appended.done():
                self._appended(appended)
            else:
                appended.add_done_callback(self._appended)

    def _appended(self, appended: "asyncio.Future[None]") -> None:
        group = self._committing
        error = appended.exception()
        if error is not None:
            # What waits was decided on top of what has just failed.
            answers = group.answers + self._waiting.answers
            self._committing, self._waiting = _Group(), _Group()
            self._pending.clear()
            self._assigned = self._revision
            for future, _ in answers:
                if not future.done():
                    future.set_exception(error)
                    # Seen: the caller may have been cancelled, or be nobody (a lease that ran out).
                    future.exception()
            return
        self._apply(group.batch)
        self._committing = _Group()
        for future, answer in group.answers:
            if not future.done():
                future.set_result(answer)
        self._flush()

    def _apply(self, batch: Batch) -> None:
        """Makes a durable batch visible: the index, leases, watchers."""
        for lease, ttl_seconds in batch.leases.items():
            if ttl_seconds:
                self._leases.add(lease, ttl_seconds)
                self._leases.start(lease)
            else:
                self._leases.end(lease)
        events: list[Event] = []
        for change in batch.changes:
            if watchers := self._watchers.of(change.key):
                try:
                    events.append(self._event(change, self._index.current(change.key)))
                except StoreFailed:
                    # The old value cannot be read, but the change is made: they find out from the log themselves.
                    for watcher in watchers:
                        watcher.fall_behind(revision_of(batch.changes[0].id))
            self._index.apply(change)
            if change.value is not None:
                self._recent.add(change.id, change.value)
            if self._pending.get(change.key) is change:
                del self._pending[change.key]
            if not self._leases.attach(change.key, change.lease):
                self._orphans.append(change.key)
        if batch.changes:
            self._revision = revision_of(batch.changes[-1].id)
        self._watchers.publish(events)
        self._delete_orphans()

    def _newest(self, key: str) -> KeyValue | None:
        """The key as it will be once everything submitted is committed."""
        pending = self._pending.get(key)
        return _key_value_of(pending) if pending is not None else self._key_value(self._index.current(key))

    def _newest_revision(self, key: str) -> int:
        newest = self._pending.get(key) or self._index.current(key)
        return revision_of(newest.id) if newest is not None and newest.create_revision else 0

    # Watching

    async def watch(self, prefix: str, from_revision: int) -> AsyncGenerator[list[Event], None]:
        with self._watchers.watching(prefix, from_revision, self._revision) as watcher:
            watcher.ended = self._closed
            while watcher.waiting or not watcher.ended:
                events = self._catch_up(watcher) if watcher.behind else await watcher.take()
                if events:
                    yield events
                else:
                    await self._clock.sleep(0)

    def _catch_up(self, watcher: Watcher) -> list[Event]:
        """The next revisions from the log; makes the watcher live when they are the newest."""
        first = watcher.next_revision
        if self._compacted and first <= self._compacted:
            raise Compacted(self._compacted)
        watcher.next_revision = min(first + READ_CHUNK, self._revision + 1)
        watcher.behind = watcher.next_revision <= self._revision
        changes = self._log.changes(change_id(first, 0), change_id(watcher.next_revision, 0), watcher.prefix)
        return [self._event(change, self._index.at(change.key, revision_of(change.id) - 1)) for change in changes]

    def _event(self, change: Change, previous: Version | None) -> Event:
        return Event(change.key, revision_of(change.id), _key_value_of(change), self._key_value(previous))

    # Compaction

    async def compact(self, revision: int) -> None:
        if revision > self._revision:
            raise FutureRevision(f"revision {revision} has not happened yet (newest: {self._revision})")
        async with self._compaction:
            if revision <= self._compacted:
                raise Compacted(self._compacted)
            self._compacted = revision
            await self._forget(revision)

    async def _forget(self, revision: int) -> None:
        # How far history is compacted is kept first: after a crash in between, the next start drops the rest.
        await self._log.forget(revision, ())
        for keys in _chunks(self._index.with_history(), READ_CHUNK):
            self._garbage += self._index.forget(keys, revision)
            if self._reads:
                await asyncio.wait(self._reads)
            await self._log.forget(revision, self._garbage)
            self._garbage.clear()

    # Leases

    async def grant(self, ttl_seconds: int) -> int:
        async with self._room:
            self._check_open()
            lease = self._clock.random.getrandbits(62) + 1
            self._waiting.batch.leases[lease] = ttl_seconds
            await self._enqueue(Transaction(True, self._assigned))
            return lease

    async def keep_alive(self, lease: int) -> None:
        self._leases.start(lease)

    async def revoke(self, lease: int) -> None:
        async with self._room:
            if lease in self._leases:
                await self._submit_end(lease)

    def _submit_end(self, lease: int) -> "asyncio.Future[Transaction]":
        """Deletes the lease's keys, and the lease, in one transaction."""
        self._check_open()
        self._waiting.batch.leases[lease] = 0
        self._submit((), [Delete(key) for key in self._leases.keys(lease)])
        return self._enqueue(Transaction(True, self._assigned))

    def _lease_expired(self, lease: int) -> None:
        def try_again(ended: "asyncio.Future[Transaction]") -> None:
            if ended.exception() is not None and lease in self._leases:
                self._leases.start(lease, LEASE_RETRY_SECONDS)

        self._submit_end(lease).add_done_callback(try_again)

    def _delete_orphans(self) -> None:
        """Deletes keys whose lease ran out while their change waited to be written."""
        if self._orphans and not self._closed:
            orphans, self._orphans = self._orphans, []
            self._submit((), [Delete(key) for key in dict.fromkeys(orphans)])

    # Closing

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._leases.close()
        async with self._compaction:
            if self._waiting or self._committing:
                await asyncio.wait([self._enqueue(Transaction(True, self._assigned))])
            self._watchers.end()
            await self._log.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreFailed("the store is closed")


def _key_value_of(change: Change) -> KeyValue | None:
    if change.value is None:
        return None
    return KeyValue(change.key, change.value, change.create_revision, revision_of(change.id))


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[i : i + size] for i in range(0, len(items), size))
