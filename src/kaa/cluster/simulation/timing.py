"""A cluster's time, as those who use it see it: for how long, until when, and when it is *settled*.

A cluster is settled when nothing has been written for some quiet seconds of its own time, heartbeats and Events left
aside. So it has no write under way and no queue that works; what it still waits for lies further away than the quiet
time (a CronJob's next minute, a back-off of five minutes, a probe that will fail in an hour). Choose `quiet` longer
than the delays that one wants to see the end of.

    heartbeat   a Lease's change, and a Node's that is nothing but newer times of heartbeats
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from inspect import isawaitable
from typing import Any

import orjson

from kaa.cluster.simulation.history import History, Step
from kaa.cluster.simulation.waiting import WaitTimeout
from kaa.lib.clock import Clock

QUIET_VIRTUAL_SECONDS = 10.0
QUIET_WALL_SECONDS = 1.0
"""How long nothing must have happened, unless told otherwise. Virtual seconds cost nothing."""

SETTLE_SECONDS = 3600.0

POLL_SECONDS = 1.0
POLL_WALL_SECONDS = 0.05
"""How often a predicate is asked when nothing is written that would wake it: it may look at anything."""

SHOWN_CHANGES = 10

QUIET_PREFIXES = ("/registry/coordination.k8s.io/leases/", "/registry/core/events/")
NODES = "/registry/core/nodes/"


def seconds_of(
    duration: float | timedelta, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
) -> float:
    """All of it together."""
    whole = duration if isinstance(duration, timedelta) else timedelta(seconds=duration)
    return (whole + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)).total_seconds()


def is_heartbeat(step: Step) -> bool:
    """Whether a change only says that somebody is alive, or tells of another change."""
    if step.key.startswith(QUIET_PREFIXES):
        return True
    if step.verb != "update" or not step.key.startswith(NODES):
        return False
    return bool(_without_heartbeats(step.stored) == _without_heartbeats(step.before))


def _without_heartbeats(stored: bytes) -> Any:
    node = orjson.loads(stored)
    node["metadata"].pop("managedFields", None)
    for condition in node.get("status", {}).get("conditions") or ():
        condition.pop("lastHeartbeatTime", None)
    return node


async def settle(history: History, clock: Clock, quiet_seconds: float, timeout_seconds: float) -> None:
    """Raises WaitTimeout, which tells of the last changes."""
    deadline = clock.monotonic() + timeout_seconds
    last = clock.monotonic()
    seen: deque[Step] = deque(maxlen=SHOWN_CHANGES)

    def listen(step: Step) -> None:
        nonlocal last
        if not is_heartbeat(step):
            last = clock.monotonic()
            seen.append(step)

    with history.listening(listen):
        while (left := last + quiet_seconds - clock.monotonic()) > 0:
            if clock.monotonic() + left > deadline:
                changes = "\n".join(f"  {step.time.isoformat()} {step.verb} {step.key}" for step in seen)
                why = f"not settled in {timeout_seconds:g} seconds: there is no quiet of {quiet_seconds:g} seconds"
                raise WaitTimeout(f"{why}; the last changes:\n{changes}")
            await clock.sleep(left)


async def until(
    predicate: Callable[[], Any | Awaitable[Any]],
    revision: Callable[[], int],
    next_moment: Callable[[int], Awaitable[None]],
) -> Any:
    """What the predicate, a plain or a coroutine function, gives once that is true. It is asked after each moment."""
    while True:
        seen = revision()
        found = predicate()
        if isawaitable(found):
            found = await found
        if found:
            return found
        await next_moment(seen)


async def next_moment(history: History, clock: Clock, revision: int, deadline: float, poll_seconds: float) -> None:
    """Until something has been written after `revision`, or some time has passed. Raises WaitTimeout when too late."""
    if history.revision > revision:
        return
    left = deadline - clock.monotonic()
    if left <= 0:
        raise WaitTimeout("the predicate has not come true")
    written = asyncio.Event()
    with history.listening(lambda step: written.set()):
        try:
            async with asyncio.timeout(min(left, poll_seconds)):
                await written.wait()
        except TimeoutError:
            pass
