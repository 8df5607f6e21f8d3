"""Back-off that is forgotten after a long quiet time: restarts of a container, pulls of an image.

A key's first try is free; each further one waits 10 s, 20 s, ... up to 300 s after the last. A key that has not
tried for twice the limit (10 minutes) starts anew. So a container that ran well for long restarts at once.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from kaa.lib.backoff import Backoff

K = TypeVar("K", bound=Hashable)

RESTART_BACKOFF = Backoff(initial_seconds=10.0, limit_seconds=300.0)
PULL_BACKOFF = Backoff(initial_seconds=10.0, limit_seconds=300.0)
"""Upstream's MaxContainerBackOff and its image back-off: the same numbers, two tables."""


@dataclass(frozen=True, slots=True)
class Delay:
    """`seconds` to wait from the last failure; `counted_at` is when the last try was counted."""

    seconds: float
    counted_at: datetime


@dataclass(slots=True)
class DelayTable(Generic[K]):
    """Delays by key. Holds a key until `forget`."""

    backoff: Backoff
    entries: dict[K, Delay] = field(default_factory=dict)
    _tries: dict[K, int] = field(default_factory=dict)

    def count(self, key: K, now: datetime) -> None:
        """A try is made now: the next one waits longer."""
        entry = self.entries.get(key)
        fresh = entry is None or self._is_stale(entry, now)
        self._tries[key] = 1 if fresh else self._tries[key] + 1
        self.entries[key] = Delay(self.backoff.delay(self._tries[key]), now)

    def until(self, key: K, since: datetime, now: datetime) -> datetime | None:
        """When the key may be tried again, given its last failure `since`; None: at once."""
        entry = self.entries.get(key)
        if entry is None or self._is_stale(entry, now):
            return None
        due = since + timedelta(seconds=entry.seconds)
        return due if due > now else None

    def forget(self, key: K) -> None:
        self.entries.pop(key, None)
        self._tries.pop(key, None)

    def _is_stale(self, entry: Delay, now: datetime) -> bool:
        return now - entry.counted_at > timedelta(seconds=2 * self.backoff.limit_seconds)


def spell(seconds: float) -> str:
    """A duration as Go prints it, cut to milliseconds: `250ms`, `10s`, `1m20s`, `1h0m1.5s`; messages carry it."""
    milliseconds = round(seconds * 1_000_000) // 1000
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    largest = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{largest}{rest / 1000:g}s"
