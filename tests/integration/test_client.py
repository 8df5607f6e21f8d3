"""The client against our own API server, in process: what the small list/watch server cannot vouch for."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kaa.client.discovery import discover, with_verbs
from kaa.client.events import EventRecorder
from kaa.client.informer import Change, without_managed_fields
from kaa.client.leader import LeaderElector
from kaa.client.rest import Client
from kaa.client.view import Informers
from kaa.lib.clock import WallClock
from kaa.server.app import APIServer
from kaa.server.inprocess import InProcessTransport
from kaa.store.memory import MemoryStore


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    clock = WallClock()
    server = APIServer(MemoryStore(clock), clock)
    await server.start()
    client = Client(InProcessTransport(server.handle))
    for namespace in ("default", "kube-system"):
        await client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    yield client
    await client.close()
    await server.stop()


async def test_every_listed_kind_can_be_informed_of(client: Client) -> None:
    """As the garbage collector does, with the rows that discovery gives."""
    client.catalog = await discover(client)
    informers = Informers(client, WallClock())
    for resource in with_verbs(client.catalog, ("list", "watch")):
        informers.informer(resource)
    running = asyncio.create_task(informers.run())
    async with asyncio.timeout(20):
        await informers.wait_synced()
    assert informers.view.get("Namespace", "default") is not None
    assert len(list(informers)) > 50
    running.cancel()
    await asyncio.wait([running])


async def test_a_write_is_told_once_whoever_tells_it_first(client: Client) -> None:
    """The answer that is observed, and the watch."""
    informers = Informers(client, WallClock())
    maps = informers.informer("ConfigMap")
    changes: list[Change] = []
    deleted = asyncio.Event()

    def note(change: Change) -> None:
        changes.append(change)
        if change.new is None:
            deleted.set()

    maps.subscribe(note)
    running = asyncio.create_task(informers.run())
    async with asyncio.timeout(20):
        await informers.wait_synced()
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}}
        created = await client.create({**made, "data": {"n": "1"}})
        informers.observe(created)
        assert maps.get("x", "default") == without_managed_fields(created)
        updated = await client.update({**created, "data": {"n": "2"}})
        informers.observe(updated)
        await client.delete("ConfigMap", "x", "default")
        await deleted.wait()
    told = [(c.old and c.old["data"]["n"], c.new and c.new["data"]["n"]) for c in changes]
    assert told == [(None, "1"), ("1", "2"), ("2", None)]
    running.cancel()
    await asyncio.wait([running])


async def test_events_and_leases_pass_the_server_s_own_checks(client: Client) -> None:
    """Validation, conflicts and patches are the real ones."""
    namespace = await client.get("Namespace", "default")
    recorder = EventRecorder(client, WallClock(), "test")
    writing = asyncio.create_task(recorder.run())

    async def work() -> None:
        for _ in range(3):
            recorder.record(namespace, "Normal", "Tested", "it works")
        async with asyncio.timeout(10):
            async for event in client.watch("Event", "default", resource_version="0"):
                if event.object["count"] == 3:
                    return

    await LeaderElector(client, WallClock(), "test", "me").lead(work)
    lease = await client.get("Lease", "test", "kube-system")
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("", 0)
    writing.cancel()
    await asyncio.wait([writing])
