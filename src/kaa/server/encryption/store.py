"""A Store that encrypts what goes in and decrypts what comes out, for the resources that are configured.

Everything above sees plain bytes: the watch cache decrypts each value once, when it arrives. Values that another than
the first provider wrote are `outdated`: the registry writes those anew even when an update changes nothing.

History that was written with a key that is gone counts as compacted, for nobody can read it. A *present* value that
cannot be read stops the server at its start: served without it, a cluster would look as if it had been deleted.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from kaa.server.encryption.configuration import Configuration
from kaa.server.encryption.providers import CannotDecrypt, Provider
from kaa.server.storage import REGISTRY
from kaa.store.store import Compacted, Compare, Event, KeyValue, Operation, Page, Put, Store, StoreFailed, Transaction


class _Unreadable(Exception):
    def __init__(self, kv: KeyValue) -> None:
        super().__init__(kv.key)
        self.kv = kv


class EncryptedStore:
    def __init__(self, store: Store, configuration: Configuration) -> None:
        self.outdated: set[str] = set()
        """Keys whose value was not written by their first provider."""
        self._store = store
        self._configuration = configuration
        self._providers: dict[tuple[str, str], tuple[Provider, ...]] = {}  # one a kind: no more than are served
        self._readable_from = 0

    @property
    def revision(self) -> int:
        return self._store.revision

    @property
    def compacted_revision(self) -> int:
        return max(self._store.compacted_revision, self._readable_from)

    async def current_revision(self) -> int:
        return await self._store.current_revision()

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        kv = await self._store.get(key, revision=revision)
        try:
            return self._opened(kv)
        except _Unreadable as unreadable:
            raise await self._why(unreadable.kv) from None

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        if 0 < revision < self._readable_from:
            raise Compacted(self._readable_from)
        page = await self._store.range(prefix, start=start, limit=limit, revision=revision)
        try:
            return replace(page, items=[self._opened_one(kv) for kv in page.items])
        except _Unreadable as unreadable:
            raise await self._why(unreadable.kv) from None

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> Transaction:
        transaction = await self._store.txn(compares, [self._sealed(operation) for operation in operations])
        if not transaction.current:
            return transaction
        try:
            return transaction._replace(current=tuple(self._opened(kv) for kv in transaction.current))
        except _Unreadable as unreadable:
            raise await self._why(unreadable.kv) from None

    async def watch(self, prefix: str, from_revision: int) -> AsyncGenerator[list[Event], None]:
        if from_revision <= self._readable_from:
            raise Compacted(self._readable_from)
        async with aclosing(self._store.watch(prefix, from_revision)) as events:
            async for some in events:
                try:
                    opened = [self._opened_event(event) for event in some]
                except _Unreadable as unreadable:
                    raise await self._why(unreadable.kv) from None
                yield opened

    async def compact(self, revision: int) -> None:
        await self._store.compact(revision)

    async def grant(self, ttl_seconds: int) -> int:
        return await self._store.grant(ttl_seconds)

    async def keep_alive(self, lease: int) -> None:
        await self._store.keep_alive(lease)

    async def revoke(self, lease: int) -> None:
        await self._store.revoke(lease)

    async def close(self) -> None:
        await self._store.close()

    def _of(self, key: str) -> tuple[Provider, ...]:
        """The providers of the kind whose key it is: `/registry/<group>/<plural>/...`; none of what is no object."""
        group, _, rest = key.removeprefix(REGISTRY).partition("/")
        plural, _, name = rest.partition("/")
        if not name or not key.startswith(REGISTRY):
            return ()
        providers = self._providers.get((group, plural))
        if providers is None:
            providers = self._configuration.providers("" if group == "core" else group, plural)
            self._providers[group, plural] = providers
        return providers

    def _sealed(self, operation: Operation) -> Operation:
        if not isinstance(operation, Put):
            return operation
        providers = self._of(operation.key)
        if not providers:
            return operation
        return operation._replace(value=providers[0].encrypt(operation.key, operation.value))

    def _opened(self, kv: KeyValue | None) -> KeyValue | None:
        return None if kv is None else self._opened_one(kv)

    def _opened_one(self, kv: KeyValue) -> KeyValue:
        """Raises _Unreadable."""
        providers = self._of(kv.key)
        if not providers:
            return kv
        for index, provider in enumerate(providers):
            if not kv.value.startswith(provider.prefix):
                continue
            try:
                plain = provider.decrypt(kv.key, kv.value)
            except CannotDecrypt:
                continue  # two keys may have one name
            if index:
                self.outdated.add(kv.key)
            else:
                self.outdated.discard(kv.key)
            return kv._replace(value=plain)
        raise _Unreadable(kv)

    def _opened_event(self, event: Event) -> Event:
        """Raises _Unreadable. What it was comes first, so that what it is decides whether it is outdated."""
        if not self._of(event.key):
            return event
        previous = self._opened(event.previous)
        current = self._opened(event.current)
        if current is None:
            self.outdated.discard(event.key)
        return event._replace(current=current, previous=previous)

    async def _why(self, kv: KeyValue) -> Exception:
        """What to raise for a value that no provider can read: is it still there, or only history?"""
        current = await self._store.get(kv.key)
        if current is None or current.mod_revision != kv.mod_revision:
            self._readable_from = await self._store.current_revision()
            return Compacted(self._readable_from)
        return StoreFailed(
            f"cannot decrypt {kv.key}: no provider of the encryption configuration has the key that wrote it; "
            "put that key (or identity) back into the configuration"
        )
