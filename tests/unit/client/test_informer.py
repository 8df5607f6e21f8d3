"""Informers: the copy is what the server has, changes are told once and in order, and failures never spin."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.fakes.list_watch_server import ListWatchServer

from kaa.api.selectors import parse_label_selector
from kaa.client.http import HTTPTransport
from kaa.client.informer import Change, Informer
from kaa.client.kubeconfig import ClientConfig
from kaa.client.rest import LIST_PAGE, Client
from kaa.client.view import Informers
from kaa.lib.clock import WallClock

PODS = "/api/v1/pods"


def pod(name: str, namespace: str = "default", *, owner: str = "", **labels: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
    }
    if owner:
        made["metadata"]["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": owner, "controller": True}
        ]
    return made


class Told:
    """Changes as ("+a", "~a", "-a"), and a wait for a state."""

    def __init__(self, informer: Informer) -> None:
        self.changes: list[str] = []
        self._something = asyncio.Event()
        informer.subscribe(self._note)

    def _note(self, change: Change) -> None:
        obj = change.new or change.old
        assert obj is not None
        mark = "+" if change.old is None else "-" if change.new is None else "~"
        self.changes.append(mark + obj["metadata"]["name"])
        self._something.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not reached():
                self._something.clear()
                await self._something.wait()


@asynccontextmanager
async def running(informer: Informer | Informers) -> AsyncIterator[None]:
    task = asyncio.create_task(informer.run())
    try:
        async with asyncio.timeout(10):
            await informer.wait_synced()
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def informer(client: Client) -> Informer:
    return Informer(client, "Pod", WallClock())


async def test_list_then_watch(server: ListWatchServer, informer: Informer) -> None:
    """What was there and what comes, each told once, in order; the cache agrees."""
    await server.put(f"{PODS}/a", pod("a"))
    await server.put(f"{PODS}/b", pod("b"))
    told = Told(informer)
    async with running(informer):
        assert told.changes == ["+a", "+b"]
        await server.put(f"{PODS}/c", pod("c"))
        await server.put(f"{PODS}/a", pod("a", app="web"))
        await server.delete(f"{PODS}/b")
        await told.until(lambda: len(told.changes) == 5)
        assert told.changes[2:] == ["+c", "~a", "-b"]
        found = informer.get("a", "default")
        assert found is not None
        assert found["metadata"]["labels"] == {"app": "web"}
        assert informer.get("b", "default") is None
        assert sorted(p["metadata"]["name"] for p in informer.list()) == ["a", "c"]


async def test_a_long_list_comes_in_pages(server: ListWatchServer, informer: Informer) -> None:
    """All of it, with neither the server nor us holding everything decoded."""
    for i in range(LIST_PAGE + 10):
        await server.put(f"{PODS}/p{i:04}", pod(f"p{i:04}"))
    async with running(informer):
        assert len(informer) == LIST_PAGE + 10
        assert len({p["metadata"]["name"] for p in informer.list()}) == LIST_PAGE + 10
        lists = [request for request in server.requests if "watch" not in request]
        assert len(lists) == 2


async def test_an_ended_watch_resumes_where_it_was(server: ListWatchServer, informer: Informer) -> None:
    """Bookmarks move that point on, so that a kind that never changes is not listed again."""
    await server.put(f"{PODS}/a", pod("a"))
    told = Told(informer)
    async with running(informer):
        await server.watched()
        await server.put("/api/v1/configmaps/x", pod("x"))
        await server.bookmark()
        await server.put(f"{PODS}/b", pod("b"))
        await told.until(lambda: "+b" in told.changes)
        await server.end_watches()
        await server.watched(2)
        await server.put(f"{PODS}/c", pod("c"))
        await told.until(lambda: "+c" in told.changes)
    assert told.changes == ["+a", "+b", "+c"]
    assert sum("watch" not in request for request in server.requests) == 1
    assert f"resourceVersion={server.revision - 1}" in server.requests[2]


async def test_after_expiry_differences_are_told(server: ListWatchServer, informer: Informer) -> None:
    """What came, changed and went unseen is told as if it had been watched; the rest is not told again."""
    for name in ("keeps", "changes", "goes"):
        await server.put(f"{PODS}/{name}", pod(name))
    told = Told(informer)
    async with running(informer):
        await server.watched()
        del told.changes[:]
        # Told to nobody: the watch is ended before it can be.
        server.compacted = server.revision + 4
        server.history.clear()
        await server.end_watches()
        await server.put(f"{PODS}/changes", pod("changes", app="new"))
        await server.put(f"{PODS}/comes", pod("comes"))
        await server.delete(f"{PODS}/goes")
        server.revision += 1
        await told.until(lambda: len(told.changes) >= 3)
        assert sorted(told.changes) == ["+comes", "-goes", "~changes"]
        assert {p["metadata"]["name"] for p in informer.list()} == {"keeps", "changes", "comes"}


async def test_failures_are_waited_out_and_never_spin(server: ListWatchServer, informer: Informer) -> None:
    """A server that is starting, overloaded or refuses is asked again, ever more rarely."""
    server.fail(503, "ServiceUnavailable", times=2)
    server.fail(403, "Forbidden")
    await server.put(f"{PODS}/a", pod("a"))
    started = asyncio.get_running_loop().time()
    async with running(informer):
        assert asyncio.get_running_loop().time() - started > 0.1 + 0.2 + 0.4
        assert informer.get("a", "default") is not None


async def test_a_watch_that_ends_at_once_does_not_spin(server: ListWatchServer, informer: Informer) -> None:
    """A broken proxy in between would else be asked thousands of times a second."""
    async with running(informer):
        for _ in range(50):
            await server.end_watches()
            await asyncio.sleep(0.01)
        assert len(server.requests) < 8


async def test_a_server_that_comes_back_is_found() -> None:
    """Components start before the API server, and outlive it."""
    server = ListWatchServer()
    await server.put(f"{PODS}/a", pod("a"))
    async with server.serving():
        port = int(server.url.rsplit(":", 1)[1])
    client = Client(HTTPTransport.from_config(ClientConfig(server.url)))
    informer = Informer(client, "Pod", WallClock())
    task = asyncio.create_task(informer.run())
    await asyncio.sleep(0.2)
    assert not informer.synced
    async with server.serving(port=port):
        async with asyncio.timeout(10):
            await informer.wait_synced()
        assert informer.get("a", "default") is not None
        task.cancel()
        await asyncio.wait([task])
        await client.close()


async def test_own_writes_are_read_at_once(server: ListWatchServer, informer: Informer) -> None:
    """A reconcile that has created a pod must not create it again because the watch is late."""
    told = Told(informer)
    async with running(informer):
        await server.watched()
        answer = await server.put("/elsewhere/a", pod("a"))  # the watch does not tell of it
        informer.observe(answer)
        assert informer.get("a", "default") == answer
        informer.observe(answer)
        await server.put(f"{PODS}/b", pod("b"))
        await told.until(lambda: "+b" in told.changes)
        assert told.changes == ["+a", "+b"]


async def test_an_old_answer_does_not_bring_back_the_dead(server: ListWatchServer, informer: Informer) -> None:
    """An answer that arrives after the watch has told of the deletion is history."""
    told = Told(informer)
    async with running(informer):
        await server.watched()
        answer = await server.put(f"{PODS}/a", pod("a"))
        await server.delete(f"{PODS}/a")
        await told.until(lambda: "-a" in told.changes)
        informer.observe(answer)
        assert informer.get("a", "default") is None
        assert told.changes == ["+a", "-a"]


async def test_a_late_event_does_not_undo_a_newer_write(server: ListWatchServer, informer: Informer) -> None:
    """The watch may tell of an older state after our own newer one was observed."""
    told = Told(informer)
    async with running(informer):
        await server.watched()
        newer = pod("a", version="new")
        newer["metadata"]["resourceVersion"] = str(server.revision + 2)
        informer.observe(newer)
        await server.put(f"{PODS}/a", pod("a", version="old"))
        await server.put(f"{PODS}/b", pod("b"))
        await told.until(lambda: "+b" in told.changes)
        assert told.changes == ["+a", "+b"]
        assert informer.get("a", "default") == newer


async def test_observe_keeps_to_the_selection(server: ListWatchServer, client: Client) -> None:
    """An object of another namespace or with other labels is none of ours."""
    informer = Informer(client, "Pod", WallClock(), namespace="mine", label_selector="app=web")
    async with running(informer):
        for candidate in (pod("a", "other", app="web"), pod("b", "mine"), pod("c", "mine", app="web")):
            candidate["metadata"]["resourceVersion"] = "999"
            informer.observe(candidate)
        assert [p["metadata"]["name"] for p in informer.list()] == ["c"]
        assert "labelSelector=app%3Dweb" in server.requests[0]


async def test_lookups(server: ListWatchServer, informer: Informer) -> None:
    """By namespace, labels, controlling owner and index, also for indexes added late, and after changes."""
    await server.put(f"{PODS}/1", pod("a", "one", owner="u1", app="web"))
    await server.put(f"{PODS}/2", pod("b", "two", owner="u1", app="db"))
    await server.put(f"{PODS}/3", pod("c", "two", app="web"))
    told = Told(informer)

    def names(pods: list[dict[str, Any]]) -> list[str]:
        return sorted(p["metadata"]["name"] for p in pods)

    async with running(informer):
        informer.add_index("app", lambda p: [p["metadata"]["labels"].get("app", "none")])
        assert names(informer.list("two")) == ["b", "c"]
        assert names(informer.list(selector=parse_label_selector("app=web"))) == ["a", "c"]
        assert names(informer.list("two", parse_label_selector("app=web"))) == ["c"]
        assert names(informer.owned("u1")) == ["a", "b"]
        assert names(informer.by_index("app", "web")) == ["a", "c"]
        await server.put(f"{PODS}/1", pod("a", "one", app="db"))
        await server.delete(f"{PODS}/2")
        await told.until(lambda: "-b" in told.changes)
        assert names(informer.owned("u1")) == []
        assert names(informer.by_index("app", "db")) == ["a"]
        assert informer.by_index("app", "none") == []


async def test_a_late_subscriber_is_told_of_what_is_there(server: ListWatchServer, informer: Informer) -> None:
    """Two components that share an informer start in any order."""
    await server.put(f"{PODS}/a", pod("a"))
    async with running(informer):
        assert Told(informer).changes == ["+a"]


async def test_nobody_owns_anything_in_another_namespace(server: ListWatchServer, client: Client) -> None:
    """Whoever knows a uid can name it as owner: that must not give him a say in the owner's namespace."""
    for namespace in ("one", "two"):
        await server.put(f"{PODS}/{namespace}", pod(namespace, namespace, owner="u1"))
    informers = Informers(client, WallClock())
    informers.informer("Pod")
    async with running(informers):
        async with asyncio.timeout(10):
            await informers.wait_synced()
        owned = informers.view.owned({"metadata": {"uid": "u1", "namespace": "one"}}, "Pod")
        assert [p["metadata"]["name"] for p in owned] == ["one"]
        everywhere = informers.view.owned({"metadata": {"uid": "u1"}}, "Pod")
        assert sorted(p["metadata"]["name"] for p in everywhere) == ["one", "two"], "a cluster's object owns anywhere"


async def test_informers_share_one_a_kind_and_start_late_ones(server: ListWatchServer, client: Client) -> None:
    """A kind is watched once however many ask, under whatever name; a dropped kind is forgotten."""
    await server.put(f"{PODS}/a", pod("a", owner="u1"))
    informers = Informers(client, WallClock())
    pods = informers.informer("Pod")
    async with running(informers):
        assert informers.informer(client.resource("/v1/Pod")) is pods
        services = informers.informer("Service")
        async with asyncio.timeout(10):
            await services.wait_synced()
        view = informers.view
        assert view.get("Pod", "a", "default") is not None
        assert [p["metadata"]["name"] for p in view.owned({"metadata": {"uid": "u1"}}, "Pod")] == ["a"]
        assert view.list("Service") == []
        await server.watched(2)
        await informers.drop("Service")
        await informers.drop("Service")
        with pytest.raises(KeyError):
            view.list("Service")
        with pytest.raises(KeyError):
            view.list("Node")
        assert sum("services" in request and "watch" in request for request in server.requests) == 1
