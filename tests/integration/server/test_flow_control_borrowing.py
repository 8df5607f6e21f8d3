"""Priority levels of a whole server that lend seats to each other and take them back, on virtual time."""

import asyncio

from kaa.lib.clock import VirtualClock, VirtualEventLoop
from kaa.server.app import APIServer
from kaa.server.bootstrap.flow_control import flow_control_objects
from kaa.server.flow_control import ADJUSTMENT_SECONDS
from kaa.server.request import Request, User
from kaa.server.request_info import request_info
from kaa.store.memory import MemoryStore

PERSON = User("alice", ("system:authenticated",))
ACCOUNT = User("system:serviceaccount:a:x", ("system:serviceaccounts", "system:authenticated"))
SEATS = 100
OWN, OF_ACCOUNTS = 9, 41
"""Nominal limits of global-default and workload-low: 20 and 100 of 245 shares."""


async def use(server: APIServer, clock: VirtualClock, user: User, requests: int) -> None:
    """So many requests at a time, one after another, until cancelled."""
    info = request_info(Request("GET", "/api/v1/pods"))

    async def ask() -> None:
        while True:
            classified = server.flow_control.classify(user, "/api/v1/pods", info)
            seat = await classified.level.take(classified.flow)
            try:
                await clock.sleep(0.5)
            finally:
                classified.level.release(seat)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(requests):
            tasks.create_task(ask())


async def gauge(server: APIServer, name: str, level: str) -> float:
    answer = await server.handle(Request("GET", "/metrics", user=User("root", ("system:masters",))))
    start = f'apiserver_flowcontrol_{name}{{priority_level="{level}"}} '
    return next(float(line[len(start) :]) for line in answer.body.decode().splitlines() if line.startswith(start))


async def scenario() -> None:
    clock = VirtualClock(1)
    store = MemoryStore(clock)
    server = APIServer(store, clock, requests_in_flight=SEATS)
    await server.start()
    for kind, obj in flow_control_objects():
        await server.writer.create(kind, obj)
    await clock.sleep(1.0)
    assert await gauge(server, "current_limit_seats", "global-default") == OWN

    person = asyncio.create_task(use(server, clock, PERSON, 30))
    await clock.sleep(1.0)
    assert await gauge(server, "current_executing_seats", "global-default") == OWN
    await clock.sleep(2 * ADJUSTMENT_SECONDS)
    borrowed = await gauge(server, "current_limit_seats", "global-default")
    assert borrowed >= 30
    assert await gauge(server, "current_executing_seats", "global-default") == 30
    assert await gauge(server, "demand_seats_high_watermark", "global-default") >= 30
    assert await gauge(server, "current_limit_seats", "workload-low") < OF_ACCOUNTS
    assert await gauge(server, "current_limit_seats", "leader-election") >= 5  # it lends nothing

    accounts = asyncio.create_task(use(server, clock, ACCOUNT, 60))
    await clock.sleep(2 * ADJUSTMENT_SECONDS)
    assert await gauge(server, "current_limit_seats", "workload-low") >= OF_ACCOUNTS
    assert OWN <= await gauge(server, "current_limit_seats", "global-default") < borrowed
    names = ("exempt", "catch-all", "system", "node-high", "leader-election", "workload-high", "workload-low")
    limits = [await gauge(server, "current_limit_seats", name) for name in (*names, "global-default")]
    assert (
        abs(sum(limits) - sum([await gauge(server, "nominal_limit_seats", n) for n in (*names, "global-default")])) <= 4
    )

    for task in (person, accounts):
        task.cancel()
        await asyncio.wait([task])
    assert await gauge(server, "current_executing_seats", "global-default") == 0
    await server.stop()
    await store.close()


def test_a_busy_level_borrows_from_an_idle_one_and_gives_back() -> None:
    """What is asked for is there at the next adjustment; whose seats they are has them back at the one after."""
    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        runner.run(scenario())


def test_a_list_takes_seats_by_the_objects_there_are() -> None:
    """The server counts what its cache holds; a kind that nobody knows has none."""

    async def run() -> None:
        clock = VirtualClock(1)
        store = MemoryStore(clock)
        server = APIServer(store, clock)
        await server.start()
        for kind, obj in flow_control_objects():
            await server.writer.create(kind, obj)
        for number in range(250):
            await server.writer.create("Namespace", {"metadata": {"name": f"n{number}"}})
        await clock.sleep(1.0)
        for path, seats in (("/api/v1/namespaces", 3), ("/api/v1/namespaces/n1", 1), ("/api/v1/nothings", 1)):
            request = Request("GET", path, user=PERSON)
            info = request_info(request)
            classified = server.flow_control.classify(PERSON, path, info)
            assert server.flow_control.width(request, info, classified) == seats
            assert (await server.handle(request)).status in (200, 404)
        await server.stop()
        await store.close()

    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        runner.run(run())


def test_nothing_limits_an_exempt_level() -> None:
    """Nothing limits it, whatever it uses; and without shares of its own it takes nothing from the others."""

    async def run() -> None:
        clock = VirtualClock(1)
        store = MemoryStore(clock)
        server = APIServer(store, clock, requests_in_flight=SEATS)
        await server.start()
        info = request_info(Request("GET", "/apis"))
        exempt = server.flow_control.classify(User("root", ("system:masters",)), "/apis", info).level
        seats = [await exempt.take("") for _ in range(3 * SEATS)]
        await clock.sleep(2 * ADJUSTMENT_SECONDS)
        assert exempt.limit is None
        assert await gauge(server, "current_executing_seats", "exempt") == 3 * SEATS + 1
        assert await gauge(server, "nominal_limit_seats", "exempt") == 0
        assert await gauge(server, "current_limit_seats", "catch-all") == SEATS
        for seat in seats:
            exempt.release(seat)
        await server.stop()
        await store.close()

    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        runner.run(run())


def test_an_exempt_level_lends_what_it_does_not_use() -> None:
    """It may be given shares. Unused, its lendable part is the others'; used, they stay within what is left."""

    async def run() -> None:
        clock = VirtualClock(1)
        store = MemoryStore(clock)
        server = APIServer(store, clock, requests_in_flight=SEATS)
        await server.start()
        for kind, obj in flow_control_objects():
            if obj["metadata"]["name"] == "exempt" and kind == "PriorityLevelConfiguration":
                exempt = {"nominalConcurrencyShares": 245, "lendablePercent": 60}
                obj = {**obj, "spec": {"type": "Exempt", "exempt": exempt}}
            await server.writer.create(kind, obj)
        await clock.sleep(1.0)
        assert await gauge(server, "nominal_limit_seats", "exempt") == SEATS / 2
        assert await gauge(server, "lower_limit_seats", "exempt") == SEATS / 5
        person = asyncio.create_task(use(server, clock, PERSON, 30))
        await clock.sleep(2 * ADJUSTMENT_SECONDS)
        assert SEATS / 5 <= await gauge(server, "current_limit_seats", "exempt") < SEATS / 2
        info = request_info(Request("GET", "/apis"))
        level = server.flow_control.classify(User("root", ("system:masters",)), "/apis", info).level
        seats = [await level.take("") for _ in range(SEATS)]
        await clock.sleep(2 * ADJUSTMENT_SECONDS)
        assert level.limit is None
        assert await gauge(server, "current_limit_seats", "exempt") >= SEATS / 2
        for seat in seats:
            level.release(seat)
        person.cancel()
        await asyncio.wait([person])
        await server.stop()
        await store.close()

    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        runner.run(run())
