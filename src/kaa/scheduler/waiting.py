"""Pods that wait, and which of those that back off may be tried sooner because the scheduler has nothing else to do.

Of pods that are alike only one is tried so, a *scout*: if it gets no node, neither would the others. If it gets one,
the next of its kind follows. So a thousand pods that fit nowhere cost one try when something happens, not a thousand.
A pod that has room kept for it is a kind of its own.
"""

import asyncio
from dataclasses import dataclass, field
from typing import TypeAlias

from sortedcontainers import SortedDict

from kaa.scheduler.pod_info import Key, PodInfo, PodShape


@dataclass(slots=True, eq=False)
class Waiting:
    """One pod on its way. `order` says where it stands among the active ones."""

    pod: PodInfo
    number: int  # in the order of arrival; one that failed arrives anew
    failures: int = 0
    plugins: frozenset[str] = frozenset()  # that rejected it
    gated: bool = False
    ready_at: float = 0.0  # end of its back-off
    taken_at: int = 0  # number of the last event before it was taken to be tried
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def order(self) -> tuple[int, int]:
        return -self.pod.priority, self.number


Kind: TypeAlias = PodShape | Key


def kind_of(pod: PodInfo) -> Kind:
    return pod.key if pod.nominated_node_name else pod.shape


class Early:
    """Those that may be tried sooner. The scout whose back-off ends first is the next."""

    def __init__(self) -> None:
        self._kinds: dict[Kind, dict[Key, Waiting]] = {}
        self._scouts: SortedDict[tuple[float, int], Waiting] = SortedDict()
        self._scout_of: dict[Kind, Waiting] = {}

    def __bool__(self) -> bool:
        return bool(self._scouts)

    def first(self) -> Waiting:
        waiting: Waiting = self._scouts.peekitem(0)[1]
        return waiting

    def add(self, waiting: Waiting) -> None:
        kind = kind_of(waiting.pod)
        self._kinds.setdefault(kind, {})[waiting.pod.key] = waiting
        self.follow(kind)

    def discard(self, waiting: Waiting) -> bool:
        """Whether it was there. Nobody follows it."""
        kind = kind_of(waiting.pod)
        pods = self._kinds.get(kind, {})
        if pods.pop(waiting.pod.key, None) is None:
            return False
        if not pods:
            del self._kinds[kind]
        if self._scout_of.get(kind) is waiting:
            del self._scout_of[kind]
            del self._scouts[waiting.ready_at, waiting.number]
        return True

    def follow(self, kind: Kind) -> None:
        """One of them is the scout."""
        pods = self._kinds.get(kind)
        if pods and kind not in self._scout_of:
            scout = self._scout_of[kind] = next(iter(pods.values()))
            self._scouts[scout.ready_at, scout.number] = scout
