"""DaemonSets, StatefulSets and ReplicationControllers against the real server, in one process and in virtual time."""

import asyncio
from typing import Any

from tests.integration.controlled import Cluster, only_virtual, running, virtual
from tests.integration.exercised import exercises

from kaa.api.objects import condition
from kaa.api.selectors import Selector
from kaa.controllers.metrics_source import MetricsTable


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


@exercises("daemonset", "node-ipam")
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


async def stateful(cluster: Cluster, replicas: int) -> bool:
    found = await cluster.client.get("StatefulSet", "db", "default")
    status = found.get("status", {})
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status["replicas"] == status.get("updatedReplicas", 0) == status.get("readyReplicas", 0) == replicas
        and status["currentRevision"] == status["updateRevision"]
    )


@exercises("statefulset")
@virtual
async def test_a_stateful_set_goes_in_order() -> None:
    """Up one by one, replaced from the highest down, and the claims stay when pods go."""
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    async with running() as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create(workload("StatefulSet", "db", serviceName="db", replicas=3, minReadySeconds=2))
        await cluster.until(lambda: stateful(cluster, 3), "three")
        pods = await cluster.pods()
        assert [pod["metadata"]["name"] for pod in pods] == ["db-0", "db-1", "db-2"]
        begun = [pod["metadata"]["creationTimestamp"] for pod in pods]
        assert begun == sorted(set(begun)), "each after the one before was ready"
        await set_image(cluster, "StatefulSet", "db", "example/app:2")
        await cluster.until(lambda: stateful(cluster, 3), "rolled out")
        pods = await cluster.pods()
        assert set((await images(cluster)).values()) == {"example/app:2"}
        begun = [pod["metadata"]["creationTimestamp"] for pod in pods]
        assert begun == sorted(begun, reverse=True), "from the highest down"
        await cluster.client.patch("StatefulSet", "db", {"spec": {"replicas": 1}}, "default")
        await cluster.until(lambda: stateful(cluster, 1), "one")
        assert [pod["metadata"]["name"] for pod in await cluster.pods()] == ["db-0"]
        await cluster.client.create(workload("StatefulSet", "kept", replicas=1, volumeClaimTemplates=[claim]))

        async def claimed() -> bool:
            return bool((await cluster.client.list("PersistentVolumeClaim", "default")).items)

        await cluster.until(claimed, "the claim is made")
        await cluster.client.delete("StatefulSet", "kept", "default", propagation="Foreground")
        await cluster.clock.sleep(60)
        (kept,) = (await cluster.client.list("PersistentVolumeClaim", "default")).items
        assert kept["metadata"]["name"] == "data-kept-0"


@exercises("replicationcontroller")
@virtual
async def test_a_replication_controller_keeps_its_pods() -> None:
    """The oldest kind of all, with its plain selector."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        made = workload("ReplicationController", "old", replicas=2)
        made["apiVersion"], made["spec"]["selector"] = "v1", {"app": "old"}
        await cluster.client.create(made)

        async def ready() -> bool:
            found = await cluster.client.get("ReplicationController", "old", "default")
            return bool(found["status"].get("readyReplicas") == 2)

        await cluster.until(ready, "two")


class Load(MetricsTable):
    """So much CPU in all, shared by the pods that there are."""

    cluster: Cluster
    millicores = 0

    async def resource(self, namespace: str, selector: Selector, resource: str, container: str) -> dict[str, int]:
        self.clear()
        if self.millicores:
            pods = [
                p for p in await self.cluster.pods(namespace) if selector.matches(p["metadata"].get("labels") or {})
            ]
            for pod in pods:
                self.set_usage(namespace, pod["metadata"]["name"], "cpu", f"{self.millicores // len(pods)}m")
        return await super().resource(namespace, selector, resource, container)


@only_virtual
async def test_an_autoscaler_follows_the_load() -> None:
    """Without metrics it says so; with load it grows to its bound; when that is gone it shrinks, but not at once."""
    load = Load()
    async with running(metrics=load) as cluster:
        load.cluster = cluster
        await cluster.add_node("node-1", cpu="64")
        beat = asyncio.ensure_future(cluster.heartbeat("node-1"))
        made = workload("Deployment", "web", replicas=2)
        made["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
        await cluster.client.create(made)
        target = {"type": "Utilization", "averageUtilization": 50}
        autoscaler = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 2,
                "maxReplicas": 9,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            },
        }
        await cluster.client.create(autoscaler)

        async def says(kind: str, reason: str) -> Any:
            found = await cluster.client.get("HorizontalPodAutoscaler", "web", "default")
            known = condition(found["status"].get("conditions"), kind)
            return found if known is not None and known["reason"] == reason else None

        async def sized(replicas: int) -> bool:
            return bool((await cluster.client.get("Deployment", "web", "default"))["spec"]["replicas"] == replicas)

        await cluster.until(lambda: says("ScalingActive", "FailedGetResourceMetric"), "no metrics")
        load.millicores = 2000
        await cluster.until(lambda: sized(9), "grown to the bound", 120)
        found = await cluster.until(lambda: says("ScalingLimited", "TooManyReplicas"), "limited")
        assert found["status"]["currentMetrics"][0]["resource"]["current"]["averageUtilization"] > 50
        load.millicores = 150
        await cluster.clock.sleep(200)
        assert await sized(9), "the load may come back"
        await cluster.until(lambda: sized(3), "shrunk", 200)
        beat.cancel()


@exercises("Autoscaling")
@virtual
async def test_two_autoscalers_of_the_same_pods_do_nothing() -> None:
    """They would scale against each other for ever."""
    async with running(kubelet=False, grace=3600) as cluster:
        await cluster.client.create(workload("Deployment", "web", replicas=1))
        metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}
        metric["resource"]["target"]["averageUtilization"] = 50  # type: ignore[index]
        for name in ("a", "b"):
            target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
            spec = {"scaleTargetRef": target, "maxReplicas": 3, "metrics": [metric]}
            metadata = {"name": name, "namespace": "default"}
            autoscaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata}
            await cluster.client.create({**autoscaler, "spec": spec})

        async def ambiguous() -> bool:
            found = (await cluster.client.list("HorizontalPodAutoscaler", "default")).items
            known = [condition((o.get("status") or {}).get("conditions"), "ScalingActive") for o in found]
            return len(known) == 2 and all(c is not None and c["reason"] == "AmbiguousSelector" for c in known)

        await cluster.until(ambiguous, "both say so", 60)
