"""Every Store against a plain model of it: random transactions, compactions and restarts, compared whole.

The model keeps all of history as one dict a revision, which is what `kaa/store/store.py` describes.
"""

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.etcd_server import etcd_server, needs_etcd

from kaa.lib.clock import WallClock
from kaa.store.etcd import EtcdStore
from kaa.store.etcd_client import EtcdServers
from kaa.store.memory import MemoryStore
from kaa.store.sqlite import SQLiteStore
from kaa.store.store import Compacted, Compare, Delete, FutureRevision, KeyValue, Operation, Put, Store, Transaction

KEYS = st.sampled_from(["/a", "/a/x", "/a/y", "/ab", "/b/x", "/b/\U0010ffff", "/b/é"])
PREFIXES = st.sampled_from(["", "/", "/a", "/a/", "/b/", "/c"])
VALUES = st.binary(max_size=8)

Snapshot = dict[str, KeyValue]


class Model:
    def __init__(self) -> None:
        self.states: list[Snapshot] = [{}]  # by revision
        self.compacted = 0

    @property
    def now(self) -> Snapshot:
        return self.states[-1]

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    def txn(self, compares: list[Compare], operations: list[Operation]) -> Transaction:
        found = [self.now.get(compare.key) for compare in compares]
        if any((kv.mod_revision if kv else 0) != c.mod_revision for kv, c in zip(found, compares, strict=True)):
            return Transaction(False, self.revision, tuple(found))
        state = dict(self.now)
        changed = False
        for operation in operations:
            old = state.pop(operation.key, None)
            if isinstance(operation, Put):
                created = old.create_revision if old else self.revision + 1
                state[operation.key] = KeyValue(operation.key, operation.value, created, self.revision + 1)
            changed |= isinstance(operation, Put) or old is not None
        if changed:
            self.states.append(state)
        return Transaction(True, self.revision)

    def events(self, prefix: str, from_revision: int) -> list[tuple[int, str, KeyValue | None, KeyValue | None]]:
        """Every change by comparing neighbouring states; of one revision in the order of keys."""
        return [
            (revision, key, self.states[revision].get(key), self.states[revision - 1].get(key))
            for revision in range(max(from_revision, 1), self.revision + 1)
            for key in sorted({*self.states[revision], *self.states[revision - 1]})
            if key.startswith(prefix) and self.states[revision].get(key) != self.states[revision - 1].get(key)
        ]


class StoreAgainstModel(RuleBasedStateMachine):
    store: Store
    most_concurrent = 5

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp())
        self.model = Model()
        self.store = self.run(self.open())

    async def open(self) -> Store:
        raise NotImplementedError

    async def close(self) -> None:
        await self.store.close()

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 10))

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.run(self.close())
            self.loop.close()
            shutil.rmtree(self.directory)

    def operations(self, draw: Any) -> list[Operation]:
        keys = draw(st.lists(KEYS, max_size=3, unique=True))
        return [Put(key, draw(VALUES)) if draw(st.booleans()) else Delete(key) for key in keys]

    def compares(self, draw: Any, state: Snapshot) -> list[Compare]:
        """Mostly right ones, so that both outcomes are common."""
        compares = []
        for key in draw(st.lists(KEYS, max_size=2, unique=True)):
            right = state[key].mod_revision if key in state else 0
            compares.append(Compare(key, right if draw(st.integers(0, 3)) else draw(st.integers(0, 9))))
        return compares

    @rule(data=st.data(), count=st.integers(1, 5))
    def concurrent_transactions(self, data: Any, count: int) -> None:
        """Submitted together; our own stores decide each in the order of submission."""
        transactions, expected = [], []
        for _ in range(min(count, self.most_concurrent)):
            transaction = self.compares(data.draw, self.model.now), self.operations(data.draw)
            before = self.model.revision
            transactions.append(transaction)
            expected.append((self.model.txn(*transaction), self.model.revision > before))

        async def submit() -> list[Transaction]:
            return await asyncio.gather(*(self.store.txn(*transaction) for transaction in transactions))

        for answer, (model, changed) in zip(self.run(submit()), expected, strict=True):
            assert (answer.succeeded, answer.current) == (model.succeeded, model.current)
            # One that changes nothing, and depends on nothing that waits, may answer of an earlier moment.
            assert answer.revision == model.revision if changed else answer.revision <= model.revision

    @rule(data=st.data())
    def compact(self, data: Any) -> None:
        revision = data.draw(st.integers(0, self.model.revision + 1))
        if revision > self.model.revision:
            with pytest.raises(FutureRevision):
                self.run(self.store.compact(revision))
        elif revision <= self.model.compacted:
            with pytest.raises(Compacted):
                self.run(self.store.compact(revision))
        else:
            self.run(self.store.compact(revision))
            self.model.compacted = revision

    @rule(data=st.data(), prefix=PREFIXES, limit=st.integers(0, 3))
    def read(self, data: Any, prefix: str, limit: int) -> None:
        revision = data.draw(st.integers(0, self.model.revision))
        start = data.draw(st.sampled_from(["", "/a/y", "/b"]))
        reading = self.store.range(prefix, start=start, limit=limit, revision=revision)
        if 0 < revision < self.model.compacted:
            with pytest.raises(Compacted):
                self.run(reading)
            return
        state = self.model.states[revision] if revision else self.model.now
        wanted = [state[key] for key in sorted(state) if key.startswith(prefix) and key >= start]
        page = self.run(reading)
        assert page.items == (wanted[:limit] if limit else wanted)
        assert page.count == len(wanted)
        for key in state:
            assert self.run(self.store.get(key, revision=revision)) == state[key]

    @rule(data=st.data(), prefix=PREFIXES)
    def watch(self, data: Any, prefix: str) -> None:
        from_revision = data.draw(st.integers(0, self.model.revision))
        wanted = self.model.events(prefix, from_revision)

        async def take() -> list[Any]:
            seen: list[Any] = []
            async with aclosing(self.store.watch(prefix, from_revision)) as watch:
                while len(seen) < len(wanted):
                    events = await anext(watch)
                    seen += [(e.revision, e.key, e.current, e.previous) for e in events]
            return seen

        if self.model.compacted > 0 and from_revision <= self.model.compacted:
            if wanted:
                with pytest.raises(Compacted):
                    self.run(take())
            return
        # Within a revision the order is that of the transaction.
        assert sorted(self.run(take()), key=lambda event: event[:2]) == wanted

    @invariant()
    def revisions_agree(self) -> None:
        if hasattr(self, "store"):
            assert self.store.revision == self.model.revision
            assert self.store.compacted_revision == self.model.compacted


class MemoryAgainstModel(StoreAgainstModel):
    async def open(self) -> Store:
        return MemoryStore(WallClock())


class SQLiteAgainstModel(StoreAgainstModel):
    async def open(self) -> Store:
        return await SQLiteStore.open(self.directory, WallClock())

    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.store = self.run(self.open())


class EtcdAgainstModel(StoreAgainstModel):
    most_concurrent = 1  # etcd may decide them in another order

    async def open(self) -> Store:
        self.server = AsyncExitStack()
        self.url = await self.server.enter_async_context(etcd_server(self.directory))
        return await self.connect()

    async def connect(self) -> Store:
        return await EtcdStore.open(EtcdServers(urls=(self.url,)), WallClock())

    async def close(self) -> None:
        await super().close()
        await self.server.aclose()

    @rule()
    def restart(self) -> None:
        """Of the API server: a new one knows all that the last one did."""
        self.run(self.store.close())
        self.store = self.run(self.connect())


@pytest.mark.parametrize(
    ("machine", "examples"),
    [(MemoryAgainstModel, 150), (SQLiteAgainstModel, 150), pytest.param(EtcdAgainstModel, 15, marks=needs_etcd)],
)
def test_a_store_is_what_the_model_is(machine: type[StoreAgainstModel], examples: int) -> None:
    """Any sequence of calls gives the model's answers, across compactions and restarts."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
