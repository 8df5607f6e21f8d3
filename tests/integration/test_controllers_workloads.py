"""DaemonSets, StatefulSets and ReplicationControllers against the real server, in one process and in virtual time."""

from typing import Any

from tests.integration.controlled import Cluster, running, virtual


def workload(kind: str, name: str, image: str = "example/app:1", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


async def set_image(cluster: Cluster, kind: str, name: str, image: str) -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}
    await cluster.client.patch(kind, name, patch, "default", patch_type="strategic")


async def images(cluster: Cluster) -> dict[str, str]:
    return {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in await cluster.pods()}


async def served(cluster: Cluster, nodes: int) -> bool:
    found = await cluster.client.get("DaemonSet", "agent", "default")
    status = found.get("status", {})
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("updatedNumberScheduled", 0) == status.get("numberAvailable", 0) == nodes
        and status["desiredNumberScheduled"] == nodes
    )


@virtual
async def test_a_daemon_set_follows_the_nodes() -> None:
    """A pod on every node, also on one that comes later, bound by the scheduler; a new template reaches all."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        await cluster.add_node("node-2")
        await cluster.client.create(workload("DaemonSet", "agent"))
        await cluster.until(lambda: served(cluster, 2), "two nodes served")
        await cluster.add_node("node-3")
        await cluster.until(lambda: served(cluster, 3), "three nodes served")
        assert {pod["spec"]["nodeName"] for pod in await cluster.pods()} == {"node-1", "node-2", "node-3"}
        await set_image(cluster, "DaemonSet", "agent", "example/app:2")
        await cluster.until(lambda: served(cluster, 3), "rolled out")
        assert set((await images(cluster)).values()) == {"example/app:2"}
        revisions = (await cluster.client.list("ControllerRevision", "default")).items
        assert sorted(revision["revision"] for revision in revisions) == [1, 2]
