"""A world for the properties of programs: the real server, one program at work, and a user who changes things.

What the user does is a story: steps in phases. Within a phase their order is free, and so is when the program starts,
how often it dies amid a write, and is started again. Time is virtual.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from tests.integration.controlled import trust_in_living_namespaces

from kaa.api.objects import Object
from kaa.client.rest import Client
from kaa.controllers.program import Context, Program
from kaa.controllers.runtime import ControllerManager
from kaa.lib.clock import VirtualClock, VirtualEventLoop
from kaa.server.app import APIServer
from kaa.server.inprocess import Handle, InProcessTransport
from kaa.store.memory import MemoryStore

Step = Callable[[Client], Awaitable[Any]]
Story = list[list[Step]]
"""Phases, each of steps whose order is free."""

PAUSES = (0.0, 0.0, 0.3, 2.0)
"""Between two steps; the program works meanwhile, or not yet."""

QUIET_SECONDS = 600.0
RESTART_SECONDS = 60.0
QUESTIONS = "/apis/authorization.k8s.io/"
NO_MATTER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9-]{10}T[0-9:.]{8,15}Z")
"""uids and times."""

NAMESPACES = ("one", "two", "kube-system")
TRUSTED = "system:bootstrap:abcdef"
"""Who may have client certificates for nodes."""


class Mortal(InProcessTransport):
    """Dies of its last write: that is done, but nobody is told any more. Events are not counted, nor questions."""

    def __init__(self, handle: Handle, journal: list[str], life: int | None) -> None:
        super().__init__(handle)
        self.died = asyncio.Event()
        self._journal = journal
        self._left = life

    async def request(self, method: str, path: str, **more: Any) -> Any:
        response = await super().request(method, path, **more)
        if method == "GET" or path.startswith(QUESTIONS) or "/events" in path:
            return response
        self._journal.append(f"{method} {path}: {response.status}")
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.died.set()
                await asyncio.get_running_loop().create_future()
        return response


@dataclass(frozen=True)
class Case:
    """How one program is tried. Objects of `kinds` are compared, each by what `essence` leaves of it."""

    program: Callable[[Context], Program]
    kinds: tuple[str, ...]
    settle_seconds: float = 60.0
    essence: Callable[[Object], Object] = lambda obj: obj
    outside: Callable[[], Any] = lambda: None  # what it has made outside of the cluster
    shows_its_start: bool = False  # what it remembered only in its head is seen to be gone


@dataclass(frozen=True)
class Circumstances:
    """What must not matter."""

    seed: int = 0
    starts_at: int = 0  # the step before which the program starts
    lives: tuple[int, ...] = ()  # writes after which it dies


@dataclass(frozen=True)
class Outcome:
    left: list[str]
    late_writes: list[str]
    """Once all has settled, and again after another start of the program."""


def play(case: Case, story: Story, circumstances: Circumstances) -> Outcome:
    loop = VirtualEventLoop()
    try:
        return loop.run_until_complete(_play(case, story, circumstances))
    finally:
        loop.close()


async def _play(case: Case, story: Story, circumstances: Circumstances) -> Outcome:
    random = Random(circumstances.seed)
    steps = [step for phase in story for step in random.sample(phase, len(phase))]
    journal: list[str] = []
    async with served() as (handle, clock):
        user = Client(InProcessTransport(handle))
        for step in steps[: circumstances.starts_at]:
            await step(user)
        async with at_work(case, handle, clock, journal, circumstances.lives):
            for step in steps[circumstances.starts_at :]:
                await step(user)
                await clock.sleep(random.choice(PAUSES))
            await clock.sleep(case.settle_seconds)
            settled = len(journal)
            await clock.sleep(QUIET_SECONDS)
        if not case.shows_its_start:
            async with at_work(case, handle, clock, journal):
                await clock.sleep(RESTART_SECONDS)
        return Outcome([*await everything(user, case), str(case.outside())], journal[settled:])


@asynccontextmanager
async def at_work(
    case: Case, handle: Handle, clock: VirtualClock, journal: list[str], lives: tuple[int, ...] = ()
) -> AsyncIterator[None]:
    """The program, alone in its manager; a new one whenever one has died."""

    async def live() -> None:
        for life in (*lives, None):
            transport = Mortal(handle, journal, life)
            manager = asyncio.create_task(ControllerManager(Client(transport), clock, [], [case.program]).run())
            death = asyncio.create_task(transport.died.wait())
            try:
                await asyncio.wait([manager, death], return_when=asyncio.FIRST_COMPLETED)
                assert not manager.done(), manager.exception()
            finally:
                manager.cancel()
                death.cancel()
                await asyncio.wait([manager, death])

    task = asyncio.create_task(live())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Handle, VirtualClock]]:
    clock = VirtualClock(seed=5)
    store = MemoryStore(clock)
    server = APIServer(store, clock, secure=partial(trust_in_living_namespaces, may=lambda user: user == TRUSTED))
    await server.start()
    for name in NAMESPACES:
        await server.writer.create("Namespace", {"metadata": {"name": name}})
    try:
        yield server.handle, clock
    finally:
        await server.stop()
        await store.close()


async def everything(client: Client, case: Case) -> list[str]:
    found = [obj for kind in case.kinds for obj in (await client.list(kind)).items]
    return sorted(NO_MATTER.sub("", json.dumps(case.essence(bare(obj)), sort_keys=True)) for obj in found)


def bare(obj: Object) -> Object:
    """Without what counts and dates writes."""
    dropped = ("resourceVersion", "managedFields", "generation")
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key not in dropped}}
