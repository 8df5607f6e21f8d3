"""Terminated pods: no more than so many that have ended are kept; of the rest the evicted go first, then the oldest.

It is a program and no row: how many there are is a question about all pods, not about one. They are counted as they
come, and looked at only when there are too many.
"""

from collections.abc import Sequence

from kaa.api.errors import APIError
from kaa.api.objects import Object, name_of, namespace_of, uid_of
from kaa.client.informer import Change
from kaa.client.transport import TransportError
from kaa.controllers.controller import Key, key_of
from kaa.controllers.pods import is_terminal
from kaa.controllers.program import Context

THRESHOLD = 12500
PERIOD_SECONDS = 20.0
"""As upstream's --terminated-pod-gc-threshold, and the time between two looks."""


def surplus(pods: Sequence[Object], threshold: int) -> list[Object]:
    """Those that are too many, in the order that they go."""
    by_worth = sorted(pods, key=lambda p: (not is_evicted(p), p["metadata"]["creationTimestamp"], key_of(p)))
    return by_worth[: max(0, len(pods) - threshold)]


def is_evicted(pod: Object) -> bool:
    return bool(pod.get("status", {}).get("reason") == "Evicted")


class TerminatedPods:
    """The loop."""

    def __init__(self, context: Context, threshold: int = THRESHOLD) -> None:
        self._client = context.client
        self._clock = context.clock
        self._threshold = threshold
        self._pods = context.informers.informer("Pod")
        self._terminated: set[Key] = set()
        self._pods.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        if change.new is not None and is_terminal(change.new):
            self._terminated.add(key_of(change.new))
        elif (pod := change.new or change.old) is not None:
            self._terminated.discard(key_of(pod))

    async def run(self) -> None:
        """Until cancelled."""
        await self._pods.wait_synced()
        while True:
            if len(self._terminated) > self._threshold:
                await self._collect()
            await self._clock.sleep(PERIOD_SECONDS)

    async def _collect(self) -> None:
        known = [self._pods.get(name, namespace) for namespace, name in self._terminated]
        for pod in surplus([pod for pod in known if pod is not None], self._threshold):
            try:
                await self._client.delete("Pod", name_of(pod), namespace_of(pod), grace_seconds=0, uid=uid_of(pod))
            except (APIError, TransportError):
                continue  # gone already, or there still in the next round
