"""Claims and volumes against a real server: bound, provisioned, released, deleted."""

from typing import Any

from tests.integration.controlled import Cluster, running, virtual
from tests.integration.exercised import exercises

from kaa.api.volume_binding import LOCAL_PATH
from kaa.cluster.addons import STORAGE_CLASS

SELECTED_NODE = "volume.kubernetes.io/selected-node"


class Directories:
    """Remembers what there is."""

    def __init__(self) -> None:
        self.there: set[tuple[str, str]] = set()

    async def make(self, node: str, volume: str) -> None:
        self.there.add((node, volume))

    async def remove(self, node: str, volume: str) -> None:
        self.there.discard((node, volume))


def claim(name: str, storage_class: str | None, **annotations: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": name, "namespace": "default", "annotations": annotations}
    chosen = {} if storage_class is None else {"storageClassName": storage_class}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": {**spec, **chosen}}


def volume(name: str, storage: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": storage}, "hostPath": {"path": f"/data/{name}"}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


async def phase(cluster: Cluster, kind: str, name: str) -> str:
    obj = await cluster.client.get(kind, name, "default" if kind == "PersistentVolumeClaim" else "")
    return str(obj["status"]["phase"])


@exercises(
    "persistentvolume-binder",
    "persistentvolumeclaim-binder",
    "persistentvolume-protection",
    "persistentvolumeclaim-protection",
)
@virtual
async def test_a_claim_gets_a_volume_and_gives_it_back() -> None:
    """A retained volume is Released, not free: there is still somebody's data on it."""
    async with running() as cluster:
        for name, storage in (("large", "5Gi"), ("small", "2Gi"), ("tiny", "1Mi")):
            await cluster.client.create(volume(name, storage))

        async def available() -> bool:
            """The controllers have seen them all: a claim gets the best of those that they know."""
            volumes = (await cluster.client.list("PersistentVolume")).items
            return all((found.get("status") or {}).get("phase") == "Available" for found in volumes)

        await cluster.until(available, "the volumes are available")
        await cluster.client.create(claim("data", ""))

        async def bound() -> Any:
            found = await cluster.client.get("PersistentVolumeClaim", "data", "default")
            return found if found["status"].get("phase") == "Bound" else None

        found = await cluster.until(bound, "the claim is bound")
        assert found["spec"]["volumeName"] == "small"
        assert found["status"]["capacity"] == {"storage": "2Gi"}
        assert await phase(cluster, "PersistentVolume", "small") == "Bound"
        await cluster.client.delete("PersistentVolumeClaim", "data", "default")

        async def released() -> bool:
            return await phase(cluster, "PersistentVolume", "small") == "Released"

        await cluster.until(released, "the volume is released")
        assert await phase(cluster, "PersistentVolume", "large") == "Available"


@virtual
async def test_a_volume_is_bound_to_one_of_many_claims() -> None:
    """Twenty claims and ten volumes: no volume has two claims, and no claim two volumes."""
    async with running() as cluster:
        for index in range(20):
            await cluster.client.create(claim(f"c-{index}", ""))
        for index in range(10):
            await cluster.client.create(volume(f"v-{index}", "1Gi"))

        async def settled() -> Any:
            claims = (await cluster.client.list("PersistentVolumeClaim")).items
            bound = [c["spec"]["volumeName"] for c in claims if c["status"]["phase"] == "Bound"]
            return bound if len(bound) == 10 else None

        bound = await cluster.until(settled, "ten claims are bound")
        assert sorted(bound) == sorted(f"v-{index}" for index in range(10))


@exercises("LocalDirectories", "local-path-provisioner", "local-path-reclaimer")
@virtual
async def test_the_default_class_provisions_late_and_reclaims() -> None:
    """From a claim without a class to a directory on the chosen node, and back to nothing."""
    directories = Directories()
    options = {"local_volumes": lambda node: f"/nodes/{node}/volumes", "local_directories": directories}
    async with running(**options) as cluster:
        await cluster.add_node("n1")
        await cluster.client.create(STORAGE_CLASS)
        await cluster.client.create(claim("data", None))  # admission is off: the binder sets the class

        async def pending() -> bool:
            events = (await cluster.client.list("Event", "default")).items
            return any(event["reason"] == "WaitForFirstConsumer" for event in events)

        await cluster.until(pending, "the claim waits for a pod")
        chosen = {"metadata": {"annotations": {SELECTED_NODE: "n1"}}}
        await cluster.client.patch("PersistentVolumeClaim", "data", chosen, "default")

        async def bound() -> bool:
            return await phase(cluster, "PersistentVolumeClaim", "data") == "Bound"

        await cluster.until(bound, "the claim is bound")
        (pv,) = (await cluster.client.list("PersistentVolume")).items
        assert pv["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"] == LOCAL_PATH
        assert directories.there == {("n1", pv["metadata"]["name"])}
        await cluster.client.delete("PersistentVolumeClaim", "data", "default")

        async def gone() -> bool:
            return not (await cluster.client.list("PersistentVolume")).items

        await cluster.until(gone, "the volume is gone")
        assert not directories.there


@exercises("ephemeral-volume")
@virtual
async def test_an_ephemeral_volume_comes_and_goes_with_its_pod() -> None:
    """Its claim is owned by the pod, and collected with it."""
    async with running() as cluster:
        template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
        spec = {
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}],
        }
        metadata = {"name": "p", "namespace": "default"}
        await cluster.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

        async def claims() -> Any:
            return (await cluster.client.list("PersistentVolumeClaim", "default")).items

        (found,) = await cluster.until(claims, "the claim is made")
        assert found["metadata"]["name"] == "p-scratch"
        await cluster.client.delete("Pod", "p", "default", grace_seconds=0)

        async def none() -> bool:
            return not await claims()

        await cluster.until(none, "the claim is collected")
