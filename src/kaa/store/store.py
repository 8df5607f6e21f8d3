"""The Store: a revisioned log of keys and bytes, in etcd's model. One of Kaa's narrow waists.

Every successful transaction that changes something has the next revision, a positive integer that only grows. A
key's value carries the revisions of its creation and last change. A watch gives every change after a revision, in
order, with none left out and none twice. Old revisions can be read until they are compacted.

    rev 1: put /registry/pods/a/x = "1"      x: create_revision 1, mod_revision 1
    rev 2: put /registry/pods/a/x = "2"      x: create_revision 1, mod_revision 2
    rev 3: delete /registry/pods/a/x
    range("/registry/pods/", revision=2) -> x = "2";  watch("/registry/pods/", 2) -> put x "2", delete x

Terms: *key* (text, no NUL), *prefix* (all keys that begin with it), *revision* (int), *lease* (an id; its keys go
when it expires or is revoked). Invariant: 0 <= compacted_revision <= revision.

What every implementation promises: a transaction that has returned is durable (it survives `kill -9` at once
after; `memory` promises this for as long as the process lives); readers see whole transactions only; reads at one
revision are a consistent snapshot; nothing here blocks the event loop. Transactions are decided one after the other:
one that begins after another has returned comes after it, and of those under way together any may be first.
`tests/contract/test_store.py` is the suite that each passes.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias


class KeyValue(NamedTuple):
    key: str
    value: bytes
    create_revision: int
    mod_revision: int


class Put(NamedTuple):
    key: str
    value: bytes
    lease: int = 0  # 0: none


class Delete(NamedTuple):
    key: str


Operation: TypeAlias = Put | Delete


class Compare(NamedTuple):
    """The key's mod_revision must be this; 0 means that the key does not exist."""

    key: str
    mod_revision: int


class Transaction(NamedTuple):
    """What `txn` returns. `current` holds the compared keys as they are, when `succeeded` is false."""

    succeeded: bool
    revision: int
    current: tuple[KeyValue | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What `range` returns: keys in order. `count` is how many the prefix has from `start` on, this page included."""

    items: list[KeyValue]
    revision: int  # of the snapshot that was read
    count: int

    @property
    def more(self) -> bool:
        return self.count > len(self.items)


class Event(NamedTuple):
    """One change of one key, at `revision`. `current` is None for a deletion, `previous` None for a creation."""

    key: str
    revision: int
    current: KeyValue | None
    previous: KeyValue | None


class Compacted(Exception):
    """The revision asked for is older than what is kept. `compacted_revision` is the oldest that can be read."""

    def __init__(self, compacted_revision: int) -> None:
        super().__init__(f"required revision has been compacted (oldest: {compacted_revision})")
        self.compacted_revision = compacted_revision


class FutureRevision(Exception):
    """The revision asked for has not happened yet."""


class StoreFailed(Exception):
    """The store cannot write (disk full, file damaged, etcd out of reach). The message is for a person."""


class Store(Protocol):
    @property
    def revision(self) -> int:
        """The newest revision that this process knows of; 0 for an empty store."""
        ...

    @property
    def compacted_revision(self) -> int:
        """How far history is compacted, as far as this process knows."""
        ...

    async def current_revision(self) -> int:
        """The newest revision of all: whatever was committed before the call, by any process, is at it or before.

        A store that only one process can open answers at once. Raises StoreFailed.
        """
        ...

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        """The key as of `revision` (0: now). Raises Compacted, FutureRevision."""
        ...

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        """Keys with the prefix that are >= `start`, at most `limit` (0: all), as of `revision` (0: now).

        Raises Compacted, FutureRevision.
        """
        ...

    async def txn(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> Transaction:
        """Carries out all operations at one new revision if every comparison holds, else none.

        No key may occur twice in `operations`, nor more than 128 keys (etcd's limit). Deleting an absent key changes
        nothing; a transaction that changes nothing has no revision of its own. Cancelling the caller does not undo
        it. Raises KeyError for a lease that is gone; StoreFailed: then an etcd that gave no answer may have done it.
        """
        ...

    def watch(self, prefix: str, from_revision: int) -> AsyncGenerator[list[Event], None]:
        """Every event with revision >= `from_revision` (may lie in the future), in order, until the iterator is closed.

        A list holds the events of one or more whole revisions. Raises Compacted from the iterator, also when a
        consumer was so slow that the events it needs next are gone: the number kept for it is bounded.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forgets what no revision >= `revision` needs. Raises Compacted if that has been done, FutureRevision."""
        ...

    async def grant(self, ttl_seconds: int) -> int:
        """A new lease's id. Its keys are deleted (as a change with a revision) when it is not kept alive in time."""
        ...

    async def keep_alive(self, lease: int) -> None:
        """Starts the lease's time anew. Raises KeyError if it is gone."""
        ...

    async def revoke(self, lease: int) -> None:
        """Ends the lease and deletes its keys now. Twice is once."""
        ...

    async def close(self) -> None:
        """Finishes accepted transactions and ends every watch. Twice is once."""
        ...
