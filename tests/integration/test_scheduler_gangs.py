"""Gangs: all of a group's pods get nodes, or none holds one."""

from dataclasses import replace
from typing import Any

from tests.integration.controlled import Cluster, running, virtual

from kaa.scheduler.loop import is_served
from kaa.scheduler.plugins.gang_scheduling import GROUP


def group(name: str, count: int) -> dict[str, Any]:
    return {
        "apiVersion": "scheduling.k8s.io/v1beta1",
        "kind": "PodGroup",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"schedulingPolicy": {"gang": {"minCount": count}}},
    }


def pod(name: str, group_name: str, cpu: str = "1") -> dict[str, Any]:
    container = {"name": "main", "image": "example/app:1", "resources": {"requests": {"cpu": cpu}}}
    spec = {"containers": [container], "schedulingGroup": {"podGroupName": group_name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def placed(cluster: Cluster, prefix: str) -> int:
    pods = (await cluster.client.list("Pod", "default")).items
    return sum(p["metadata"]["name"].startswith(prefix) and bool(p["spec"].get("nodeName")) for p in pods)


@virtual
async def test_a_gang_waits_for_its_group_and_for_all_its_pods() -> None:
    """Neither the group alone nor some of the pods start anything."""
    async with running(grace=1e6) as cluster:
        await cluster.add_node("a", cpu="4")
        await cluster.client.create(pod("g-1", "g"))
        await cluster.clock.sleep(10)
        assert await placed(cluster, "g") == 0
        await cluster.client.create(group("g", 3))
        await cluster.client.create(pod("g-2", "g"))
        await cluster.clock.sleep(10)
        assert await placed(cluster, "g") == 0
        await cluster.client.create(pod("g-3", "g"))

        async def all_placed() -> bool:
            return await placed(cluster, "g") == 3

        await cluster.until(all_placed, "the whole gang has nodes", seconds=15)


@virtual
async def test_a_gang_that_does_not_fit_holds_no_place() -> None:
    """Two of three would fit. Others use the room; when there is more, the gang comes."""
    async with running(grace=1e6) as cluster:
        await cluster.add_node("a", cpu="2")
        await cluster.client.create(group("g", 3))
        for number in range(3):
            await cluster.client.create(pod(f"g-{number}", "g"))
        await cluster.clock.sleep(10)
        assert await placed(cluster, "g") == 0
        alone = pod("alone", "g", cpu="2")
        del alone["spec"]["schedulingGroup"]
        await cluster.client.create(alone)

        async def alone_placed() -> bool:
            return await placed(cluster, "alone") == 1

        await cluster.until(alone_placed, "a pod of no gang uses the room", seconds=15)
        await cluster.add_node("b", cpu="4")

        async def all_placed() -> bool:
            return await placed(cluster, "g") == 3

        await cluster.until(all_placed, "the whole gang has nodes", seconds=60)


@virtual
async def test_two_gangs_do_not_hold_each_others_places() -> None:
    """Room for one of them: it is placed, and the other after the first is gone."""
    async with running(grace=1e6) as cluster:
        await cluster.add_node("a", cpu="4")
        for name in ("x", "y"):
            await cluster.client.create(group(name, 4))
        for number in range(4):
            for name in ("x", "y"):
                await cluster.client.create(pod(f"{name}-{number}", name))

        async def one_placed() -> str | None:
            counts = {name: await placed(cluster, name) for name in ("x", "y")}
            assert sum(counts.values()) <= 4
            return next((name for name, count in counts.items() if count == 4), None)

        first = await cluster.until(one_placed, "one gang has nodes", seconds=120)
        other = "y" if first == "x" else "x"
        assert await placed(cluster, other) == 0
        for number in range(4):
            await cluster.client.delete("Pod", f"{first}-{number}", "default", grace_seconds=0)

        async def other_placed() -> bool:
            return await placed(cluster, other) == 4

        await cluster.until(other_placed, "the other gang has nodes", seconds=120)


@virtual
async def test_gangs_that_fit_neither_way_do_not_keep_the_scheduler_busy() -> None:
    """Each gives up its places for the other again and again; time must pass between, and others get their turn."""
    async with running(grace=1e6) as cluster:
        await cluster.add_node("a", cpu="3")
        for name in ("x", "y"):
            await cluster.client.create(group(name, 4))
            for number in range(4):
                await cluster.client.create(pod(f"{name}-{number}", name))
        await cluster.clock.sleep(120)
        alone = pod("alone", "x", cpu="3")
        del alone["spec"]["schedulingGroup"]
        await cluster.client.create(alone)

        async def alone_placed() -> bool:
            return await placed(cluster, "alone") == 1

        await cluster.until(alone_placed, "a pod of no gang has its turn", seconds=30)


@virtual
async def test_a_server_without_pod_groups_is_not_waited_for() -> None:
    """Upstream's serves them only when told to."""
    async with running() as cluster:
        served = cluster.client.resource(GROUP)
        assert await is_served(cluster.client, cluster.clock, served)
        assert not await is_served(cluster.client, cluster.clock, replace(served, version="v9"))
