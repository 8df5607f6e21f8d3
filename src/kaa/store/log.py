"""The change log: what a store keeps on its medium. `LogStore` is the model above it.

A *change* is one key's new value (or its deletion) at one revision. Its id is the revision and its position in the
transaction in one integer, so that the order of ids is the order of history and an id says which revision it is of.
Changes are only ever appended, in the order of their ids, and forgotten when compacted.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

POSITION_BITS = 20
"""How many bits of an id are the position: a transaction has at most a million operations (a lease's keys)."""


class Change(NamedTuple):
    """A row of the log. A deletion has no value and `create_revision` 0. `lease` is 0 for none."""

    id: int
    key: str
    create_revision: int
    lease: int
    value: bytes | None


def change_id(revision: int, position: int) -> int:
    assert position < 1 << POSITION_BITS
    return revision << POSITION_BITS | position


def revision_of(id: int) -> int:
    return id >> POSITION_BITS


@dataclass(slots=True)
class Batch:
    """What is made durable at once. `leases` maps a lease to its time to live in seconds; 0 ends it."""

    changes: list[Change] = field(default_factory=list)
    leases: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a log holds when it is opened; `changes` come without values, in the order of ids."""

    compacted_revision: int
    leases: Mapping[int, int]
    changes: Iterable[Change]


class ChangeLog(Protocol):
    """A medium. Calls of `append`, `forget` and `close` take effect in the order in which they were made."""

    def append(self, batch: Batch) -> "asyncio.Future[None]":
        """Keeps all of the batch or, raising StoreFailed, nothing; durable once it returns."""
        ...

    def forget(self, compacted_revision: int, ids: Sequence[int]) -> Awaitable[None]:
        """Drops these changes and remembers how far history is compacted. Raises StoreFailed."""
        ...

    def values(self, ids: Sequence[int]) -> list[bytes]:
        """The values of kept puts, without waiting: memory, or a file that the operating system caches."""
        ...

    def changes(self, first_id: int, end_id: int, prefix: str) -> list[Change]:
        """The kept changes of keys with the prefix with first_id <= id < end_id, in order; without waiting."""
        ...

    def close(self) -> Awaitable[None]: ...
