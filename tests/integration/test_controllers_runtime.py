"""The runtime's promises, with a real server: retries, read-your-own-writes, and what a slow watch must not cause."""

import asyncio
import gc
import warnings
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from typing import Any

from kaa.api.errors import APIError
from kaa.api.objects import Object, owner_reference
from kaa.client.events import EventRecorder
from kaa.client.rest import Client
from kaa.client.view import Informers
from kaa.controllers import Options, all_controllers, all_programs, replicaset
from kaa.controllers.actions import CreateAll, DeleteAll, Update
from kaa.controllers.controller import Controller
from kaa.controllers.executor import Executor
from kaa.controllers.garbage_collector import GarbageCollector
from kaa.controllers.runtime import ControllerManager, KeyEffects
from kaa.lib.clock import VirtualClock, VirtualEventLoop
from kaa.server.app import APIServer
from kaa.server.inprocess import InProcessTransport
from kaa.store.memory import MemoryStore


class CountingTransport(InProcessTransport):
    """Notes every request; its watches tell everything `late_seconds` late."""

    late_seconds = 0.0

    def __init__(self, handle: Any, clock: VirtualClock) -> None:
        super().__init__(handle)
        self.writes: list[tuple[str, str, int]] = []
        self.reads: list[str] = []
        self.watches: list[str] = []
        self._clock = clock

    async def request(self, method: str, path: str, **more: Any) -> Any:
        response = await super().request(method, path, **more)
        if method == "GET":
            self.reads.append(path)
        else:
            self.writes.append((method, path, response.status))
        return response

    @asynccontextmanager
    async def stream(self, method: str, path: str, **more: Any) -> Any:
        self.watches.append(path)
        async with super().stream(method, path, **more) as stream:
            yield Late(stream, self, self._clock)


class Late:
    def __init__(self, stream: Any, transport: CountingTransport, clock: VirtualClock) -> None:
        self.status, self.headers = stream.status, stream.headers
        self._stream, self._transport, self._clock = stream, transport, clock

    async def __aiter__(self) -> Any:
        async for chunk in self._stream:
            await self._clock.sleep(self._transport.late_seconds)
            yield chunk


def play(scenario: Any, *controllers: Controller, programs: Any = ()) -> None:
    """Runs `scenario(client, transport, clock)` beside those controllers, in virtual time."""
    loop = VirtualEventLoop()

    async def run() -> None:
        clock = VirtualClock(seed=3)
        store = MemoryStore(clock)
        server = APIServer(store, clock)
        await server.start()
        await server.writer.create("Namespace", {"metadata": {"name": "default"}})
        transport = CountingTransport(server.handle, clock)
        client = Client(transport)
        manager = asyncio.ensure_future(ControllerManager(client, clock, controllers, programs).run())
        try:
            await asyncio.wait_for(scenario(client, transport, clock), 3600)
            assert not manager.done(), manager.exception()
        finally:
            manager.cancel()
            await asyncio.wait([manager])
            await server.stop()
            await store.close()

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


def test_a_faulty_reconcile_is_tried_again_and_stops_nobody_else(caplog: Any) -> None:
    """One object that a controller cannot take must not keep it from the others; the pauses grow."""
    tries: list[datetime] = []

    def reconcile(obj: Any, view: Any, now: datetime) -> Any:
        if "broken" in obj["data"]:
            tries.append(now)
            raise KeyError("broken")
        if "seen" not in obj["data"]:
            yield Update({**obj, "data": {**obj["data"], "seen": "yes"}})

    async def scenario(client: Client, transport: Any, clock: VirtualClock) -> None:
        await client.create(config_map("bad", broken="yes"))
        await client.create(config_map("good", a="b"))
        await clock.sleep(10)
        assert (await client.get("ConfigMap", "good", "default"))["data"] == {"a": "b", "seen": "yes"}
        pauses = [(later - sooner).total_seconds() for sooner, later in pairwise(tries)]
        assert pauses[:4] == [0.005, 0.01, 0.02, 0.04]
        assert len(tries) < 15

    play(scenario, Controller(name="test", kind="ConfigMap", reconcile=reconcile))
    assert "reconcile of default/bad failed" in caplog.text


def test_an_owner_that_was_seen_to_go_is_not_asked_for() -> None:
    """The server is asked only for owners that the collector knows nothing of."""
    names = [f"child-{number}" for number in range(5)]

    async def scenario(client: Client, transport: CountingTransport, clock: VirtualClock) -> None:
        owner = await client.create(config_map("owner"))
        for name in names:
            child = config_map(name)
            child["metadata"]["ownerReferences"] = [owner_reference(owner)]
            await client.create(child)
        await clock.sleep(10)
        await client.delete("ConfigMap", "owner", "default")
        await clock.sleep(10)
        assert not (await client.list("ConfigMap", "default")).items
        assert not [path for path in transport.reads if path.endswith("/owner")]

    play(scenario, programs=[GarbageCollector])


def replica_set(replicas: int) -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "example/web"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "web", "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}


def test_nobody_acts_twice_on_an_old_view() -> None:
    """Watches that are a minute late: still exactly as many pods made and deleted as were wanted."""

    async def scenario(client: Client, transport: CountingTransport, clock: VirtualClock) -> None:
        await clock.sleep(1)
        transport.late_seconds = 60
        await client.create(replica_set(5))
        await clock.sleep(300)
        made = [write for write in transport.writes if write[0] == "POST" and write[1].endswith("/pods")]
        assert len(made) == 5
        await client.patch("ReplicaSet", "web", {"spec": {"replicas": 2}}, "default")
        await clock.sleep(600)
        deleted = [write for write in transport.writes if write[0] == "DELETE" and "/pods/" in write[1]]
        assert len(deleted) == 3
        assert len((await client.list("Pod", "default")).items) == 2

    play(scenario, replicaset.CONTROLLERS[0])


def test_a_refusal_ends_a_batch() -> None:
    """Of a hundred that would all be refused, one is asked for; and the reconcile is told."""
    told: list[APIError | None] = []

    def reconcile(obj: Any, view: Any, now: datetime) -> Any:
        if obj["metadata"]["name"] == "start":
            bad = {**config_map("x"), "metadata": {"name": "Not A Name", "namespace": "default"}}
            told.append((yield CreateAll((bad,) * 100)))

    async def scenario(client: Client, transport: CountingTransport, clock: VirtualClock) -> None:
        await client.create(config_map("start"))
        await clock.sleep(0.003)
        refused = [write for write in transport.writes if write[2] == 422]
        assert len(refused) == 1
        assert told[0] is not None
        assert told[0].reason == "Invalid"

    play(scenario, Controller(name="test", kind="ConfigMap", reconcile=reconcile))


def test_a_reconcile_that_reads_much_rests() -> None:
    """Of 300 changes in a second, a key that reads 200 objects is looked at a few times, one of few always."""
    looked: dict[str, int] = {"much": 0, "little": 0}

    def reconcile(obj: Any, view: Any, now: datetime) -> Any:
        name = obj["metadata"]["name"]
        if name in looked:
            looked[name] += 1
            view.list("ConfigMap") if name == "much" else view.get("ConfigMap", "much", "default")
        yield from ()

    async def scenario(client: Client, transport: CountingTransport, clock: VirtualClock) -> None:
        for name in (*looked, *(f"other-{n}" for n in range(200))):
            await client.create(config_map(name))
        await clock.sleep(5)
        looked.update(much=0, little=0)
        for number in range(300):
            for name in list(looked):
                await client.patch("ConfigMap", name, {"data": {"number": str(number)}}, "default")
            await clock.sleep(1 / 300)
        await clock.sleep(5)
        assert looked["little"] == 300
        assert 5 <= looked["much"] <= 9

    play(scenario, Controller(name="test", kind="ConfigMap", reconcile=reconcile))


def test_nothing_is_watched_twice() -> None:
    """Pods are the most of a cluster: two caches of them would be most of the process."""

    async def scenario(client: Client, transport: CountingTransport, clock: VirtualClock) -> None:
        options = Options(root_ca_pem="x", cluster_cidr="10.0.0.0/16", sign_token=str)
        manager = ControllerManager(client, clock, all_controllers(options), all_programs(options))
        running = asyncio.ensure_future(manager.run())
        await clock.sleep(5)
        running.cancel()
        await asyncio.wait([running])
        twice = {path for path in transport.watches if transport.watches.count(path) > 1}
        # Of these two a controller needs a few whole, and the metadata of all is needed, too.
        assert twice == {"/api/v1/configmaps", "/api/v1/secrets"}
        assert len(transport.watches) == len({*transport.watches}) + 2

    play(scenario)


def test_a_manager_that_ends_in_the_midst_of_many_writes_leaves_no_coroutine() -> None:
    """Writes that had been handed out and had not begun are nobody's any more: nothing is said of them at exit."""

    async def main() -> None:
        clock = VirtualClock(seed=3)
        server = APIServer(MemoryStore(clock), clock)
        await server.start()
        client = Client(InProcessTransport(server.handle))
        executor = Executor(client, Informers(client, clock), EventRecorder(client, clock, "test"), lambda *_: None)
        maps = tuple(config_map(number) for number in range(3))
        for action in (CreateAll(maps), DeleteAll(maps)):
            working = asyncio.ensure_future(executor.perform(action, KeyEffects()))
            await asyncio.sleep(0)  # it has begun, and what it hands out has not
            working.cancel()
            await asyncio.wait([working])
        await server.stop()

    def config_map(number: int) -> Object:
        metadata = {"name": f"c-{number}", "namespace": "default", "uid": str(number)}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}

    with warnings.catch_warnings(record=True) as warned, asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        warnings.simplefilter("always")
        runner.run(main())
        gc.collect()
    assert [str(warning.message) for warning in warned] == []


def test_events_come_from_the_controller_that_tells() -> None:
    """`kubectl describe` names it, and alerts are filtered by it: the names are upstream's."""

    async def scenario(client: Client, transport: CountingTransport, clock: VirtualClock) -> None:
        template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "web"}]}}
        spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
        metadata = {"name": "web", "namespace": "default"}
        await client.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
        await clock.sleep(5)
        events = (await client.list("/v1/Event", "default")).items
        found = {(event["involvedObject"]["kind"], event["source"]["component"]) for event in events}
        assert found == {("Deployment", "deployment-controller"), ("ReplicaSet", "replicaset-controller")}
        assert all(event["reportingComponent"] == event["source"]["component"] for event in events)

    rows = {row.name: row for row in all_controllers(Options())}
    names = {name: rows[name].component for name in ("replicationcontroller", "node-lifecycle", "disruption")}
    assert names == {
        "replicationcontroller": "replication-controller",
        "node-lifecycle": "node-controller",
        "disruption": "controllermanager",
    }
    play(scenario, rows["deployment"], rows["replicaset"])
