"""A pod that no node takes makes less important pods leave one, in front of a real server."""

from tests.integration.controlled import virtual
from tests.integration.scheduler.scheduling import Scheduling, scheduler_of, scheduling, serving

from kaa.api.objects import condition


async def preempted(cluster: Scheduling) -> None:
    """`low` has the only node, and is to leave it for `high`."""
    await cluster.add_node("node-1")
    await cluster.add_pod("low")
    await cluster.bound("low")
    await cluster.add_pod("high", priority=10)
    await cluster.until(lambda: is_nominated(cluster, "high"), "high is nominated")


async def is_nominated(cluster: Scheduling, name: str) -> bool:
    return bool((await cluster.pod(name))["status"].get("nominatedNodeName"))


@virtual
async def test_a_victim_leaves_and_the_pod_comes() -> None:
    """Nominated first; the victim knows why it goes, keeps its grace, and only when it is gone the pod is bound."""
    async with scheduling() as cluster:
        await preempted(cluster)

        async def leaving() -> object:
            return (await cluster.pod("low"))["metadata"].get("deletionTimestamp")

        await cluster.until(leaving, "low is being deleted")
        victim, pod = await cluster.pod("low"), await cluster.pod("high")
        assert victim["metadata"]["deletionGracePeriodSeconds"] == 30
        target = condition(victim["status"]["conditions"], "DisruptionTarget")
        assert target is not None
        assert (target["status"], target["reason"]) == ("True", "PreemptionByScheduler")
        assert target["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
        assert pod["status"]["nominatedNodeName"] == "node-1"
        await cluster.clock.sleep(20)
        assert "nodeName" not in (await cluster.pod("high"))["spec"]
        await cluster.delete_pod("low")
        assert await cluster.bound("high") == "node-1"
        assert ("Preempted", f"Preempted by pod {pod['metadata']['uid']} on node node-1") in await cluster.events("low")


@virtual
async def test_the_room_is_kept_for_the_nominated_pod() -> None:
    """A pod that would fit once the victim is gone does not slip in, unless it is more important."""
    async with scheduling() as cluster:
        await preempted(cluster)
        await cluster.add_pod("sneaky", cpu="500m")
        await cluster.waits("sneaky", "Insufficient cpu")
        await cluster.delete_pod("low")
        assert await cluster.bound("high") == "node-1"
        await cluster.clock.sleep(20)
        assert "nodeName" not in (await cluster.pod("sneaky"))["spec"]


@virtual
async def test_a_more_important_pod_takes_the_nomination_over() -> None:
    """The less important one loses its nomination and is told so; nobody is evicted for nothing."""
    async with scheduling() as cluster:
        await preempted(cluster)
        await cluster.add_pod("highest", priority=20)
        await cluster.until(lambda: is_nominated(cluster, "highest"), "highest is nominated")

        async def lost() -> bool:
            return not await is_nominated(cluster, "high")

        await cluster.until(lost, "high is not nominated any more")
        await cluster.delete_pod("low")
        assert await cluster.bound("highest") == "node-1"


@virtual
async def test_a_scheduler_that_starts_knows_of_nominations() -> None:
    """The one before was killed after it had evicted: the room must still be the pod's."""
    async with serving() as (client, clock):
        async with scheduler_of(client, clock):
            await preempted(Scheduling(client, clock))
        async with scheduler_of(client, clock):
            cluster = Scheduling(client, clock)
            await cluster.add_pod("sneaky", cpu="500m")
            await cluster.waits("sneaky", "Insufficient cpu")
            await cluster.delete_pod("low")
            assert await cluster.bound("high") == "node-1"


@virtual
async def test_pods_that_may_not_preempt_wait() -> None:
    """preemptionPolicy Never: important, but patient."""
    async with scheduling() as cluster:
        await cluster.add_node("node-1")
        await cluster.add_pod("low")
        await cluster.bound("low")
        await cluster.add_pod("polite", priority=10, preemptionPolicy="Never")
        await cluster.waits("polite", "preemption: not eligible due to preemptionPolicy=Never.")
        await cluster.clock.sleep(20)
        assert "deletionTimestamp" not in (await cluster.pod("low"))["metadata"]
