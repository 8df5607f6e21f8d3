"""Leases: a time to live for keys. The table of them, and the timers that say which has run out.

A lease that is granted, or kept alive, lives for its time to live from then on; a restart of the store counts as
keeping every lease alive, as in etcd. What runs out is reported, not removed: the store deletes the keys first.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from kaa.lib.clock import Clock


@dataclass(slots=True)
class Lease:
    ttl_seconds: int
    keys: set[str] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None


class Leases:
    def __init__(self, clock: Clock, expired: Callable[[int], None]) -> None:
        self._clock = clock
        self._expired = expired
        self._leases: dict[int, Lease] = {}
        self._lease_of: dict[str, int] = {}  # only keys that have one

    def __contains__(self, lease: int) -> bool:
        return lease in self._leases

    def times_to_live(self) -> dict[int, int]:
        """Every lease and its seconds."""
        return {lease: entry.ttl_seconds for lease, entry in self._leases.items()}

    def add(self, lease: int, ttl_seconds: int) -> None:
        self._leases[lease] = Lease(ttl_seconds)

    def start(self, lease: int, seconds: float | None = None) -> None:
        """Starts the lease's time anew: its time to live, or `seconds`."""
        entry = self._leases[lease]
        if entry.timer is not None:
            entry.timer.cancel()
        wait = entry.ttl_seconds if seconds is None else seconds
        entry.timer = self._clock.call_later(wait, self._expired, lease)

    def start_all(self) -> None:
        for lease in self._leases:
            self.start(lease)

    def keys(self, lease: int) -> list[str]:
        """The lease's keys in order."""
        return sorted(self._leases[lease].keys)

    def attach(self, key: str, lease: int) -> bool:
        """Makes the key the lease's, and no other's; 0 is none. False if the lease is gone."""
        earlier = self._lease_of.pop(key, 0)
        if earlier in self._leases:
            self._leases[earlier].keys.discard(key)
        if not lease:
            return True
        if lease not in self._leases:
            return False
        self._leases[lease].keys.add(key)
        self._lease_of[key] = lease
        return True

    def end(self, lease: int) -> None:
        """Forgets the lease, whose keys have been deleted. Twice is once."""
        entry = self._leases.pop(lease, None)
        if entry is not None and entry.timer is not None:
            entry.timer.cancel()

    def close(self) -> None:
        for entry in self._leases.values():
            if entry.timer is not None:
                entry.timer.cancel()
