"""Claims that wait for their pod's node: the scheduler chooses the volume, or the node that one is to be made for."""

from typing import Any

from tests.integration.controlled import Cluster, running, virtual

from kaa.scheduler.loop import BINDINGS_AT_ONCE

ZONE = "topology.kubernetes.io/zone"


def storage_class(name: str, provisioner: str) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def volume(name: str, storage_class: str, node: str, size: str = "1Gi") -> dict[str, Any]:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": storage_class,
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "local": {"path": "/data"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
        },
    }


def claim(name: str, storage_class: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def pod(name: str, claim_name: str) -> dict[str, Any]:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}]
    spec = {"containers": [{"name": "main", "image": "example/app:1"}], "volumes": volumes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def node_of(cluster: Cluster, name: str) -> str | None:
    found = await cluster.client.get("Pod", name, "default")
    return found["spec"].get("nodeName")


async def message_of(cluster: Cluster, name: str) -> str | None:
    found = await cluster.client.get("Pod", name, "default")
    conditions = found["status"].get("conditions") or ()
    return next((c.get("message") for c in conditions if c["type"] == "PodScheduled"), None)


@virtual
async def test_two_pods_get_one_local_volume_each_on_the_nodes_that_have_them() -> None:
    """Decided one right after the other, before anything is written: the second must not get the first one's."""
    async with running() as cluster:
        for name in ("a", "b", "c"):
            await cluster.add_node(name)
        await cluster.client.create(storage_class("local", "kubernetes.io/no-provisioner"))
        for name, node in (("v1", "b"), ("v2", "c")):
            await cluster.client.create(volume(name, "local", node))
        for name in ("one", "two"):
            await cluster.client.create(claim(name, "local"))
            await cluster.client.create(pod(name, name))

        async def both() -> bool:
            return {await node_of(cluster, "one"), await node_of(cluster, "two")} == {"b", "c"}

        await cluster.until(both, "both pods are on the nodes of the volumes")
        bound = {
            v["metadata"]["name"]: v["spec"]["claimRef"]["name"]
            for v in (await cluster.client.list("PersistentVolume")).items
        }
        assert sorted(bound.values()) == ["one", "two"]


@virtual
async def test_a_pod_without_a_volume_says_so_and_goes_when_there_is_one() -> None:
    """The event that helps is the new volume's, not a timer."""
    async with running() as cluster:
        await cluster.add_node("a")
        await cluster.client.create(storage_class("local", "kubernetes.io/no-provisioner"))
        await cluster.client.create(claim("one", "local"))
        await cluster.client.create(pod("one", "one"))
        expected = "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind."

        async def told() -> bool:
            return (await message_of(cluster, "one") or "").startswith(expected)

        await cluster.until(told, "the pod says why it waits")
        await cluster.client.create(volume("v1", "local", "a"))

        async def placed() -> bool:
            return await node_of(cluster, "one") == "a"

        await cluster.until(placed, "the pod is on the node", seconds=15)


@virtual
async def test_pods_that_wait_for_their_volumes_hold_nobody_up() -> None:
    """More of them than there may be writes under way; a provisioner may take minutes."""
    async with running(grace=1e6) as cluster:
        await cluster.add_node("a", cpu="100")
        await cluster.client.create(storage_class("made", "example.com/maker"))
        for number in range(BINDINGS_AT_ONCE + 1):
            await cluster.client.create(claim(f"slow-{number}", "made"))
            await cluster.client.create(pod(f"slow-{number}", f"slow-{number}"))
        await cluster.clock.sleep(10)
        plain = pod("plain", "none")
        del plain["spec"]["volumes"]
        await cluster.client.create(plain)

        async def placed() -> bool:
            return await node_of(cluster, "plain") == "a"

        await cluster.until(placed, "a pod without volumes is on the node", seconds=10)


@virtual
async def test_the_pod_is_bound_only_after_its_volume_is_made_for_the_chosen_node() -> None:
    """A provisioner is told the node by annotation; if it gives up, it takes that away, and the pod is tried again."""
    async with running() as cluster:
        await cluster.add_node("a")
        await cluster.client.create(storage_class("made", "example.com/maker"))
        await cluster.client.create(claim("one", "made"))
        await cluster.client.create(pod("one", "one"))
        selected = "volume.kubernetes.io/selected-node"

        async def chosen() -> Any:
            found = await cluster.client.get("PersistentVolumeClaim", "one", "default")
            return found if (found["metadata"].get("annotations") or {}).get(selected) == "a" else None

        found = await cluster.until(chosen, "the claim names the node")
        assert await node_of(cluster, "one") is None
        # The provisioner gives up once.
        del found["metadata"]["annotations"][selected]
        await cluster.client.update(found)

        async def told() -> bool:
            return "provisioning failed for PVC" in (await message_of(cluster, "one") or "")

        await cluster.until(told, "the pod says that the volume was not made")
        await cluster.until(chosen, "the claim names the node again", seconds=30)
        made = volume("made", "made", "a")
        made["spec"]["claimRef"] = {"name": "one", "namespace": "default"}
        await cluster.client.create(made)

        async def placed() -> bool:
            return await node_of(cluster, "one") == "a"

        await cluster.until(placed, "the pod is on the node", seconds=30)
