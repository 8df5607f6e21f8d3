"""Events: one object for one thing that happened, counted, bounded, and never in its recorder's way."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.fakes.list_watch_server import ListWatchServer

from kaa.client.events import BURST, COMBINED, SIMILAR, EventRecorder
from kaa.client.rest import Client
from kaa.lib.clock import WallClock

EVENTS = "/api/v1/namespaces/default/events/"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web-0", "namespace": "default", "uid": "u1", "resourceVersion": "7"},
}


@pytest.fixture
async def recorder(client: Client) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(client, WallClock(), "kubelet", host="node-1")
    task = asyncio.create_task(recorder.run())
    yield recorder
    task.cancel()
    await asyncio.wait([task])


async def written(server: ListWatchServer, requests: int) -> list[dict[str, Any]]:
    """The events that exist once the server has had that many requests."""
    async with asyncio.timeout(10):
        while len(server.requests) < requests:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return [obj for path, obj in server.objects.items() if path.startswith(EVENTS)]


async def test_an_event_is_as_upstream_writes_it(server: ListWatchServer, recorder: EventRecorder) -> None:
    """`kubectl describe` and `kubectl get events` read these fields."""
    recorder.record(POD, "Warning", "BackOff", "Back-off restarting", field_path="spec.containers{web}")
    (event,) = await written(server, 1)
    assert re.fullmatch(r"web-0\.[0-9a-f]{16}", event["metadata"]["name"])
    assert event["involvedObject"] == {
        "kind": "Pod",
        "namespace": "default",
        "name": "web-0",
        "uid": "u1",
        "apiVersion": "v1",
        "resourceVersion": "7",
        "fieldPath": "spec.containers{web}",
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "BackOff", "Back-off restarting")
    assert event["source"] == {"component": "kubelet", "host": "node-1"}
    assert (event["reportingComponent"], event["reportingInstance"]) == ("kubelet", "node-1")
    assert event["count"] == 1
    assert event["firstTimestamp"] == event["lastTimestamp"]


async def test_a_repeat_is_counted(server: ListWatchServer, recorder: EventRecorder) -> None:
    """Also when the object has changed meanwhile; another message is another event."""
    newer = {**POD, "metadata": {**POD["metadata"], "resourceVersion": "8"}}  # type: ignore[dict-item]
    recorder.record(POD, "Warning", "BackOff", "again")
    recorder.record(newer, "Warning", "BackOff", "again")
    recorder.record(POD, "Warning", "BackOff", "something else")
    events = await written(server, 3)
    assert sorted((event["message"], event["count"]) for event in events) == [("again", 2), ("something else", 1)]


async def test_a_repeat_of_an_event_that_is_gone_begins_anew(server: ListWatchServer, recorder: EventRecorder) -> None:
    """Events run out in the server after an hour."""
    recorder.record(POD, "Normal", "Pulled", "image")
    await written(server, 1)
    server.objects.clear()
    recorder.record(POD, "Normal", "Pulled", "image")
    (event,) = await written(server, 3)
    assert event["count"] == 1


async def test_similar_events_become_one(server: ListWatchServer, recorder: EventRecorder) -> None:
    """A ReplicaSet that makes many pods names the first nine, and counts the others: `kubectl describe` stays short."""
    for number in range(SIMILAR + 3):
        recorder.record(POD, "Normal", "SuccessfulCreate", f"Created pod: web-{number}")
    recorder.record(POD, "Normal", "SuccessfulCreate", "Created pod: web-0")  # has one of its own
    events = await written(server, SIMILAR + 4)
    told = range(1, SIMILAR - 1)
    assert [(e["message"], e["count"]) for e in events] == [
        ("Created pod: web-0", 2),
        *((f"Created pod: web-{number}", 1) for number in told),
        (f"{COMBINED}Created pod: web-{SIMILAR + 2}", 4),
    ]


async def test_one_object_cannot_flood_the_store(server: ListWatchServer, recorder: EventRecorder) -> None:
    """A component that fails in a loop writes a burst and then hardly anything; other objects are not affected."""
    for i in range(BURST + 50):
        recorder.record(POD, "Warning", "Failed", f"try {i}")
    other = {**POD, "metadata": {**POD["metadata"], "name": "b", "uid": "u2"}}  # type: ignore[dict-item]
    recorder.record(other, "Normal", "Fine", "fine")
    assert sum(event["count"] for event in await written(server, BURST + 1)) == BURST + 1


async def test_events_outlast_a_server_that_does_not_answer(server: ListWatchServer, client: Client) -> None:
    """What is recorded while the server restarts is written later; what it refuses is dropped."""
    server.fail(403, "Forbidden")
    recorder = EventRecorder(client, WallClock(), "scheduler")
    recorder.record(POD, "Normal", "Refused", "no")
    recorder.record(POD, "Normal", "Scheduled", "yes")
    task = asyncio.create_task(recorder.run())
    (event,) = await written(server, 2)
    assert event["reason"] == "Scheduled"
    task.cancel()
    await asyncio.wait([task])
