"""What the watch cache holds of an object, and one step from one such state to the next."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Entry:
    """One object as the cache keeps it. Never changed after it was made."""

    key: str  # `<namespace>/<name>` or the name
    namespace: str
    name: str
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    revision: int
    create_revision: int
    item: bytes


@dataclass(slots=True)
class Change:
    """At a revision, an object came (no previous), changed, or went (no current)."""

    revision: int
    current: Entry | None
    previous: Entry | None

    @property
    def size(self) -> int:
        return len(self.current.item if self.current else b"") + len(self.previous.item if self.previous else b"")
