"""Exploration: the same scenario under many seeds, each another history, and every history judged at every change.

    @scenario(nodes=2)
    async def rolling_update(c: AsyncCluster) -> None:
        await c.apply(web("v1"))
        await c.wait("deployment", "web", "Available")
        c.faults.random(rate=1 / 5, for_=60)
        await c.apply(web("v2"))
        await c.run_for(60)

    explore(rolling_update, range(500))

A history ends when the scenario's function returns: then the faults are healed, and the cluster has time to come to
rest as the invariants of the end want it. The first history that goes wrong is raised as `Violated`, with its seed and
the command that plays it again, change by change:

    python -m kaa.cluster.simulation.exploration tests.scenarios:rolling_update --seed 17
"""

import argparse
import asyncio
import importlib
import logging
import multiprocessing
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import Any

from kaa.client.leader import LeadershipLost
from kaa.cluster.simulation.everyday import AsyncCluster
from kaa.cluster.simulation.history import Step
from kaa.cluster.simulation.invariants import Invariant, Monitor
from kaa.cluster.simulation.settings import Settings
from kaa.cluster.simulation.standard_invariants import STANDARD
from kaa.lib.clock import VirtualEventLoop

Run = Callable[[AsyncCluster], Awaitable[None]]

HISTORY_SECONDS = 24 * 3600.0
"""A scenario that takes longer, of its own time, counts as hanging."""

REST_SECONDS = 30.0
"""How long nothing must have been written until a cluster counts as having come to rest."""

RECOVERY_SECONDS = 2 * 3600.0
"""How long it may take after the last fault: back-offs grow to 1,000 seconds, evictions wait for 300."""

SEEDS_A_TASK = 10
"""Seeds that a process is given at a time."""

SHOWN_CHANGES = 30
"""The last changes before a violation that are shown with it."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A row: what is done to a cluster, what kind of cluster, and what must hold in it."""

    run: Run
    settings: Settings
    invariants: tuple[Invariant, ...]

    @property
    def path(self) -> str:
        return f"{self.run.__module__}:{self.run.__qualname__}"


def scenario(*, invariants: Sequence[Invariant] = STANDARD, **settings: Any) -> Callable[[Run], Scenario]:
    """Makes a coroutine function a scenario. `settings` are a Cluster's: nodes, controllers, ..."""
    made = Settings(**{"clock": "virtual", **settings})
    return lambda run: Scenario(run, made, tuple(invariants))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One history. `digest` is of all its changes; `problem` is "" when all went well."""

    seed: int
    changes: int
    digest: str
    problem: str = ""


class Violated(AssertionError):
    """A history in which something happened that must not."""


def replay_command(path: str, seed: int) -> str:
    return f"python -m kaa.cluster.simulation.exploration {path} --seed {seed}"


def play(scenario: Scenario, seed: int, listen: Callable[[Step], None] | None = None) -> Outcome:
    """One history, on an event loop of its own. `listen` is told of every change."""
    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        return runner.run(_play(scenario, seed, listen))


async def _play(scenario: Scenario, seed: int, listen: Callable[[Step], None] | None) -> Outcome:
    async with AsyncCluster(replace(scenario.settings, seed=seed)) as cluster:
        history = cluster.world.history
        monitor = Monitor(scenario.invariants, cluster.client.catalog)
        with monitor.watching(history), history.listening(listen or _ignore), _complaints() as complained:
            working = asyncio.ensure_future(_to_the_end(scenario, cluster, monitor))
            violated = asyncio.ensure_future(monitor.violated.wait())
            await asyncio.wait((working, violated), return_when=asyncio.FIRST_COMPLETED)
            problem = await _problem(working, monitor) or "\n".join(complained)
            violated.cancel()
            if problem:
                problem = _told(problem, cluster)
            return Outcome(seed, monitor.changes, history.digest(), problem)


class _Complaints(logging.Handler):
    """Takes in what is logged as an error: a component that has failed, a reconcile that raised."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # Losing the lease ends a controller manager, which then begins anew: that is how it is made.
        if not (record.exc_info and isinstance(record.exc_info[1], LeadershipLost)):
            self.said.append(self.format(record))


@contextmanager
def _complaints() -> Iterator[list[str]]:
    handler, logger = _Complaints(), logging.getLogger("kaa")
    logger.addHandler(handler)
    try:
        yield handler.said
    finally:
        logger.removeHandler(handler)


async def _to_the_end(scenario: Scenario, cluster: AsyncCluster, monitor: Monitor) -> None:
    async with asyncio.timeout(HISTORY_SECONDS):
        await scenario.run(cluster)
        cluster.faults.heal()
        given_up = cluster.now + timedelta(seconds=RECOVERY_SECONDS)
        while True:
            await cluster.settle(quiet=REST_SECONDS)
            missing = monitor.at_rest(cluster.world.history.revision, cluster.now)
            if not missing or cluster.now > given_up:
                break
            await cluster.run_for(REST_SECONDS)  # somebody backs off for longer
    monitor.report(missing)


async def _problem(working: "asyncio.Task[None]", monitor: Monitor) -> str:
    """A violation comes first: what the scenario says then is what follows from it."""
    working.cancel()
    (error,) = await asyncio.gather(working, return_exceptions=True)
    if monitor.violations:
        return "\n".join(map(str, monitor.violations))
    if error is None or isinstance(error, asyncio.CancelledError):
        return ""
    return f"{type(error).__name__}: {error}"


def _told(problem: str, cluster: AsyncCluster) -> str:
    faults = [f"  {fault}" for fault in cluster.faults.log] or ["  none"]
    changes = list(cluster.world.history.changes())[-SHOWN_CHANGES:]
    shown = [
        f"  {change.revision} {change.time.isoformat()} {change.verb} {change.object.get('kind')} "
        f"{change.object['metadata'].get('namespace', '')}/{change.object['metadata']['name']}"
        for change in changes
    ]
    return "\n".join([problem, "faults:", *faults, "the last changes:", *shown])


def _ignore(step: Step) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Report:
    """What an exploration has seen. `histories` is how many of them were different."""

    seeds: int
    changes: int
    histories: int


def explore(scenario: Scenario, seeds: Iterable[int], *, processes: int = 1) -> Report:
    """Plays every seed. Raises Violated for one that goes wrong; with several processes, for the first that is found.

    With several processes the scenario must be something that can be imported.
    """
    outcomes: list[Outcome] = []
    for outcome in _outcomes(scenario, seeds, processes):
        if outcome.problem:
            command = replay_command(scenario.path, outcome.seed)
            raise Violated(f"seed {outcome.seed} of {scenario.path}\n{outcome.problem}\nto play it again: {command}")
        outcomes.append(outcome)
    return Report(len(outcomes), sum(o.changes for o in outcomes), len({o.digest for o in outcomes}))


def _outcomes(scenario: Scenario, seeds: Iterable[int], processes: int) -> Iterable[Outcome]:
    if processes == 1:
        yield from (play(scenario, seed) for seed in seeds)
        return
    rest = iter(seeds)
    tasks = list(iter(lambda: list(islice(rest, SEEDS_A_TASK)), []))
    # Not forked: a fork would inherit what threads of this process hold.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        try:
            for outcomes in pool.map(_play_named, [scenario.path] * len(tasks), tasks):
                yield from outcomes
        finally:
            pool.shutdown(cancel_futures=True)


def _play_named(path: str, seeds: list[int]) -> list[Outcome]:
    found = scenario_named(path)
    return [play(found, seed) for seed in seeds]


def scenario_named(path: str) -> Scenario:
    """`package.module:name`. Raises ImportError, AttributeError, or TypeError for what is no scenario."""
    module, _, name = path.partition(":")
    found = getattr(importlib.import_module(module), name)
    if not isinstance(found, Scenario):
        raise TypeError(f"{path} is not a scenario: it lacks the decorator @scenario(...)")
    return found


def scenarios_of(path: str) -> list[Scenario]:
    """One, by `package.module:name`, or all of a `package.module`."""
    if ":" in path:
        return [scenario_named(path)]
    found = vars(importlib.import_module(path)).values()
    return [value for value in found if isinstance(value, Scenario)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m kaa.cluster.simulation.exploration", description=__doc__)
    parser.add_argument("scenarios", help="package.module:name, or package.module for all that it has")
    parser.add_argument("--seed", type=int, help="play this one, and show every change")
    parser.add_argument("--seeds", type=int, default=100, help="explore so many of each scenario")
    parser.add_argument("--first", type=int, default=0, help="the first seed to explore")
    parser.add_argument("--processes", type=int, default=1)
    chosen = parser.parse_args(arguments)
    failed = False
    for found in scenarios_of(chosen.scenarios):
        if chosen.seed is not None:
            failed |= _replay(found, chosen.seed)
        else:
            failed |= _explore(found, range(chosen.first, chosen.first + chosen.seeds), chosen.processes)
    return 1 if failed else 0


def _replay(scenario: Scenario, seed: int) -> bool:
    outcome = play(scenario, seed, _show)
    print(outcome.problem or f"{outcome.changes} changes, all as they should be; digest {outcome.digest}")
    return bool(outcome.problem)


def _explore(scenario: Scenario, seeds: range, processes: int) -> bool:
    try:
        report = explore(scenario, seeds, processes=processes)
    except Violated as violated:
        print(violated)
        return True
    seen = f"{report.seeds} seeds, {report.histories} different histories, {report.changes} changes"
    print(f"{scenario.path}: {seen}: all as they should be", flush=True)
    return False


def _show(step: Step) -> None:
    print(step.revision, step.time.isoformat(), step.verb, step.key, flush=True)


if __name__ == "__main__":
    # By its own name: scenarios are made of that module's classes, not of __main__'s.
    sys.exit(importlib.import_module("kaa.cluster.simulation.exploration").main())
