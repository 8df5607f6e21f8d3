"""Which flow schema takes a request, and how seats are shared among those who wait, on virtual time."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from kaa.api.errors import APIError
from kaa.lib.clock import VirtualClock, VirtualEventLoop
from kaa.server.bootstrap.flow_control import MANDATORY_SCHEMAS, SCHEMA, flow_control_objects
from kaa.server.flow_control.matching import first_that_fits, flow_of, in_order, with_dangling
from kaa.server.flow_control.queues import WAIT_SECONDS, Level, Queuing, hand
from kaa.server.request import Request, User
from kaa.server.request_info import request_info

SCHEMAS = in_order(obj for kind, obj in flow_control_objects() if kind == SCHEMA)

AUTHENTICATED = "system:authenticated"
USERS = {
    "admin": User("kubernetes-admin", ("system:masters", AUTHENTICATED)),
    "node": User("system:node:a", ("system:nodes", AUTHENTICATED)),
    "manager": User("system:kube-controller-manager", (AUTHENTICATED,)),
    "scheduler": User("system:kube-scheduler", (AUTHENTICATED,)),
    "system account": User("system:serviceaccount:kube-system:x", ("system:serviceaccounts", AUTHENTICATED)),
    "account": User("system:serviceaccount:a:x", ("system:serviceaccounts", AUTHENTICATED)),
    "person": User("alice", (AUTHENTICATED,)),
    "anonymous": User("system:anonymous", ("system:unauthenticated",)),
    "nobody": User("nobody", ()),
}
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x"


@pytest.mark.parametrize(
    ("who", "method", "path", "schema", "flow"),
    [
        ("admin", "GET", "/api/v1/pods", "exempt", ""),
        ("anonymous", "GET", "/healthz", "probes", ""),
        ("anonymous", "GET", "/healthz/ping", "global-default", "system:anonymous"),
        ("scheduler", "PUT", LEASE, "system-leader-election", "system:kube-scheduler"),
        ("scheduler", "PATCH", LEASE, "kube-scheduler", "kube-system"),
        ("manager", "GET", "/api/v1/namespaces/a/pods", "kube-controller-manager", "a"),
        ("system account", "PUT", LEASE, "system-leader-election", "system:serviceaccount:kube-system:x"),
        ("system account", "GET", "/api/v1/pods", "kube-system-service-accounts", ""),
        ("node", "PATCH", "/api/v1/nodes/a/status", "system-node-high", "system:node:a"),
        (
            "node",
            "PUT",
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a",
            "system-node-high",
            "system:node:a",
        ),
        ("node", "GET", "/api/v1/namespaces/a/pods/x", "system-nodes", "system:node:a"),
        ("account", "GET", "/api/v1/pods", "service-accounts", "system:serviceaccount:a:x"),
        ("person", "GET", "/api/v1/pods", "global-default", "alice"),
        ("person", "GET", "/apis", "global-default", "alice"),
        ("nobody", "GET", "/apis", "catch-all", "nobody"),
    ],
)
def test_upstreams_schemas_take_what_they_are_for(who, method, path, schema, flow) -> None:
    """By precedence, subject, verb, resource with its subresource, namespace or path; and the flow within it."""
    info = request_info(Request(method, path))
    found = first_that_fits(SCHEMAS, USERS[who], path, info)
    assert (found.name, flow_of(found, USERS[who], info)) == (schema, flow)


def test_precedence_comes_before_the_name() -> None:
    """Of two schemas that fit the lower number wins, and of two equal ones the name that comes first."""
    catch_all = MANDATORY_SCHEMAS["catch-all"]
    objects = [
        {"metadata": {"name": name}, "spec": {**catch_all, "matchingPrecedence": precedence}}
        for name, precedence in [("b", 7), ("c", 5), ("a", 7)]
    ]
    assert [schema.name for schema in in_order(objects)] == ["c", "a", "b"]


def test_a_schema_says_whether_its_level_exists() -> None:
    """Upstream's condition; its time moves only with its status, and nothing is written that is there."""
    schema = {"metadata": {"name": "s"}, "spec": {"priorityLevelConfiguration": {"name": "x"}}, "status": {}}
    told = with_dangling(schema, False, "then")
    text = 'This FlowSchema references the PriorityLevelConfiguration object named "x" but there is no such object'
    assert told["status"]["conditions"] == [
        {"type": "Dangling", "status": "True", "reason": "NotFound", "message": text, "lastTransitionTime": "then"}
    ]
    assert schema["status"] == {}
    assert with_dangling(told, False, "later") is told
    (found,) = with_dangling(told, True, "later")["status"]["conditions"]
    assert (found["status"], found["reason"], found["lastTransitionTime"]) == ("False", "Found", "later")


def test_a_hand_is_dealt_without_repeats_and_evenly() -> None:
    """Every queue is in as many hands as any other, near enough."""
    seen: Counter[int] = Counter()
    rng = random.Random(1)
    for _ in range(5000):
        dealt = hand(rng.getrandbits(128), 16, 4)
        assert len(set(dealt)) == 4
        assert all(0 <= card < 16 for card in dealt)
        seen.update(dealt)
    assert min(seen.values()) > 0.8 * max(seen.values())
    assert sorted(hand(12345, 3, 8)) == [0, 1, 2]


def on_virtual_time(scenario: Callable[[VirtualClock], Awaitable[None]]) -> None:
    async def run() -> None:
        await scenario(VirtualClock(1))

    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        runner.run(run())


def level_of(clock: VirtualClock, limit: int | None, queuing: Queuing | None) -> Level:
    level = Level(clock, b"seed")
    level.configure(limit, queuing)
    return level


async def use(level: Level, clock: VirtualClock, flow: str, seconds: float, done: list[tuple[str, float]]) -> None:
    seat = await level.take(flow)
    try:
        await clock.sleep(seconds)
    finally:
        level.release(seat)
    done.append((flow, clock.monotonic()))


def test_a_flood_does_not_hold_up_a_quiet_flow() -> None:
    """An elephant has 200 requests waiting when a mouse comes: the mouse waits for few of them, not for all."""

    async def scenario(clock: VirtualClock) -> None:
        level = level_of(clock, 2, Queuing(64, 6, 50))
        done: list[tuple[str, float]] = []
        async with asyncio.TaskGroup() as tasks:
            for _ in range(200):
                tasks.create_task(use(level, clock, "elephant", 0.1, done))
            await clock.sleep(0.25)
            for _ in range(5):
                tasks.create_task(use(level, clock, "mouse", 0.1, done))
        mouse = [moment for flow, moment in done if flow == "mouse"]
        assert max(mouse) < 3.0
        assert done[-1] == ("elephant", pytest.approx(205 * 0.1 / 2, abs=0.15))
        assert (level.executing, level.waiting) == (0, 0)

    on_virtual_time(scenario)


def test_who_uses_seats_longer_gets_fewer_of_them() -> None:
    """Fair is time, not requests: two flows that always want more have the same time in the end."""

    async def scenario(clock: VirtualClock) -> None:
        level = level_of(clock, 1, Queuing(64, 8, 50))
        done: list[tuple[str, float]] = []
        lasting = {"long": 0.4, "short": 0.1}
        tasks = [
            asyncio.create_task(use(level, clock, flow, seconds, done))
            for _ in range(100)
            for flow, seconds in lasting.items()
        ]
        await clock.sleep(14.0)
        used = {flow: seconds * sum(1 for name, _ in done if name == flow) for flow, seconds in lasting.items()}
        assert used["short"] == pytest.approx(used["long"], rel=0.2)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert (level.executing, level.waiting) == (0, 0)

    on_virtual_time(scenario)


def test_full_queues_refuse() -> None:
    """The hand's queues hold so many; what comes then is told to come back in a second."""

    async def scenario(clock: VirtualClock) -> None:
        level = level_of(clock, 1, Queuing(8, 2, 3))
        done: list[tuple[str, float]] = []
        async with asyncio.TaskGroup() as tasks:
            for _ in range(7):
                tasks.create_task(use(level, clock, "a", 1.0, done))
            await clock.sleep(0.5)
            with pytest.raises(APIError) as refused:
                await level.take("a")
            assert (refused.value.reason, refused.value.retry_after_seconds) == ("TooManyRequests", 1)
        assert len(done) == 7

    on_virtual_time(scenario)


def test_nobody_waits_forever() -> None:
    """A request that has waited too long is refused and leaves its place; one that is cancelled as well."""

    async def scenario(clock: VirtualClock) -> None:
        level = level_of(clock, 1, Queuing(1, 1, 10))
        seat = await level.take("a")
        gone = asyncio.create_task(level.take("a"))
        began = clock.monotonic()
        with pytest.raises(APIError, match="Too many requests"):
            await level.take("a")
        assert clock.monotonic() - began == pytest.approx(WAIT_SECONDS)
        gone.cancel()
        await asyncio.wait([gone])
        assert (level.executing, level.waiting) == (1, 0)
        level.release(seat)
        assert level.executing == 0

    on_virtual_time(scenario)


def test_a_seat_given_to_one_who_has_just_left_is_given_on() -> None:
    """Else it would be lost, and after enough of that the level would answer nobody."""

    async def scenario(clock: VirtualClock) -> None:
        level = level_of(clock, 1, Queuing(1, 1, 10))
        seat = await level.take("a")
        gone, next_ = asyncio.create_task(level.take("a")), asyncio.create_task(level.take("a"))
        await clock.sleep(0.1)
        level.release(seat)
        gone.cancel()
        level.release(await next_)
        assert gone.cancelled()
        assert (level.executing, level.waiting) == (0, 0)

    on_virtual_time(scenario)


def test_more_seats_are_given_at_once() -> None:
    """A changed level does not wait for a request to end; an exempt one limits nothing."""

    async def scenario(clock: VirtualClock) -> None:
        level = level_of(clock, 1, Queuing(4, 1, 10))
        await level.take("a")
        waiting = [asyncio.create_task(level.take("a")) for _ in range(3)]
        await clock.sleep(0.1)
        level.configure(2, Queuing(2, 1, 10))
        await clock.sleep(0.1)
        assert [task.done() for task in waiting] == [True, False, False]
        level.configure(None, None)
        await asyncio.wait(waiting)
        assert level.executing == 4

    on_virtual_time(scenario)


def test_a_wide_request_waits_for_all_its_seats_and_is_not_overtaken() -> None:
    """Narrow ones that come later would keep it waiting forever; one wider than the level runs alone."""

    async def scenario(clock: VirtualClock) -> None:
        level = level_of(clock, 4, Queuing(1, 1, 10))
        first, second = await level.take("a", 2), await level.take("a", 2)
        wide = asyncio.create_task(level.take("a", 9))
        narrow = asyncio.create_task(level.take("a"))
        await clock.sleep(0.1)
        level.release(first)
        await clock.sleep(0.1)
        assert (wide.done(), narrow.done(), level.executing_seats) == (False, False, 2)
        level.release(second)
        seat = await wide
        assert (narrow.done(), level.executing_seats, level.demand.seats) == (False, 9, 10)
        level.release(seat)
        level.release(await narrow)
        assert (level.executing, level.executing_seats, level.demand.seats) == (0, 0, 0)

    on_virtual_time(scenario)


def test_who_gives_up_lets_the_next_one_in() -> None:
    """A wide request that leaves its place was all that kept a narrow one from seats that are free."""

    async def scenario(clock: VirtualClock) -> None:
        level = level_of(clock, 3, Queuing(1, 1, 10))
        await level.take("a", 2)
        wide, narrow = asyncio.create_task(level.take("a", 2)), asyncio.create_task(level.take("a"))
        await clock.sleep(0.1)
        assert not narrow.done()
        wide.cancel()
        await narrow
        assert (level.executing_seats, level.demand.seats) == (3, 3)

    on_virtual_time(scenario)


def test_wide_requests_count_by_their_seats() -> None:
    """Fair is time by seats: a flow of wide requests gets as many fewer of them."""

    async def scenario(clock: VirtualClock) -> None:
        level = level_of(clock, 4, Queuing(64, 8, 50))
        done: Counter[str] = Counter()

        async def ask(flow: str, width: int) -> None:
            seat = await level.take(flow, width)
            await clock.sleep(0.1)
            level.release(seat)
            done[flow] += 1

        tasks = [asyncio.create_task(ask(*each)) for _ in range(200) for each in (("wide", 4), ("narrow", 1))]
        await clock.sleep(6.0)
        assert done["narrow"] == pytest.approx(4 * done["wide"], rel=0.3)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    on_virtual_time(scenario)
