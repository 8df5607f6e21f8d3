"""The store in etcd: for several API servers, on several machines, over one history.

etcd has the same model, so each method is one call of its v3 API. What differs is told here:

    revision    etcd's history begins at revision 1, ours at 0: ours is always one less
    compaction  etcd says how far history is compacted only to those who ask for what is gone: `compacted_revision`
                is the newest that this store has heard of
    limits      128 operations a transaction and 1.5 MB a request, unless etcd is told otherwise
    order       transactions of one process that are under way together are decided in any order

Every watch follows all keys and lets through those of its prefix. So each revision passes by it, and it knows how far
it has come: to take up again after a broken connection, and to end with nothing left out.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from grpclib.const import Status

from kaa.lib.clock import Clock
from kaa.store.etcd_client import RETRY, EtcdClient, EtcdServers, Message, Refused, Unavailable
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

EMPTY_REVISION = 1
"""The revision of an etcd that has never been written to; ours is 0."""

EVERY_KEY = {"key": b"\0", "range_end": b"\0"}

MAX_WRITES = 1024
"""Transactions under way; further callers wait."""

DRAIN_SECONDS = 1.0
"""How long a watch that ends waits for the last events of what has been written."""

HAS_BEEN_COMPACTED = "etcdserver: mvcc: required revision has been compacted"
IS_IN_THE_FUTURE = "etcdserver: mvcc: required revision is a future revision"

ADVICE = {
    "etcdserver: mvcc: database space exceeded": "its database has reached its quota; defragment it or raise the "
    "quota, then disarm the alarm",
    "etcdserver: request is too large": "the request is larger than its --max-request-bytes",
}
"""What some of etcd's refusals mean for the person who runs it."""


class EtcdStore:
    """See `Store` for what each method promises."""

    @classmethod
    async def open(cls, servers: EtcdServers, clock: Clock) -> "EtcdStore":
        """Raises StoreFailed when none of the servers can be reached."""
        store = cls(EtcdClient(servers, clock), clock)
        try:
            await store.current_revision()
            await store._ask_what_is_compacted()
        except BaseException:
            await store.close()
            raise
        return store

    def __init__(self, client: EtcdClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._revision = 0
        self._compacted = 0
        self._room = asyncio.Semaphore(MAX_WRITES)
        self._writes: set[asyncio.Task[Message]] = set()
        self._closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compacted_revision(self) -> int:
        return self._compacted

    # Reading

    async def current_revision(self) -> int:
        # Any read that is not `serializable` is answered by what a majority of etcd's servers agrees on.
        reply = await self._read("KV.Range", {"key": EVERY_KEY["key"], "keys_only": True})
        return _revision(reply)

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        reply = await self._read("KV.Range", {"key": _encoded(key), "revision": _at(revision)})
        return next((_key_value(kv) for kv in reply.get("kvs", ())), None)

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        first = max(prefix, start)
        request = {
            "key": _encoded(first) if first else EVERY_KEY["key"],
            "range_end": _end(_encoded(prefix)),
            "limit": limit,
            "revision": _at(revision),
        }
        reply = await self._read("KV.Range", request)
        items = [_key_value(kv) for kv in reply.get("kvs", ())]
        return Page(items, revision or _revision(reply), reply.get("count", 0))

    async def _read(self, name: str, request: Message) -> Message:
        """Raises Compacted, FutureRevision, StoreFailed."""
        self._check_open()
        try:
            return self._heard(await self._client.read(name, request))
        except Refused as refusal:
            if refusal.message == HAS_BEEN_COMPACTED:
                await self._ask_what_is_compacted()
                raise Compacted(self._compacted) from None
            if refusal.message == IS_IN_THE_FUTURE:
                raise FutureRevision(f"that revision has not happened yet (newest: {self._revision})") from None
            raise _failed(refusal) from refusal

    def _heard(self, reply: Message) -> Message:
        self._revision = max(self._revision, _revision(reply))
        return reply

    async def _ask_what_is_compacted(self) -> None:
        """Reads the oldest revision; if that is gone, a watch from there is told what the oldest is now."""
        try:
            await self._client.read("KV.Range", {"key": EVERY_KEY["key"], "revision": EMPTY_REVISION})
        except Refused as refusal:
            if refusal.message != HAS_BEEN_COMPACTED:
                raise _failed(refusal) from refusal
            async with self._client.stream("Watch.Watch") as stream:
                await stream.send_message({"create_request": {"key": b"\0", "start_revision": EMPTY_REVISION}})
                while (reply := await stream.recv_message()) is not None:
                    if reply.get("canceled"):
                        self._compacted_at(reply)
                        return

    def _compacted_at(self, reply: Message) -> None:
        self._compacted = max(self._compacted, reply.get("compact_revision", 0) - EMPTY_REVISION)

    # Writing

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> Transaction:
        request = {
            "compare": [
                {"target": "MOD", "key": _encoded(compare.key), "mod_revision": _at(compare.mod_revision)}
                for compare in compares
            ],
            "success": [_operation(operation) for operation in operations],
            "failure": [{"request_range": {"key": _encoded(compare.key)}} for compare in compares],
        }
        try:
            reply = await self._write("KV.Txn", request)
        except Refused as refusal:
            leases = [operation.lease for operation in operations if isinstance(operation, Put) and operation.lease]
            if refusal.status is Status.NOT_FOUND and leases:
                raise KeyError(*leases) from None
            raise _failed(refusal) from refusal
        if reply.get("succeeded"):
            return Transaction(True, _revision(reply))
        found = [answer["response_range"].get("kvs", ()) for answer in reply.get("responses", ())]
        return Transaction(False, _revision(reply), tuple(_key_value(kvs[0]) if kvs else None for kvs in found))

    async def _write(self, name: str, request: Message) -> Message:
        """A call that goes on when its caller is cancelled. Raises Refused, StoreFailed."""
        async with self._room:
            self._check_open()
            task = asyncio.get_running_loop().create_task(self._client.call(name, request))
            self._writes.add(task)
            task.add_done_callback(self._written)
            return await asyncio.shield(task)

    def _written(self, task: "asyncio.Task[Message]") -> None:
        self._writes.discard(task)
        # Reading the exception marks it as seen: the caller may have been cancelled.
        if not task.cancelled() and task.exception() is None:
            self._heard(task.result())

    # Watching

    async def watch(self, prefix: str, from_revision: int) -> AsyncGenerator[list[Event], None]:
        wanted = _encoded(prefix)
        told = max(from_revision, 1) - 1  # every event up to this revision has been told, or was not asked for
        failures = 0
        while not self._closing.done():
            try:
                async with self._client.stream("Watch.Watch") as stream:
                    # From the revision before: etcd can tell of its own compaction only then.
                    request = {**EVERY_KEY, "start_revision": max(_at(told), EMPTY_REVISION), "prev_kv": True}
                    await stream.send_message({"create_request": request})
                    while (reply := await self._receive(stream, told)) is not None:
                        failures = 0
                        if events := await self._events(reply, wanted, told):
                            yield events
                        told = max(told, _newest(reply))
                return
            except Unavailable:
                failures += 1
                await self._clock.sleep(RETRY.delay(failures))

    async def _receive(self, stream: Any, told: int) -> Message | None:
        """A watch's next answer; None when the store closes, and all that it has written has been told."""
        receiving = asyncio.ensure_future(stream.recv_message())
        try:
            await asyncio.wait((receiving, self._closing), return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done() and told < self._revision:
                await asyncio.wait((receiving,), timeout=DRAIN_SECONDS)
            if not receiving.done():
                return None
        finally:
            receiving.cancel()
        reply: Message | None = receiving.result()
        if reply is None:
            raise Unavailable("etcd has ended a watch")
        return self._heard(reply)

    async def _events(self, reply: Message, prefix: bytes, told: int) -> list[Event]:
        """The events of one answer that are new and of the prefix. Raises Compacted, Unavailable."""
        if reply.get("canceled"):
            self._compacted_at(reply)
            if reply.get("compact_revision"):
                raise Compacted(self._compacted)
            raise Unavailable(f"etcd has ended a watch: {reply.get('cancel_reason', '')}")
        events = []
        for event in reply.get("events", ()):
            kv = event["kv"]
            if kv["key"].startswith(prefix) and _ours(kv["mod_revision"]) > told:
                if "prev_kv" not in event and not _is_creation(event):
                    # Compaction has taken the value from before.
                    await self._ask_what_is_compacted()
                    raise Compacted(self._compacted)
                events.append(_event(event))
        return events

    # Compaction

    async def compact(self, revision: int) -> None:
        if revision <= self._compacted:
            raise Compacted(self._compacted)
        try:
            await self._write("KV.Compact", {"revision": _at(revision)})
        except Refused as refusal:
            if refusal.message == HAS_BEEN_COMPACTED:
                await self._ask_what_is_compacted()
                raise Compacted(self._compacted) from None
            if refusal.message == IS_IN_THE_FUTURE:
                raise FutureRevision(f"revision {revision} has not happened yet (newest: {self._revision})") from None
            raise _failed(refusal) from refusal
        self._compacted = max(self._compacted, revision)

    # Leases

    async def grant(self, ttl_seconds: int) -> int:
        try:
            lease: int = (await self._write("Lease.LeaseGrant", {"TTL": ttl_seconds}))["ID"]
        except Refused as refusal:
            raise _failed(refusal) from refusal
        return lease

    async def keep_alive(self, lease: int) -> None:
        self._check_open()
        async with self._client.stream("Lease.LeaseKeepAlive") as stream:
            await stream.send_message({"ID": lease})
            reply = await stream.recv_message()
        if not (reply or {}).get("TTL"):
            raise KeyError(lease)

    async def revoke(self, lease: int) -> None:
        try:
            await self._write("Lease.LeaseRevoke", {"ID": lease})
        except Refused as refusal:
            if refusal.status is not Status.NOT_FOUND:
                raise _failed(refusal) from refusal

    # Closing

    async def close(self) -> None:
        if self._closing.done():
            return
        if self._writes:
            await asyncio.wait(self._writes)
        self._closing.set_result(None)
        self._client.close()

    def _check_open(self) -> None:
        if self._closing.done():
            raise StoreFailed("the store is closed")


def _encoded(key: str) -> bytes:
    # Others' keys in the same etcd may be no UTF-8; surrogates carry such bytes through.
    return key.encode("utf-8", "surrogateescape")


def _end(prefix: bytes) -> bytes:
    """The first key after every key with that prefix; for etcd, a NUL is the end of all."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else b"\0"


def _at(revision: int) -> int:
    """One of our revisions as etcd's; 0 (now, or no such key) is 0 for both."""
    return revision + EMPTY_REVISION if revision else 0


def _ours(revision: int) -> int:
    return revision - EMPTY_REVISION


def _revision(reply: Message) -> int:
    """etcd's newest revision when it answered; 0 where it says none, as when it ends a watch."""
    return _ours(reply["header"].get("revision", EMPTY_REVISION))


def _newest(reply: Message) -> int:
    """The newest revision that a watch's answer tells of; 0 if it tells of none."""
    events = reply.get("events")
    return _ours(events[-1]["kv"]["mod_revision"]) if events else 0


def _operation(operation: Operation) -> Message:
    match operation:
        case Put(key, value, lease):
            return {"request_put": {"key": _encoded(key), "value": value, "lease": lease}}
        case Delete(key):
            return {"request_delete_range": {"key": _encoded(key)}}


def _key_value(kv: Message) -> KeyValue:
    return KeyValue(
        kv["key"].decode("utf-8", "surrogateescape"),
        kv.get("value", b""),
        _ours(kv["create_revision"]),
        _ours(kv["mod_revision"]),
    )


def _is_creation(event: Message) -> bool:
    kv = event["kv"]
    return event.get("type") != "DELETE" and kv["create_revision"] == kv["mod_revision"]


def _event(event: Message) -> Event:
    kv = event["kv"]
    key = kv["key"].decode("utf-8", "surrogateescape")
    current = None if event.get("type") == "DELETE" else _key_value(kv)
    previous = _key_value(event["prev_kv"]) if "prev_kv" in event else None
    return Event(key, _ours(kv["mod_revision"]), current, previous)


def _failed(refusal: Refused) -> StoreFailed:
    return StoreFailed(f"etcd refuses: {ADVICE.get(refusal.message, refusal.message)}")
