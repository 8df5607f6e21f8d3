"""Watches: where they begin, what a selection sees of a change, and how they end."""

import asyncio

import orjson
import pytest

from kaa.client.informer import EVENT_REVISION
from kaa.lib.clock import VirtualClock, VirtualEventLoop
from kaa.server.app import APIServer
from kaa.server.request import Request
from kaa.server.watch_cache import selection_of
from kaa.store.memory import MemoryStore

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name, labels=None):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels or {}}}


async def events(server, path=CONFIG_MAPS, *, count, accept="application/json", **query):
    """The first events of a watch."""
    parameters = [("watch", "true"), *((key, str(value)) for key, value in query.items())]
    response = await server.handle(Request("GET", path, parameters, {"accept": accept}))
    assert response.status == 200
    found = []
    async with asyncio.timeout(5):
        async for chunk in response.chunks:
            found += [orjson.loads(line) for line in chunk.splitlines()]
            if len(found) >= count:
                break
    await response.chunks.aclose()
    return found


def seen(found):
    return [(event["type"], event["object"]["metadata"].get("name")) for event in found]


async def test_without_a_version_the_present_comes_first(server, client):
    """A client may watch without listing first: what is there is ADDED."""
    await client.create(config_map("a"), "default")
    await client.create(config_map("b"), "default")
    assert seen(await events(server, count=2)) == [("ADDED", "a"), ("ADDED", "b")]


async def test_a_watch_list_says_when_the_present_is_over(server, client):
    """Informers of v1.37 list by watching: the bookmark's annotation tells them that they are in sync."""
    await client.create(config_map("a"), "default")
    found = await events(
        server, count=2, sendInitialEvents="true", allowWatchBookmarks="true", resourceVersionMatch="NotOlderThan"
    )
    assert [event["type"] for event in found] == ["ADDED", "BOOKMARK"]
    bookmark = found[1]["object"]
    assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert bookmark["kind"] == "ConfigMap"
    assert int(bookmark["metadata"]["resourceVersion"]) >= int(found[0]["object"]["metadata"]["resourceVersion"])


async def test_a_selection_sees_objects_come_and_go(server, client):
    """An object that begins to match is ADDED, one that ceases to is DELETED with its last matching state."""
    listed = await client.list("ConfigMap", "default")
    await client.create(config_map("a"), "default")
    await client.patch("ConfigMap", "a", {"metadata": {"labels": {"x": "1"}}}, "default")
    await client.patch("ConfigMap", "a", {"metadata": {"labels": {"y": "1"}}}, "default")
    await client.patch("ConfigMap", "a", {"metadata": {"labels": {"x": None}}}, "default")
    found = await events(server, count=3, resourceVersion=listed.resource_version, labelSelector="x=1")
    assert [event["type"] for event in found] == ["ADDED", "MODIFIED", "DELETED"]
    assert found[2]["object"]["metadata"]["labels"] == {"x": "1", "y": "1"}
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in found]
    assert versions == sorted(set(versions))


async def test_one_object_by_name(server, client):
    """kubectl and controllers watch single objects by a field selector."""
    listed = await client.list("ConfigMap", "default")
    for name in "abc":
        await client.create(config_map(name), "default")
    found = await events(server, count=1, resourceVersion=listed.resource_version, fieldSelector="metadata.name=b")
    assert seen(found) == [("ADDED", "b")]


async def test_a_version_that_is_forgotten_is_expired(server):
    """The client must list again: it is told so inside the stream, as upstream does."""
    server.cache.kind(server.catalog.named("ConfigMap")).oldest = 100
    found = await events(server, count=1, resourceVersion=1)
    assert found[0]["type"] == "ERROR"
    assert (found[0]["object"]["code"], found[0]["object"]["reason"]) == (410, "Expired")
    assert found[0]["object"]["message"] == "too old resource version: 1 (100)"


async def test_metadata_alone_and_tables(server, client):
    """Other forms of the same events, for clients that want less or show more."""
    await client.create(config_map("a"), "default")
    partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    found = await events(server, count=1, accept=partial)
    assert found[0]["object"]["kind"] == "PartialObjectMetadata"
    assert set(found[0]["object"]) == {"kind", "apiVersion", "metadata"}
    found = await events(server, count=1, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert found[0]["object"]["rows"][0]["cells"][0] == "a"


async def test_watchers_share_an_event_and_a_slow_one_is_ended(server, client, monkeypatch):
    """A client that does not read costs a bounded queue, and nobody else anything."""
    kind = server.cache.kind(server.catalog.named("ConfigMap"))
    parameters = [("watch", "true"), ("resourceVersion", str(server.cache.revision))]
    slow = (await server.handle(Request("GET", CONFIG_MAPS, parameters))).chunks
    first = asyncio.ensure_future(anext(slow))
    await asyncio.sleep(0)
    (watcher,) = kind.watchers
    await client.create(config_map("a"), "default")
    await first
    watcher.queued_bytes = 1 << 40  # as if the client had stopped reading
    await client.create(config_map("b"), "default")
    await server.cache.caught_up()
    assert watcher.ended
    with pytest.raises(StopAsyncIteration):
        await anext(slow)
    assert not list(kind.watchers)


def test_bookmarks_and_the_time_limit():
    """A quiet watch is told now and then how far things have come, and ends when its time is over."""

    async def run():
        clock = VirtualClock(1)
        store = MemoryStore(clock)
        server = APIServer(store, clock)
        await server.start()
        await server.writer.create("Namespace", {"metadata": {"name": "default"}})
        query = [("watch", "true"), ("timeoutSeconds", "400"), ("allowWatchBookmarks", "true")]
        response = await server.handle(Request("GET", CONFIG_MAPS, query))
        began = clock.monotonic()
        found = [(orjson.loads(chunk)["type"], round(clock.monotonic() - began)) async for chunk in response.chunks]
        await server.stop()
        await store.close()
        return found

    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        assert runner.run(run()) == [("BOOKMARK", 150), ("BOOKMARK", 300), ("BOOKMARK", 400)]


async def test_an_event_begins_as_informers_know_it(server, client):
    """They leave the event of a write undecoded whose answer they have taken in: its head must say the revision."""
    made = await client.create(config_map("a", {"tier": "web"}), "default")
    response = await server.handle(Request("GET", CONFIG_MAPS, [("watch", "true")]))
    head = EVENT_REVISION.match(await anext(response.chunks))
    await response.chunks.aclose()
    assert head is not None
    assert head[1].decode() == made["metadata"]["resourceVersion"]


async def test_what_the_cache_is_told_of_a_write_is_what_the_write_says(server, client):
    """Labels and fields of what the server writes itself are not read out of its bytes again."""
    metadata = {"name": "a", "labels": {"tier": "web"}, "finalizers": ["example.com/kept"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
    await client.create({**pod, "spec": {"containers": [{"name": "main", "image": "web"}]}}, "default")
    await client.patch("Pod", "a", {"metadata": {"labels": {"tier": "db"}}}, "default")
    await client.patch("Pod", "a", {"status": {"phase": "Running"}}, "default", subresource="status")
    await client.delete("Pod", "a", "default")
    kind = server.cache.kind(server.catalog.named("Pod"))
    changes = [change.current for change in kind.history]
    assert [change.fields["status.phase"] for change in changes] == ["Pending", "Pending", "Running", "Running"]
    read = [selection_of(orjson.loads(entry.item), kind.fields) for entry in changes]
    assert [(entry.labels, entry.fields) for entry in changes] == read
