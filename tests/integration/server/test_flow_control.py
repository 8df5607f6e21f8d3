"""Flow control of a whole server: what clients see of it, and that it follows its objects."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from kaa.client.rest import Client
from kaa.lib.clock import WallClock
from kaa.server.app import APIServer
from kaa.server.bootstrap.flow_control import AUTOUPDATE, flow_control_objects, restored
from kaa.server.inprocess import InProcessTransport
from kaa.server.request import Request, Response, User
from kaa.server.request_info import request_info
from kaa.server.storage import encode, prefix_of
from kaa.store.memory import MemoryStore
from kaa.store.store import Put

ALICE = User("alice", ("system:authenticated",))
API_VERSION = "flowcontrol.apiserver.k8s.io/v1"
SCHEMA_UID, LEVEL_UID = "x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid"
SECONDS = 5


@pytest.fixture
async def server() -> AsyncIterator[APIServer]:
    """With upstream's objects, and so few requests in flight that each level has a seat or two."""
    clock = WallClock()
    store = MemoryStore(clock)
    server = APIServer(store, clock, requests_in_flight=12)
    await server.start()
    for kind, obj in flow_control_objects():
        await server.writer.create(kind, obj)
    await until(lambda: all("conditions" in (s.get("status") or {}) for s in server.reader.list("FlowSchema")))
    yield server
    await server.stop()
    await store.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def ask(server: APIServer, path: str = "/api/v1/namespaces", user: User = ALICE) -> Response:
    return await server.handle(Request("GET", path, user=user))


def uid(server: APIServer, kind: str, name: str) -> str:
    obj = server.reader.get(kind, name)
    assert obj is not None
    value: str = obj["metadata"]["uid"]
    return value


async def make_own_level(server: APIServer) -> Client:
    """A level and a schema of alice's own, which refuses what finds no seat."""
    client = Client(InProcessTransport(server.handle))
    spec = {"matchingPrecedence": 3, "priorityLevelConfiguration": {"name": "own"}}
    subject = {"kind": "User", "user": {"name": "alice"}}
    rule = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    rules = [{"subjects": [subject], "resourceRules": [rule]}]
    await client.create(
        {"apiVersion": API_VERSION, "kind": "FlowSchema", "metadata": {"name": "own"}, "spec": {**spec, "rules": rules}}
    )
    return client


def dangling(server: APIServer) -> str:
    schema = server.reader.get("FlowSchema", "own")
    conditions = ((schema or {}).get("status") or {}).get("conditions") or [{}]
    return conditions[0].get("status", "")


async def test_answers_say_where_the_request_belonged(server: APIServer) -> None:
    """Errors too; and an answer that is shared by all is not changed for all."""
    expected = {
        SCHEMA_UID: uid(server, "FlowSchema", "global-default"),
        LEVEL_UID: uid(server, "PriorityLevelConfiguration", "global-default"),
    }
    for path in ("/api/v1/namespaces", "/api/v1/namespaces/none", "/apis"):
        headers = (await ask(server, path)).headers
        assert {name: headers.get(name) for name in expected} == expected
    admin = await ask(server, "/apis", User("root", ("system:masters",)))
    assert admin.headers[SCHEMA_UID] == uid(server, "FlowSchema", "exempt")


async def test_a_schema_of_ones_own_is_followed(server: APIServer) -> None:
    """It dangles, and takes nothing, until its level is there; then requests belong to it."""
    client = await make_own_level(server)
    await until(lambda: dangling(server) == "True")
    assert (await ask(server)).headers[SCHEMA_UID] == uid(server, "FlowSchema", "global-default")
    limited = {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}
    level = {"metadata": {"name": "own"}, "spec": {"type": "Limited", "limited": limited}}
    await client.create({"apiVersion": API_VERSION, "kind": "PriorityLevelConfiguration", **level})
    await until(lambda: dangling(server) == "False")
    headers = (await ask(server)).headers
    assert headers[SCHEMA_UID] == uid(server, "FlowSchema", "own")
    assert headers[LEVEL_UID] == uid(server, "PriorityLevelConfiguration", "own")
    await client.delete("PriorityLevelConfiguration", "own")
    await until(lambda: dangling(server) == "True")
    assert (await ask(server)).headers[SCHEMA_UID] == uid(server, "FlowSchema", "global-default")


async def test_a_level_without_a_seat_left_refuses_and_others_go_on(server: APIServer) -> None:
    """429 with Retry-After for its own requests, and for nobody else's; a watch gives its seat back once it runs."""
    client = await make_own_level(server)
    limited = {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}
    level = {"metadata": {"name": "own"}, "spec": {"type": "Limited", "limited": limited}}
    await client.create({"apiVersion": API_VERSION, "kind": "PriorityLevelConfiguration", **level})
    await until(lambda: dangling(server) == "False")
    watch = await server.handle(Request("GET", "/api/v1/namespaces", [("watch", "true")], user=ALICE))
    assert watch.chunks is not None
    own = server.flow_control.classify(ALICE, "", request_info(Request("GET", "/api/v1/namespaces"))).level
    seat = await own.take("")
    refused = await ask(server)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert b'"reason":"TooManyRequests"' in refused.body
    assert refused.headers[LEVEL_UID] == uid(server, "PriorityLevelConfiguration", "own")
    assert (await ask(server, user=User("bob", ("system:authenticated",)))).status == 200
    own.release(seat)
    assert (await ask(server)).status == 200


async def test_metrics_tell_the_seats(server: APIServer) -> None:
    """Each level's share of what is in flight: 20 of 245 shares of 12 requests are one seat."""
    body = (await ask(server, "/metrics")).body
    assert b'apiserver_flowcontrol_nominal_limit_seats{priority_level="global-default"} 1\n' in body
    assert b'apiserver_flowcontrol_current_executing_requests{priority_level="global-default"} 1\n' in body
    assert b'apiserver_flowcontrol_nominal_limit_seats{priority_level="exempt"} 0\n' in body


async def test_requests_are_answered_without_any_objects() -> None:
    """The mandatory level and schema hold where they are not stored: then there is no uid to tell."""
    clock = WallClock()
    store = MemoryStore(clock)
    server = APIServer(store, clock)
    await server.start()
    answer = await ask(server)
    assert answer.status == 200
    assert SCHEMA_UID not in answer.headers
    await server.stop()
    await store.close()


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"type": "Limited"},
        {"type": "Limited", "limited": {"nominalConcurrencyShares": -300, "limitResponse": {"type": "Queue"}}},
        {
            "type": "Limited",
            "limited": {"limitResponse": {"type": "Queue", "queuing": {"queues": -1, "handSize": 10**9}}},
        },
    ],
)
async def test_stored_objects_that_make_no_sense_stop_nobody(server: APIServer, spec: dict) -> None:
    """Nobody can make them here, but another program may have: they would end every start of the server as well."""
    subjects = [{"kind": "User"}, {"kind": "Group"}, {"kind": "ServiceAccount"}, {}]
    rules = {"priorityLevelConfiguration": {"name": "own"}, "rules": [{}, {"subjects": subjects}]}
    for kind, name, stored in [
        ("PriorityLevelConfiguration", "own", spec),
        ("PriorityLevelConfiguration", "catch-all", spec),
        ("FlowSchema", "catch-all", {"priorityLevelConfiguration": {"name": "none"}}),
        ("FlowSchema", "empty", {}),
        ("FlowSchema", "rules", rules),
    ]:
        resource = server.catalog.named(kind)
        value = encode(resource, {"metadata": {"name": name, "uid": name}, "spec": stored})
        await server.store.txn((), [Put(prefix_of(resource) + name, value)])
    await until(lambda: all("conditions" in (s.get("status") or {}) for s in server.reader.list("FlowSchema")))
    assert (await ask(server)).status == 200
    assert (await ask(server, user=User("nobody"))).status == 200


def test_what_somebody_has_taken_over_stays() -> None:
    """The annotation decides: upstream's numbers come back at the next start unless it says false."""
    kind, wanted = next(iter(flow_control_objects()))
    assert kind == "PriorityLevelConfiguration"
    changed = {**wanted, "spec": {"type": "Limited"}}
    assert restored(changed, wanted)["spec"] == wanted["spec"]
    own = {"metadata": {"name": "exempt", "annotations": {AUTOUPDATE: "false"}}, "spec": {"type": "Limited"}}
    assert restored(own, wanted) is own
