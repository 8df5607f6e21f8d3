"""The pods that wait for a node: which is next, and when one that failed is tried again.

A waiting pod is in one of three places. *Active*: to be tried now, highest priority first, then longest waiting.
*Backing off*: failed, and to be tried after 1 s, 2 s, 4 s ... 10 s. *Unschedulable*: no node takes it; it stays until
something happens that could help (`moved`), or for UNSCHEDULABLE_SECONDS, for events that nobody thought of. Such a
pod still serves its back-off from its last try, but only while there is something else to do (see `waiting.py`). A
*gated* pod is unschedulable by the word of one plugin, without having been tried; it stays until that plugin lets it
through.

A pod that is being tried is in none of them. What happens meanwhile counts: events are kept while anything is tried.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

from sortedcontainers import SortedDict

from kaa.lib.backoff import Backoff
from kaa.lib.clock import Clock
from kaa.scheduler.cluster_events import Concern, Event, Hint, gives_up, gives_up_with
from kaa.scheduler.pod_info import Key, PodInfo, PodShape
from kaa.scheduler.waiting import Early, Waiting

log = logging.getLogger(__name__)

Hints: TypeAlias = Mapping[str, Mapping[Concern, Hint]]
"""By plugin name: what can make it change its mind."""

Gate: TypeAlias = Callable[[PodInfo], str | None]
"""The plugin that does not let the pod be tried yet."""

BACKOFF = Backoff(initial_seconds=1.0, limit_seconds=10.0)
UNSCHEDULABLE_SECONDS = 300.0

MAX_EVENTS_KEPT = 1000
"""Events during tries. A pod whose try saw more is taken to be helped by one that is not kept."""


def waits_for_others(pod: PodInfo, event: Event) -> bool:
    """The pod has room kept for it, and this is not about it: it need not be tried in a hurry."""
    here = event.pod is not None and event.pod.node_name == pod.nominated_node_name
    return bool(pod.nominated_node_name) and not here


def _says_yes(plugin: str, hint: Hint, pod: PodInfo, event: Event) -> bool:
    try:
        return hint(pod, event)
    except Exception:  # somebody's plugin: then it is as if it gave no hint
        log.exception("the hint of plugin %s about %s failed", plugin, event.about)
        return True


def open_gate(pod: PodInfo) -> None:
    """Every pod may be tried."""


class SchedulingQueue:
    def __init__(self, clock: Clock, hints: Hints, *, gate: Gate = open_gate, backoff: Backoff = BACKOFF) -> None:
        self._clock = clock
        self._hints = hints
        self._gate = gate
        self._backoff = backoff
        self._active: SortedDict[tuple[int, int], Waiting] = SortedDict()
        self._early = Early()
        self._waiting: dict[Key, Waiting] = {}  # in any of the three places
        self._unschedulable: dict[Key, Waiting] = {}
        self._helped: dict[Concern, dict[Key, Waiting]] = {}  # the unschedulable ones, by what can help them
        self._trying: dict[Key, Waiting] = {}
        self._events = 0
        self._recent: deque[Event] = deque(maxlen=MAX_EVENTS_KEPT)  # the last of them, while something is tried
        self._wakeup = asyncio.Event()
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[PodInfo]:
        """All that wait."""
        return (waiting.pod for waiting in list(self._waiting.values()))

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
            known = Waiting(pod, self._arrival())
        else:
            self._take_out(known)
            known.pod = pod
        self._admit(known)

    def update(self, pod: PodInfo) -> None:
        """Another state of a pod that waits or is tried, which is not worth a try by itself."""
        waiting = self._waiting.get(pod.key) or self._trying.get(pod.key)
        if waiting is None:
            return
        was_early = self._early.discard(waiting)
        waiting.pod = pod
        if was_early:
            self._early.add(waiting)

    def drop(self, key: Key) -> None:
        """The pod is gone, or has a node. Twice is once."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            self._take_out(waiting)
        self._trying.pop(key, None)

    async def next(self) -> PodInfo:
        """The pod to try now; `done` or `failed` must follow."""
        while (pod := self.pop()) is None:
            self._wakeup.clear()
            await self._wakeup.wait()
        return pod

    def pop(self) -> PodInfo | None:
        """The same without waiting."""
        if not self._active and not self._early:
            return None
        waiting: Waiting = self._active.peekitem(0)[1] if self._active else self._early.first()
        self._take_out(waiting)
        if not self._trying:
            self._recent.clear()
        self._trying[waiting.pod.key] = waiting
        waiting.taken_at = self._events
        return waiting.pod

    def is_tried(self, pod: PodInfo) -> bool:
        """Still: not dropped since it was taken."""
        trying = self._trying.get(pod.key)
        return trying is not None and trying.pod.uid == pod.uid

    def placed(self, pod: PodInfo) -> None:
        """There is a node for it: those that are like it may have one, too."""
        self._early.follow(pod.shape)
        self._wakeup.set()

    def done(self, key: Key) -> None:
        """The pod has a node."""
        self._trying.pop(key, None)

    def failed(self, key: Key, plugins: Collection[str] = ()) -> None:
        """`plugins` rejected it; none: something else went wrong (a write, say), and it only backs off."""
        waiting = self._trying.pop(key, None)
        if waiting is None:  # dropped meanwhile
            return
        waiting.number = self._arrival()
        waiting.failures += 1
        waiting.ready_at = self._clock.monotonic() + self._backoff.delay(waiting.failures)
        waiting.plugins = frozenset(plugins)
        if not plugins or self._was_helped(waiting):
            self._admit(waiting)
        else:
            self._set_aside(waiting)

    def moved(self, event: Event) -> None:
        """Something happened that may help pods that no node would take."""
        self._events += 1
        if self._trying:
            self._recent.append(event)
        verdicts: dict[tuple[PodShape, frozenset[str]], bool] = {}  # pods that are alike are asked about once
        for waiting in list(self._helped.get(event.about, {}).values()):
            alike = waiting.pod.shape, waiting.plugins
            if waiting.gated or alike not in verdicts:
                verdicts[alike] = self._helps(event, waiting)
            if verdicts[alike]:
                self._take_out(waiting)
                # Two gangs that fit neither way would else chase each other without a pause.
                hurry = not gives_up(event) and not waits_for_others(waiting.pod, event)
                self._admit(waiting, early=hurry)

    def activate(self, keys: Iterable[Key]) -> None:
        """Tries these now, back-off or not: somebody knows that it is worth it."""
        for key in keys:
            waiting = self._waiting.get(key)
            if waiting is not None:
                self._take_out(waiting)
                waiting.ready_at = 0.0  # after it was taken out: it stands there by this
                self._admit(waiting)

    def close(self) -> None:
        for waiting in self._waiting.values():
            if waiting.timer is not None:
                waiting.timer.cancel()

    def _arrival(self) -> int:
        self._arrivals += 1
        return self._arrivals

    def _helps(self, event: Event, waiting: Waiting) -> bool:
        if gives_up_with(waiting.pod, event):
            return False
        hints = ((plugin, self._hints.get(plugin, {}).get(event.about)) for plugin in waiting.plugins)
        return any(hint is not None and _says_yes(plugin, hint, waiting.pod, event) for plugin, hint in hints)

    def _was_helped(self, waiting: Waiting) -> bool:
        """While it was tried."""
        happened = self._events - waiting.taken_at
        if happened > len(self._recent):
            return True
        return any(self._helps(self._recent[-index], waiting) for index in range(1, happened + 1))

    def _admit(self, waiting: Waiting, *, early: bool = True) -> None:
        """To the active ones, or to back off first, for less long if that may be; aside if its gate is closed."""
        gated_by = self._gate(waiting.pod)
        if gated_by is not None:
            waiting.plugins = frozenset((gated_by,))
            self._set_aside(waiting, gated=True)
            return
        self._waiting[waiting.pod.key] = waiting
        remaining = waiting.ready_at - self._clock.monotonic()
        if remaining <= 0:
            self._activate(waiting)
            return
        waiting.timer = self._clock.call_later(remaining, self._activate, waiting)
        if early and waiting.plugins:  # without, something did not work: that needs time
            self._early.add(waiting)
            self._wakeup.set()

    def _set_aside(self, waiting: Waiting, *, gated: bool = False) -> None:
        key = waiting.pod.key
        waiting.gated = gated
        self._waiting[key] = self._unschedulable[key] = waiting
        for plugin in waiting.plugins:
            for concern in self._hints.get(plugin, ()):
                self._helped.setdefault(concern, {})[key] = waiting
        if not gated:
            waiting.timer = self._clock.call_later(UNSCHEDULABLE_SECONDS, self._readmit, waiting)

    def _activate(self, waiting: Waiting) -> None:
        waiting.timer = None
        self._early.discard(waiting)
        self._active[waiting.order] = waiting
        self._wakeup.set()

    def _readmit(self, waiting: Waiting) -> None:
        waiting.timer = None
        self._take_out(waiting)
        self._admit(waiting)

    def _take_out(self, waiting: Waiting) -> None:
        key = waiting.pod.key
        if waiting.timer is not None:
            waiting.timer.cancel()
            waiting.timer = None
        self._active.pop(waiting.order, None)
        self._early.discard(waiting)
        del self._waiting[key]
        if self._unschedulable.pop(key, None) is not None:
            waiting.gated = False
            for plugin in waiting.plugins:
                for concern in self._hints.get(plugin, ()):
                    self._helped[concern].pop(key, None)
