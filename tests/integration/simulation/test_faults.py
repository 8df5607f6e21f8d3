"""Faults: what each does to a cluster, and that it ends."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from tests.integration.simulation.scenarios import pod_template, workload

from kaa import Cluster
from kaa.api.errors import APIError
from kaa.api.objects import Object, condition, name_of
from kaa.client.informer import Informer
from kaa.client.rest import Client
from kaa.cluster.simulation.component import Component, user_named
from kaa.cluster.simulation.control_plane import controller_manager
from kaa.cluster.simulation.credentials import known_credentials
from kaa.cluster.simulation.everyday import AsyncCluster
from kaa.cluster.simulation.settings import Settings
from kaa.lib.clock import Clock, VirtualEventLoop

MANAGER = "kube-controller-manager"


@pytest.fixture
def c() -> Iterator[Cluster]:
    with Cluster(clock="virtual", seed=7) as cluster:
        cluster.run_for(5)
        yield cluster


def web(replicas: int = 2, image: str = "web:1") -> Object:
    return workload("Deployment", "web", pod_template("web", image), replicas=replicas)


def pods_of(c: Cluster) -> int:
    return len(c.list("pod", namespace="default"))


def test_a_crashed_component_does_nothing_until_it_is_back(c: Cluster) -> None:
    """Killed at 1 s, back at 11 s: what was asked for meanwhile is done then. What happened, and when, is logged."""
    c.faults.crash(MANAGER, after=1, for_=10)
    c.run_for(2)
    c.apply(web())
    c.run_for(8)
    assert pods_of(c) == 0
    c.run_for(10)
    assert pods_of(c) == 2
    (fault,) = c.faults.log
    assert str(fault) == f"2030-01-01T00:00:06.000000Z crash {MANAGER} for 10.000 s"


def test_a_paused_component_goes_on_where_it_was(c: Cluster) -> None:
    """It neither sees nor does anything meanwhile; then it sees all, without listing anew."""
    c.faults.pause(MANAGER, for_=30)
    c.run_for(1)
    c.apply(web())
    c.run_for(28)
    assert pods_of(c) == 0
    c.run_for(10)
    assert pods_of(c) == 2


def test_a_node_that_is_cut_off_is_lost_and_comes_back(c: Cluster) -> None:
    """Its lease runs out, it is Unknown and tainted; when the network is whole again it is Ready."""
    c.faults.partition("node/node-1", for_=120)
    c.run_for(100)
    node = c.get("node", "node-1")
    assert condition(node["status"]["conditions"], "Ready")["status"] == "Unknown"
    assert {taint["key"] for taint in node["spec"]["taints"]} == {"node.kubernetes.io/unreachable"}
    c.wait("node", "node-1", "Ready")
    c.wait("node", "node-1", lambda found: not found["spec"].get("taints"))


def test_pods_stay_on_a_node_that_the_controllers_have_not_seen(c: Cluster) -> None:
    """A watch that is late for longer than a node may be missing: nobody's pods are thrown away for that."""
    c.faults.delay_watches(MANAGER, seconds=(90, 90), kind="Node", for_=100)
    c.run_for(1)
    c.client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "new"}})
    template = pod_template("web")
    c.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {**template["spec"], "nodeName": "new"}}
    )
    c.run_for(80)
    assert "deletionTimestamp" not in c.get("pod", "a")["metadata"]
    c.faults.heal()
    c.delete("node", "new")
    c.run_for(120)
    assert pods_of(c) == 0


def test_nothing_is_adopted_by_an_owner_that_is_on_its_way_out(c: Cluster) -> None:
    """Nor while its controller does not know that yet: a pod that was to be left alone would go with the owner."""
    replica_set = workload("ReplicaSet", "web", pod_template("web"), replicas=0)
    replica_set["metadata"]["finalizers"] = ["example.com/hold"]
    c.apply(replica_set)
    c.run_for(5)
    c.faults.delay_watches(MANAGER, seconds=(30, 30), kind="ReplicaSet", for_=60)
    c.run_for(1)
    c.delete("replicaset", "web")
    labelled = pod_template("web")
    c.apply({"apiVersion": "v1", "kind": "Pod", **labelled, "metadata": {**labelled["metadata"], "name": "a"}})
    c.run_for(20)
    assert "ownerReferences" not in c.get("pod", "a")["metadata"]


def test_heal_ends_everything(c: Cluster) -> None:
    """Faults without an end, and those that have not begun."""
    c.faults.crash(MANAGER)
    c.faults.partition("*")
    c.faults.pause("kube-scheduler", after=60)
    c.run_for(1)
    c.faults.heal()
    c.apply(web())
    c.wait("deployment", "web", "Available", timeout=60)
    c.run_for(100)
    assert {fault.what for fault in c.faults.log} == {f"crash {MANAGER}", "partition *"}


def test_nobody_of_that_name_is_an_error(c: Cluster) -> None:
    """A fault that could hit nobody would make a test pass that tests nothing."""
    with pytest.raises(ValueError, match="there is no component kube-apiserver; there are kube-controller-manager"):
        c.faults.crash("kube-apiserver")
    with pytest.raises(ValueError, match="no component is named node/x-"):
        c.faults.partition("node/x-*")
    with pytest.raises(ValueError, match="no such kind of fault: fire; there are crash, pause"):
        c.faults.random(kinds=["fire"])


def test_random_faults_come_from_the_seed(c: Cluster) -> None:
    """The same seed draws the same faults at the same times; kinds and names are those that were asked for."""
    logs = []
    for seed in (1, 1, 2):
        with Cluster(clock="virtual", seed=seed) as cluster:
            cluster.faults.random(rate=1, kinds=["pause", "conflict", "skew"], names="kube-*", for_=30)
            cluster.run_for(120)
            logs.append([str(fault) for fault in cluster.faults.log])
    assert logs[0] == logs[1] != logs[2]
    assert 10 < len(logs[0]) < 60
    assert all("kube-" in fault for fault in logs[0])


def test_on_the_wall_clock_from_another_thread() -> None:
    """Plain code's cluster lives in a thread of its own; faults are asked for from outside."""
    with Cluster() as cluster:
        cluster.faults.pause(MANAGER)
        cluster.run_for(0.2)
        cluster.apply(web(1))
        cluster.run_for(0.5)
        assert pods_of(cluster) == 0
        cluster.faults.heal()
        cluster.wait("deployment", "web", "Available")


# What a component sees and meets


class Probe:
    """A component that watches ConfigMaps, and writes when it is told to."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.seconds: list[float] = []

    async def run(self, client: Client, clock: Clock) -> None:
        self.client, self.clock = client, clock
        self.informer = Informer(client, "ConfigMap", clock, namespace="default")
        self.informer.subscribe(lambda change: self.hear(name_of(change.new or change.old or {})))
        await self.informer.run()

    def hear(self, name: str) -> None:
        self.told.append(name)
        self.seconds.append(self.clock.monotonic())

    async def write(self, number: int) -> str:
        """The reason for which it was refused, or ""."""
        try:
            await self.client.create(config_map(f"own-{number}"))
            return ""
        except APIError as error:
            return error.reason


def config_map(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}


@asynccontextmanager
async def probed() -> AsyncIterator[tuple[AsyncCluster, Probe]]:
    async with AsyncCluster(Settings(clock="virtual", seed=7, nodes=0, controllers=False, scheduler=False)) as c:
        probe = Probe()
        c.world.add(Component("probe", user_named("probe", "system:masters"), probe.run))
        await c.run_for(1)
        yield c, probe


def on_virtual_time(test):
    def run() -> None:
        with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
            runner.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@on_virtual_time
async def test_a_watch_that_breaks_is_resumed() -> None:
    """What was under way is not lost for good: the client comes back where it was."""
    async with probed() as (c, probe):
        await c.client.create(config_map("one"))
        c.faults.drop_watches("probe")
        await c.client.create(config_map("two"))
        await c.run_for(5)
        assert probe.told == ["one", "two"]


@on_virtual_time
async def test_what_came_and_went_before_a_new_list_is_never_seen() -> None:
    """With the revision too old the client lists anew, and the difference is all it learns."""
    async with probed() as (c, probe):
        c.faults.drop_watches("probe", expired=True)
        await asyncio.sleep(0)
        await c.client.create(config_map("brief"))
        await c.client.delete("ConfigMap", "brief", "default")
        await c.client.create(config_map("lasting"))
        await c.run_for(5)
        assert probe.told == ["lasting"]


@on_virtual_time
async def test_delayed_events_come_late_and_in_order() -> None:
    """By at least the least delay; nothing overtakes."""
    async with probed() as (c, probe):
        c.faults.delay_watches("probe", seconds=(2, 5), kind="ConfigMap")
        await asyncio.sleep(0)
        written = c.world.clock.monotonic()
        for number in range(5):
            await c.client.create(config_map(f"c-{number}"))
            await c.run_for(1)
        await c.run_for(30)
        assert probe.told == [f"c-{number}" for number in range(5)]
        assert probe.seconds[0] - written >= 2


@on_virtual_time
async def test_reordered_watches_are_late_by_times_of_their_own() -> None:
    """Two kinds written one after the other are seen the other way round, for some seeds of the link."""
    seen = set()
    for seed in range(8):
        settings = Settings(clock="virtual", seed=seed, nodes=0, controllers=False, scheduler=False)
        async with AsyncCluster(settings) as c:
            told: list[str] = []

            async def watch(client: Client, clock: Clock, told: list[str] = told) -> None:
                async with asyncio.TaskGroup() as group:
                    for kind in ("ConfigMap", "Secret"):
                        informer = Informer(client, kind, clock, namespace="default")
                        informer.subscribe(lambda change: told.append((change.new or change.old or {})["kind"]))
                        group.create_task(informer.run())

            c.world.add(Component("both", user_named("both", "system:masters"), watch))
            await c.run_for(1)
            c.faults.reorder_watches("both", seconds=(0, 5))
            await asyncio.sleep(0)
            await c.client.create(config_map("first"))
            await c.client.create({**config_map("second"), "kind": "Secret"})
            await c.run_for(20)
            assert sorted(told) == ["ConfigMap", "Secret"]
            seen.add(tuple(told))
    assert len(seen) == 2


@on_virtual_time
async def test_a_repeated_event_changes_nothing() -> None:
    """An informer tells a revision once, however often it hears of it."""
    async with probed() as (c, probe):
        lines = []
        c.faults.duplicate_watches("probe", fraction=1.0)
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            watch = probe.client.watch("ConfigMap", "default", resource_version="1")
            await c.client.create(config_map("one"))
            async for event in watch:
                if event.type != "BOOKMARK":
                    lines.append(name_of(event.object))
                if len(lines) == 2:
                    break
            await watch.aclose()
        assert lines == ["one", "one"]
        await c.run_for(5)
        assert probe.told == ["one"]


@on_virtual_time
async def test_a_fraction_of_the_writes_fails() -> None:
    """Conflict never takes effect; a failing store does, for one in two of those that it fails."""
    async with probed() as (c, probe):
        for reason, effective in (("Conflict", False), ("InternalError", True)):
            c.faults.fail_writes("probe", fraction=0.5, reason=reason)
            await asyncio.sleep(0)
            refused = [number for number in range(200) if await probe.write(number) == reason]
            assert 70 < len(refused) < 130
            there = {name_of(obj) for obj in await c.list("configmap", namespace="default")}
            made = sum(f"own-{number}" in there for number in refused)
            assert (0.3 < made / len(refused) < 0.7) if effective else made == 0
            c.faults.heal()
            for name in there:
                await c.delete("configmap", name)
            await c.run_for(1)
            assert await probe.write(0) == ""
            await c.delete("configmap", "own-0")


@on_virtual_time
async def test_a_skewed_clock_is_one_component_s() -> None:
    """The time of day is wrong, the monotonic time is not, and it ends."""
    async with probed() as (c, probe):
        c.faults.skew("probe", -90, for_=10)
        await asyncio.sleep(0)
        assert probe.clock.now() - c.now == timedelta(seconds=-90)
        assert probe.clock.monotonic() == c.world.clock.monotonic()
        await c.run_for(11)
        assert probe.clock.now() == c.now


@on_virtual_time
async def test_a_paused_component_s_timers_wait() -> None:
    """Those that have become due fire when it goes on; one that was cancelled meanwhile does not."""
    async with probed() as (c, probe):
        fired: list[str] = []
        probe.clock.call_later(1, fired.append, "kept")
        cancelled = probe.clock.call_later(1, fired.append, "cancelled")
        c.faults.pause("probe", for_=10)
        await c.run_for(5)
        assert fired == []
        cancelled.cancel()
        await c.run_for(6)
        assert fired == ["kept"]


@on_virtual_time
async def test_another_manager_takes_over_from_a_dead_leader() -> None:
    """Two controller managers, one lease: the second works as soon as the first one's lease has run out."""
    async with AsyncCluster(Settings(clock="virtual", seed=7, controllers=False)) as c:
        for identity in ("a", "b"):
            c.world.add(controller_manager(None, known_credentials(), identity))
        await c.run_for(10)
        leader = await holder(c)
        await c.apply(web())
        await c.wait("deployment", "web", "Available")
        c.faults.crash(f"{MANAGER}/{leader}")
        await c.apply(web(3, "web:2"))
        await c.run_for(10)
        assert await holder(c) == leader
        assert len(await c.list("pod", namespace="default")) == 2
        await c.wait("deployment", "web", "jsonpath={.status.updatedReplicas}=3")
        assert {await holder(c), leader} == {"a", "b"}
        lease = await c.get("lease", MANAGER, namespace="kube-system")
        assert lease["spec"]["leaseTransitions"] == 1


async def holder(c: AsyncCluster) -> str:
    lease = await c.get("lease", MANAGER, namespace="kube-system")
    identity: str = lease["spec"]["holderIdentity"]
    return identity
