"""Who is told of which change. Every watcher has a bounded queue; one that falls behind reads the log instead.

A watcher is *live* when everything from `next_revision` on will be put in its queue, and *behind* when it must first
read the log up to the newest revision: at its start in the past, and when its queue has overflowed. So a slow
consumer costs no memory, and loses nothing until compaction overtakes it.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from kaa.store.store import Event

MAX_WAITING_EVENTS = 4096
"""Events that wait for one consumer, before it has to read them from the log."""


@dataclass(slots=True, eq=False)
class Watcher:
    prefix: str
    next_revision: int  # everything before it has been delivered, or was not asked for
    behind: bool
    waiting: deque[Event] = field(default_factory=deque)
    wakeup: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    def offer(self, event: Event) -> None:
        if self.behind or event.revision < self.next_revision:
            return
        if len(self.waiting) == MAX_WAITING_EVENTS:
            self.fall_behind(event.revision)
        else:
            self.waiting.append(event)
            self.wakeup.set()

    def fall_behind(self, revision: int) -> None:
        """Lets the watcher read the log from that revision on, or from what it has not been given yet."""
        if not self.behind:
            self.next_revision = self.waiting[0].revision if self.waiting else max(revision, self.next_revision)
            self.behind = True
            self.waiting.clear()
            self.wakeup.set()

    async def take(self) -> list[Event]:
        """What waits, whole revisions; waits for something. Empty when the watcher has ended or fallen behind."""
        while not (self.waiting or self.ended or self.behind):
            self.wakeup.clear()
            await self.wakeup.wait()
        events = list(self.waiting)
        self.waiting.clear()
        return events


class Watchers:
    """Watchers by prefix. A key's are found by cutting it at the lengths of the prefixes that are watched."""

    def __init__(self) -> None:
        self._by_prefix: dict[str, list[Watcher]] = {}
        self._lengths: list[int] = []

    @contextmanager
    def watching(self, prefix: str, from_revision: int, newest_revision: int) -> Iterator[Watcher]:
        watcher = Watcher(prefix, from_revision, behind=from_revision <= newest_revision)
        self._by_prefix.setdefault(prefix, []).append(watcher)
        self._lengths = sorted({len(p) for p in self._by_prefix})
        try:
            yield watcher
        finally:
            self._by_prefix[prefix].remove(watcher)
            if not self._by_prefix[prefix]:
                del self._by_prefix[prefix]
            self._lengths = sorted({len(p) for p in self._by_prefix})

    def of(self, key: str) -> list[Watcher]:
        """Whoever watches the key."""
        found: list[Watcher] = []
        for length in self._lengths:
            found += self._by_prefix.get(key[:length], ())
        return found

    def publish(self, events: Sequence[Event]) -> None:
        for event in events:
            for watcher in self.of(event.key):
                watcher.offer(event)

    def end(self) -> None:
        """Lets every watcher finish what waits for it and stop."""
        for watchers in self._by_prefix.values():
            for watcher in watchers:
                watcher.ended = True
                watcher.wakeup.set()
