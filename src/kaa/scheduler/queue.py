"""The pods that wait for a node: which is next, and when one that failed is tried again.

A waiting pod is in one of three places. *Active*: to be tried now, highest priority first, then longest waiting.
*Backing off*: failed, and to be tried after 1 s, 2 s, 4 s ... 10 s. *Unschedulable*: no node takes it; it stays until
something happens that could help (`moved`), or for UNSCHEDULABLE_SECONDS, for events that nobody thought of. Such a
pod still serves its back-off from its last try.

A pod that is being tried is in none of them. What happens meanwhile counts: `failed` is told since when it was tried.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from sortedcontainers import SortedDict

from kaa.lib.backoff import Backoff
from kaa.lib.clock import Clock
from kaa.scheduler.framework import ClusterEvent
from kaa.scheduler.pod_info import PodInfo

Key: TypeAlias = tuple[str, str]

BACKOFF = Backoff(initial_seconds=1.0, limit_seconds=10.0)
UNSCHEDULABLE_SECONDS = 300.0


@dataclass(slots=True)
class Waiting:
    """One pod on its way. `order` says where it stands among the active ones."""

    pod: PodInfo
    number: int  # in the order of arrival
    failures: int = 0
    helped_by: frozenset[ClusterEvent] = frozenset()
    ready_at: float = 0.0  # end of its back-off
    taken_at: int = 0  # number of the last event before it was taken to be tried
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def order(self) -> tuple[int, int]:
        return -self.pod.priority, self.number


class SchedulingQueue:
    """`helped_by` is, by plugin name, which events can make a pod schedulable that the plugin rejected."""

    def __init__(self, clock: Clock, helped_by: Mapping[str, frozenset[ClusterEvent]]) -> None:
        self._clock = clock
        self._helped_by = helped_by
        self._active: SortedDict[tuple[int, int], Waiting] = SortedDict()
        self._waiting: dict[Key, Waiting] = {}  # in any of the three places
        self._unschedulable: dict[Key, Waiting] = {}
        self._trying: dict[Key, Waiting] = {}
        self._events = 0
        self._last: dict[ClusterEvent, int] = {}  # number of the last such event
        self._wakeup = asyncio.Event()
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def active(self) -> int:
        return len(self._active)

    def put(self, pod: PodInfo) -> None:
        """A pod that is new, or has changed: then it is worth trying at once, unless it backs off."""
        known = self._waiting.get(pod.key)
        if known is None:
            trying = self._trying.get(pod.key)
            if trying is not None:
                trying.pod = pod
                return
            self._arrivals += 1
            known = Waiting(pod, self._arrivals)
        else:
            self._take_out(known)
            known.pod = pod
        self._admit(known)

    def drop(self, key: Key) -> None:
        """The pod is gone, or has a node. Twice is once."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            self._take_out(waiting)
        self._trying.pop(key, None)

    async def next(self) -> PodInfo:
        """The pod to try now; `done` or `failed` must follow."""
        while not self._active:
            self._wakeup.clear()
            await self._wakeup.wait()
        waiting: Waiting = self._active.popitem(0)[1]
        del self._waiting[waiting.pod.key]
        self._trying[waiting.pod.key] = waiting
        waiting.taken_at = self._events
        return waiting.pod

    def done(self, key: Key) -> None:
        """The pod has a node."""
        self._trying.pop(key, None)

    def failed(self, key: Key, plugins: Collection[str] = ()) -> None:
        """`plugins` rejected it; none: something else went wrong (a write, say), and it only backs off."""
        waiting = self._trying.pop(key, None)
        if waiting is None:  # dropped meanwhile
            return
        happened = {event for event, number in self._last.items() if number > waiting.taken_at}
        waiting.failures += 1
        waiting.ready_at = self._clock.monotonic() + BACKOFF.delay(waiting.failures)
        waiting.helped_by = frozenset().union(*(self._helped_by.get(plugin, frozenset()) for plugin in plugins))
        if not plugins or happened & waiting.helped_by:
            self._admit(waiting)
            return
        self._waiting[key] = self._unschedulable[key] = waiting
        waiting.timer = self._clock.call_later(UNSCHEDULABLE_SECONDS, self._readmit, key)

    def moved(self, event: ClusterEvent) -> None:
        """Something happened that may help pods that no node would take."""
        self._events += 1
        self._last[event] = self._events
        for waiting in [w for w in self._unschedulable.values() if event in w.helped_by]:
            self._take_out(waiting)
            self._admit(waiting)

    def close(self) -> None:
        for waiting in self._waiting.values():
            if waiting.timer is not None:
                waiting.timer.cancel()

    def _admit(self, waiting: Waiting) -> None:
        """To the active ones, or to back off first."""
        self._waiting[waiting.pod.key] = waiting
        remaining = waiting.ready_at - self._clock.monotonic()
        if remaining > 0:
            waiting.timer = self._clock.call_later(remaining, self._activate, waiting)
        else:
            self._activate(waiting)

    def _activate(self, waiting: Waiting) -> None:
        waiting.timer = None
        self._active[waiting.order] = waiting
        self._wakeup.set()

    def _readmit(self, key: Key) -> None:
        waiting = self._unschedulable.pop(key)
        waiting.timer = None
        self._admit(waiting)

    def _take_out(self, waiting: Waiting) -> None:
        if waiting.timer is not None:
            waiting.timer.cancel()
            waiting.timer = None
        self._active.pop(waiting.order, None)
        self._unschedulable.pop(waiting.pod.key, None)
        del self._waiting[waiting.pod.key]
