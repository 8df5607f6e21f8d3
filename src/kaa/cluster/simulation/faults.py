"""Faults: what goes wrong in a cluster, as Python. On a schedule, or drawn from the seed.

    c.faults.crash("kube-controller-manager", after=5, for_=10)      # kill -9 at 5 s; a new process at 15 s
    c.faults.partition("node/node-1", for_=120)                      # at once
    c.faults.fail_writes(fraction=0.2, reason="Conflict")            # of everybody, until `heal`
    c.faults.random(rate=1 / 30, for_=600)                           # one in 30 seconds, of any kind, for 10 minutes

Each method returns at once; the fault begins `after` seconds from then and lasts `for_` seconds, of the cluster's
time; without `for_`, until `heal`. `names` are patterns of component names ("node/*"). What was done, and when, is in
`log`. Each method says which real failure it stands for; what Kubernetes excludes cannot be asked for (see link).

    fault    something wrong for some time: entering it makes it so, leaving it undoes it
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from kaa.cluster.simulation.link import FailedWrites, Link, RepeatedEvents, Rule, SlowWatches
from kaa.cluster.simulation.world import World
from kaa.lib.clock import rfc3339_micro

EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Fault:
    """One that has begun. `seconds` None: until it is healed; 0: it is over at once."""

    at: datetime
    what: str
    seconds: float | None

    def __str__(self) -> str:
        lasting = "" if not self.seconds else f" for {self.seconds:.3f} s"
        return f"{rfc3339_micro(self.at)} {self.what}{lasting}"


class Faults:
    """Of one world; made in its event loop, closed before it is stopped. Its methods may be called from any thread."""

    def __init__(self, world: World) -> None:
        self.log: list[Fault] = []
        self._world = world
        self.chance = Random(f"{world.seed}/faults")
        """What `random` draws from; scenarios draw from it what they leave to chance."""
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[asyncio.Task[None], None] = {}

    # Processes and machines

    def crash(self, name: str, *, after: float = 0.0, for_: float | None = None) -> None:
        """The component's process is killed (kill -9, out of memory, its machine loses power) and begins anew.

        Its unwritten events, caches and queues are gone; a request of its that is under way may or may not be carried
        out; a lease that it holds runs out by itself.
        """
        self._check(name)
        self._begin(f"crash {name}", self._crashed(name), after, for_)

    def pause(self, name: str, *, after: float = 0.0, for_: float | None = None) -> None:
        """The component stands still and later goes on as if nothing had been: SIGSTOP, a swapping or a moved machine.

        Its watches fill up meanwhile. What it sends first afterwards was decided on what it knew before. The one thing
        that goes on in the meantime is asyncio's own time limits, which then have run out.
        """
        self._check(name)
        self._begin(f"pause {name}", self._paused(name), after, for_)

    def skew(self, name: str, seconds: float, *, after: float = 0.0, for_: float | None = None) -> None:
        """The component's time of day is wrong by so much (negative: slow): NTP has failed, a machine was resumed."""
        self._check(name)
        self._begin(f"skew {name} by {seconds:.3f} s", self._skewed(name, seconds), after, for_)

    # The network

    def partition(self, names: str, *, after: float = 0.0, for_: float | None = None) -> None:
        """No message passes between the components and the server: a cable, a switch, a firewall rule.

        Requests time out; some had taken effect. Watches are silent, and given up after 45 seconds as client-go does.
        What was sent in a shorter partition arrives at its end.
        """
        self._begin(f"partition {names}", self._parted(self._matching(names)), after, for_)

    def drop_watches(
        self, names: str = EVERYBODY, *, kind: str = "", expired: bool = False, after: float = 0.0
    ) -> None:
        """The watches break and what was under way in them is lost: the server restarts, a load balancer closes.

        Clients resume where they were. `expired`: too much has happened since, they are refused (410) and must list
        anew: they never learn what came and went in between. (An event that is lost in a watch which goes on does not
        exist in Kubernetes.)
        """
        what = f"drop watches of {kind or 'everything'} of {names}{', expired' if expired else ''}"
        self._begin(what, self._dropped(self._matching(names), self._plural(kind), expired), after, 0.0)

    def delay_watches(
        self,
        names: str = EVERYBODY,
        *,
        seconds: tuple[float, float] = (0.1, 2.0),
        kind: str = "",
        after: float = 0.0,
        for_: float | None = None,
    ) -> None:
        """What watches tell is late by a time between the two, in order: a server, or a client, that is overloaded."""
        rule = SlowWatches(*seconds, self._plural(kind))
        self._rule(f"delay watches of {kind or 'everything'} of {names}", names, rule, after, for_)

    def reorder_watches(
        self,
        names: str = EVERYBODY,
        *,
        seconds: tuple[float, float] = (0.0, 2.0),
        after: float = 0.0,
        for_: float | None = None,
    ) -> None:
        """Each watch is late by a time of its own, so that what happened first to two kinds may be seen last.

        A Pod is seen before the ReplicaSet that made it; a deletion before the creation of what replaced it. Two
        changes of one kind keep their order: one connection brings them.
        """
        rule = SlowWatches(*seconds, each_its_own=True)
        self._rule(f"reorder watches of {names}", names, rule, after, for_)

    def duplicate_watches(
        self,
        names: str = EVERYBODY,
        *,
        fraction: float = 0.5,
        kind: str = "",
        after: float = 0.0,
        for_: float | None = None,
    ) -> None:
        """A fraction of the events is told twice, as a new list tells what one knew: handlers must not count."""
        rule = RepeatedEvents(fraction, self._plural(kind))
        self._rule(f"duplicate watches of {kind or 'everything'} of {names}", names, rule, after, for_)

    # The server

    def fail_writes(
        self,
        names: str = EVERYBODY,
        *,
        fraction: float = 0.2,
        reason: str = "Conflict",
        kind: str = "",
        after: float = 0.0,
        for_: float | None = None,
    ) -> None:
        """A fraction of the components' writes is refused; what each reason stands for is said at `FailedWrites`."""
        rule = FailedWrites(fraction, reason, self._plural(kind))
        what = f"fail {fraction:.0%} of writes of {kind or 'everything'} of {names} with {reason}"
        self._rule(what, names, rule, after, for_)

    # Chance

    def random(
        self,
        *,
        rate: float = 1 / 30,
        kinds: Sequence[str] = (),
        names: str = EVERYBODY,
        after: float = 0.0,
        for_: float | None = None,
    ) -> None:
        """Faults of these kinds (all of `KINDS` unless said), on average `rate` of them a second, drawn from the seed.

        No new one begins after `for_` seconds; the last ones end by themselves.
        """
        chosen = list(kinds) or list(KINDS)
        if unknown := [kind for kind in chosen if kind not in KINDS]:
            raise ValueError(f"no such kind of fault: {', '.join(unknown)}; there are {', '.join(KINDS)}")
        self._start(self._draw(rate, chosen, names, after, for_))

    async def _draw(self, rate: float, kinds: list[str], names: str, after: float, for_: float | None) -> None:
        clock = self._world.clock
        if after:
            await clock.sleep(after)
        end = None if for_ is None else clock.monotonic() + for_
        while True:
            await clock.sleep(self.chance.expovariate(rate))
            if end is not None and clock.monotonic() >= end:
                return
            candidates = [name for name in self._world.links if fnmatchcase(name, names)]
            if candidates:
                KINDS[self.chance.choice(kinds)](self, self.chance.choice(candidates), self.chance)

    # The end

    def heal(self) -> None:
        """Ends all faults, also those that have not begun, and starts what is down."""
        self._in_loop(self._cancel)

    async def close(self) -> None:
        self._cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    # How a fault is begun and ended

    def _begin(self, what: str, fault: AbstractAsyncContextManager[bool], after: float, for_: float | None) -> None:
        self._start(self._last(what, fault, after, for_))

    async def _last(
        self, what: str, fault: AbstractAsyncContextManager[bool], after: float, for_: float | None
    ) -> None:
        clock = self._world.clock
        if after:
            await clock.sleep(after)
        async with fault as begun:
            if not begun:
                return
            self.log.append(Fault(clock.now(), what, for_))
            if for_ is None:
                await self._loop.create_future()
            else:
                await clock.sleep(for_)

    def _rule(self, what: str, names: str, rule: Rule, after: float, for_: float | None) -> None:
        self._begin(what, self._ruled(self._matching(names), rule), after, for_)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._in_loop(self._create_task, work)

    def _create_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    def _in_loop(self, callback: Callable[..., object], *args: object) -> None:
        """At once in the loop's own thread, also while it stands still; soon, if the loop runs in another thread."""
        try:
            inside = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            inside = False
        if inside or not self._loop.is_running():
            callback(*args)
        else:
            self._loop.call_soon_threadsafe(callback, *args)

    def _check(self, name: str) -> None:
        if name not in self._world.links:
            raise ValueError(f"there is no component {name}; there are {', '.join(self._world.links)}")

    def _matching(self, names: str) -> list[Link]:
        links = [link for name, link in self._world.links.items() if fnmatchcase(name, names)]
        if not links:
            raise ValueError(f"no component is named {names}; there are {', '.join(self._world.links)}")
        return links

    def _plural(self, kind: str) -> str:
        return self._world.client.resource(kind).name if kind else ""

    # What a fault does; each yields whether it has begun

    @asynccontextmanager
    async def _crashed(self, name: str) -> AsyncIterator[bool]:
        if name not in self._world.running:
            yield False  # it is down already
            return
        await self._world.crash(name)
        try:
            yield True
        finally:
            self._world.restart(name)

    @asynccontextmanager
    async def _paused(self, name: str) -> AsyncIterator[bool]:
        link, clock = self._world.links[name], self._world.clocks[name]
        link.pause()
        clock.pause()
        try:
            yield True
        finally:
            link.resume()
            clock.resume()

    @asynccontextmanager
    async def _skewed(self, name: str, seconds: float) -> AsyncIterator[bool]:
        clock = self._world.clocks[name]
        clock.skew += timedelta(seconds=seconds)
        try:
            yield True
        finally:
            clock.skew -= timedelta(seconds=seconds)

    @asynccontextmanager
    async def _parted(self, links: Iterable[Link]) -> AsyncIterator[bool]:
        for link in links:
            link.part()
        try:
            yield True
        finally:
            for link in links:
                link.join()

    @asynccontextmanager
    async def _dropped(self, links: Iterable[Link], plural: str, expired: bool) -> AsyncIterator[bool]:
        for link in links:
            link.break_watches(plural, expired=expired)
        yield True

    @asynccontextmanager
    async def _ruled(self, links: Iterable[Link], rule: Rule) -> AsyncIterator[bool]:
        for link in links:
            link.rules[rule] = None
        try:
            yield True
        finally:
            for link in links:
                del link.rules[rule]


def _draw_errors(faults: Faults, name: str, rng: Random) -> None:
    reason = rng.choice(("InternalError", "ServiceUnavailable", "TooManyRequests"))
    faults.fail_writes(name, fraction=rng.uniform(0.1, 0.9), reason=reason, for_=rng.uniform(1, 20))


KINDS: dict[str, Callable[[Faults, str, Random], None]] = {
    "crash": lambda faults, name, rng: faults.crash(name, for_=rng.uniform(0.1, 30)),
    "pause": lambda faults, name, rng: faults.pause(name, for_=rng.uniform(0.1, 30)),
    "partition": lambda faults, name, rng: faults.partition(name, for_=rng.uniform(1, 90)),
    "drop": lambda faults, name, rng: faults.drop_watches(name, expired=rng.random() < 0.5),
    "delay": lambda faults, name, rng: faults.delay_watches(name, for_=rng.uniform(1, 30)),
    "duplicate": lambda faults, name, rng: faults.duplicate_watches(name, for_=rng.uniform(1, 30)),
    "reorder": lambda faults, name, rng: faults.reorder_watches(name, for_=rng.uniform(1, 30)),
    "conflict": lambda faults, name, rng: faults.fail_writes(
        name, fraction=rng.uniform(0.1, 0.9), for_=rng.uniform(1, 20)
    ),
    "error": _draw_errors,
    "skew": lambda faults, name, rng: faults.skew(name, rng.uniform(-5, 5), for_=rng.uniform(1, 60)),
}
"""The kinds of faults that `random` draws, each with how hard and how long it is at random."""
