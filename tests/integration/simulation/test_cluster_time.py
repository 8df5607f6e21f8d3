"""A cluster's time: letting it pass, waiting, settling, going back, forking, and looking back."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.simulation.objects import Object, config_map, deployment, pod

from kaa import Cluster, VirtualEventLoop
from kaa.api.errors import APIError
from kaa.client.rest import Client
from kaa.cluster.simulation.waiting import WaitTimeout
from kaa.lib.clock import Clock

CRON: Object = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "hourly"},
    "spec": {
        "schedule": "0 * * * *",
        "successfulJobsHistoryLimit": 100,
        "jobTemplate": {
            "spec": {
                "template": {
                    "metadata": {"annotations": {"simulation.kaa.dev/exit-after": "30s"}},
                    "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "job"}]},
                }
            }
        },
    },
}


@pytest.fixture
def c() -> Iterator[Cluster]:
    with Cluster(clock="virtual", seed=7) as cluster:
        cluster.wait("serviceaccount", "default", "create")
        yield cluster


def test_time_stands_still_between_calls(c: Cluster) -> None:
    """On virtual time nothing happens but what a call lets happen, however long the test takes."""
    before = c.now
    time.sleep(0.05)
    assert c.now == before
    c.run_for(1.5)
    c.run_for(timedelta(minutes=1), hours=2, seconds=3)
    assert c.now - before == timedelta(hours=2, seconds=64.5)


def test_hours_of_a_cron_job(c: Cluster) -> None:
    """Six hours are six jobs, each done."""
    c.apply(CRON)
    c.run_for(hours=6, minutes=1)
    jobs = c.list("jobs")
    assert len(jobs) == 6
    assert all(job["status"].get("succeeded") == 1 for job in jobs)


def test_virtual_time_begins_when_one_says() -> None:
    """Time zones and schedules are tested at the moment that matters."""
    moment = datetime(2031, 3, 30, 0, 59, 30, tzinfo=UTC)
    with Cluster(clock="virtual", nodes=0, starts_at=moment) as c:
        assert c.now - moment < timedelta(seconds=1)
        assert c.get("namespace", "default")["metadata"]["creationTimestamp"] == "2031-03-30T00:59:30Z"


def test_run_until_asks_the_cluster(c: Cluster) -> None:
    """The predicate may call the cluster, and its answer comes back; one that stays false ends in a timeout."""
    c.apply(deployment(replicas=3))
    ready = c.run_until(lambda: [p for p in c.list("pods") if p["status"]["phase"] == "Running"][2:])
    assert len(ready) == 1
    before = c.now
    with pytest.raises(WaitTimeout):
        c.run_until(lambda: False, timeout=30)
    assert c.now - before == timedelta(seconds=30)


def test_settle_is_when_nothing_is_written_any_more(c: Cluster) -> None:
    """Heartbeats of nodes go on for ever and do not count; what is written after it is settled comes of us."""
    c.apply(deployment(replicas=5))
    c.settle()
    assert c.get("deployment", "web")["status"]["readyReplicas"] == 5
    seen = {change.revision for change in c.history()}
    c.run_for(minutes=30)
    later = [change.object["kind"] for change in c.history() if change.revision not in seen]
    assert set(later) <= {"Lease", "Node", "Event"}
    assert "Lease" in later


def test_what_never_settles_says_what_goes_on(c: Cluster) -> None:
    """A loop that writes for ever is found, with the changes that it makes."""

    async def restless() -> None:
        number = 0
        while True:
            number += 1
            await c.asynchronous.apply(config_map("restless", number=str(number)))
            await c.asynchronous.run_for(1)

    async def both() -> None:
        task = asyncio.ensure_future(restless())
        try:
            await c.asynchronous.settle(timeout=60)
        finally:
            task.cancel()

    with pytest.raises(
        WaitTimeout, match=r"(?s)not settled in 60 seconds.*update /registry/core/configmaps/default/re"
    ):
        c.run(both())


def test_history_tells_every_change(c: Cluster) -> None:
    """Of a pod's life nothing is missing: how it was made, bound, started, and deleted; each with its time."""
    began = c.now
    c.apply(pod("a"))
    c.wait("pod", "a", "Ready")
    c.delete("pod", "a")
    c.wait("pod", "a", "delete")
    changes = list(c.history("pod", name="a", namespace="default"))
    assert [change.verb for change in changes][:2] == ["create", "update"]
    assert changes[-1].verb == "delete"
    assert [change.revision for change in changes] == sorted({change.revision for change in changes})
    assert all(began <= change.time <= c.now for change in changes)
    phases = [change.object["status"].get("phase") for change in changes]
    assert phases[0] == "Pending"
    assert "Running" in phases
    assert changes[0].object["metadata"]["resourceVersion"] == str(changes[0].revision)
    assert c.list("pods") == []


def test_the_past_can_be_read(c: Cluster) -> None:
    """What did this look like at that time, at that revision? Also long after the store has forgotten."""
    first = c.apply(config_map("a", version="1"))
    noted = c.now
    c.run_for(minutes=1)
    c.apply(config_map("a", version="2"))
    c.apply(config_map("b"))
    c.delete("cm", "a")
    c.run_for(hours=1)
    then = c.at(noted)
    assert then.get("cm", "a")["data"] == {"version": "1"}
    assert [o["metadata"]["name"] for o in then.list("configmaps", namespace="default")] == ["a", "kube-root-ca.crt"]
    revision = int(first["metadata"]["resourceVersion"])
    assert c.at(revision).get("configmap", "a") == first
    with pytest.raises(APIError, match='configmaps "a" not found'):
        c.at(revision - 1).get("cm", "a")
    with pytest.raises(APIError, match='configmaps "a" not found'):
        c.at(c.now).get("cm", "a")
    with pytest.raises(APIError, match="too old"):
        c.at(noted - timedelta(days=1))
    with pytest.raises(ValueError, match="a time has a time zone"):
        c.at(noted.replace(tzinfo=None))


def test_a_fork_goes_its_own_way(c: Cluster) -> None:
    """A fork begins with the same objects at the same time; afterwards neither knows of the other."""
    c.apply(deployment(replicas=2))
    c.wait("deployment", "web", "Available")
    revision = c.get("deployment", "web")["metadata"]["resourceVersion"]
    with c.fork() as other:
        assert other.get("deployment", "web")["metadata"]["resourceVersion"] == revision
        assert abs(other.now - c.now) < timedelta(seconds=1)
        other.delete("deployment", "web")
        other.run_until(lambda: not other.list("pods"), timeout=300)
        c.apply(config_map("only-here"))
        with pytest.raises(APIError, match="not found"):
            other.get("cm", "only-here")
        other.wait("node", "node-1", "Ready")
    assert len(c.list("pods")) == 2
    c.run_for(minutes=5)
    assert c.get("deployment", "web")["status"]["readyReplicas"] == 2


def test_a_snapshot_can_be_gone_back_to(c: Cluster) -> None:
    """Objects and time are as they were then, as often as one likes; the cluster goes on from there."""
    c.apply(config_map("kept", a="1"))
    snapshot = c.snapshot()
    for _ in range(2):
        c.apply(config_map("kept", a="2"))
        c.apply(pod("p"))
        c.run_for(hours=3)
        c.restore(snapshot)
        assert timedelta(0) <= c.now - snapshot.time < timedelta(seconds=1)
        assert c.get("cm", "kept")["data"] == {"a": "1"}
        assert c.list("pods") == []
    c.apply(pod("p"))
    c.wait("pod", "p", "Ready")


def test_ones_own_component_goes_along(c: Cluster) -> None:
    """A controller under test works in a fork and after a return as well; in a new cluster it has to be added."""

    async def mark(client: Client, clock: Clock) -> None:
        async for event in client.watch("ConfigMap", "default", resource_version="0"):
            if not event.object["metadata"].get("labels"):
                labels = {"metadata": {"labels": {"seen": "yes"}}}
                await client.patch("ConfigMap", event.object["metadata"]["name"], labels, "default")
        await clock.sleep(3600)

    c.add_component("marker", mark)
    with pytest.raises(ValueError, match="there is a component marker already"):
        c.add_component("marker", mark)
    snapshot = c.snapshot()
    for number in range(2):
        with c.fork() as other:
            other.apply(config_map(f"in-fork-{number}"))
            other.wait("cm", f"in-fork-{number}", "jsonpath={.metadata.labels.seen}=yes")
        c.restore(snapshot)
        c.apply(config_map(f"here-{number}"))
        c.wait("cm", f"here-{number}", "jsonpath={.metadata.labels.seen}=yes")
    c.reset()
    assert "marker" not in c.world.running


def test_a_reset_is_as_a_new_cluster(c: Cluster) -> None:
    """Nothing of what was in it is left."""
    c.apply(deployment())
    c.image("app")(c.asynchronous.run_for)  # type: ignore[arg-type]
    c.reset()
    assert c.list("deployments") == []
    assert list(c.history("deployment")) == []
    c.wait("serviceaccount", "default", "create")
    c.apply(pod("p", "app"))
    c.wait("pod", "p", "Ready")


def test_a_history_is_bounded() -> None:
    """What is older than the bound has sunk into the floor: later moments can be told as before."""
    with Cluster(clock="virtual", nodes=0, controllers=False, history_bytes=200_000) as c:
        early = c.apply(config_map("early"))
        for number in range(300):
            c.apply(config_map("big", number=str(number), padding="x" * 1000))
        changes = list(c.history("configmap"))
        assert 0 < len(changes) < 250
        oldest = c.at(changes[0].revision)
        assert oldest.get("cm", "early") == early
        assert oldest.get("cm", "big") == changes[0].object


def story(seed: int) -> str:
    with Cluster(clock="virtual", nodes=2, seed=seed) as c:
        c.wait("serviceaccount", "default", "create")
        c.apply(deployment(replicas=4))
        c.settle()
        c.apply(deployment(replicas=4, image="example.com/app:2"))
        c.run_for(minutes=10)
        return c.digest()


def test_one_seed_is_one_history() -> None:
    """The whole log is the same to the last byte whenever the same seed runs, and another for another seed."""
    assert story(1) == story(1)
    assert story(1) != story(2)


def test_asynchronous_code_on_virtual_time() -> None:
    """In a loop on virtual time the cluster and the code beside it have one clock; a fork shares it."""

    async def main() -> None:
        async with Cluster(clock="virtual", seed=3) as c:
            await c.wait("serviceaccount", "default", "create")
            await c.apply(pod("a"))
            await c.settle()
            before = c.now
            await asyncio.sleep(3600)
            assert c.now - before == timedelta(hours=1)
            async with await c.fork(seed=4) as other:
                await other.wait("pod", "a", "Ready")
                await asyncio.sleep(60)
                assert other.now - c.now == timedelta(0)

    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        runner.run(main())


def test_a_wall_clock_cluster_can_do_the_same() -> None:
    """Snapshots, forks, resets and history do not depend on the clock."""
    with Cluster(nodes=0) as c:
        c.apply(config_map("a", n="1"))
        c.settle(quiet=0.3)
        snapshot = c.snapshot()
        noted = c.now
        c.apply(config_map("a", n="2"))
        assert c.at(noted).get("cm", "a")["data"] == {"n": "1"}
        with c.fork() as other:
            assert other.get("cm", "a")["data"] == {"n": "2"}
        c.restore(snapshot)
        assert c.get("cm", "a")["data"] == {"n": "1"}
        c.run_for(0.05)
        c.reset()
        with pytest.raises(APIError, match="not found"):
            c.get("cm", "a")
