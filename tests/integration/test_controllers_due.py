"""Controllers that act only after minutes or hours: here their time has come already, as what they look at is old.

So these tests need no virtual time, and run in a few seconds against any server.
"""

from datetime import timedelta
from functools import partial
from typing import Any

from tests.integration.controlled import Cluster, running, virtual
from tests.integration.exercised import exercises
from tests.integration.signing_requests import signing_request
from tests.integration.test_controllers_batch import job

from kaa.api.errors import APIError
from kaa.controllers.terminated_pods import TerminatedPods
from kaa.lib.clock import rfc3339


def ago(cluster: Cluster, **time: float) -> str:
    return rfc3339(cluster.clock.now() - timedelta(**time))


def pod(name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "labels": {"app": name}}
    containers = [{"name": "c", "image": "example/c"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}


async def set_status(
    cluster: Cluster, kind: str, name: str, status: dict[str, Any], namespace: str = "default"
) -> None:
    await cluster.client.patch(kind, name, {"status": status}, namespace, subresource="status")


@exercises("cronjob")
@virtual
async def test_a_time_that_was_missed_is_made_up_for() -> None:
    """A CronJob that was suspended starts the latest Job that it has missed, and that one only."""
    async with running() as cluster:
        spec = {"schedule": "* * * * *", "suspend": True, "jobTemplate": {"spec": job()["spec"]}}
        cron_job = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick", "namespace": "default"}}
        await cluster.client.create({**cron_job, "spec": spec})
        await set_status(cluster, "CronJob", "tick", {"lastScheduleTime": ago(cluster, minutes=5)})
        await cluster.client.patch("CronJob", "tick", {"spec": {"suspend": False}}, "default")

        async def started() -> Any:
            return (await cluster.client.list("Job", "default")).items

        assert len(await cluster.until(started, "a job is started")) == 1


@exercises("node-lifecycle", "taint-eviction")
@virtual
async def test_a_node_that_is_not_ready_loses_its_pods() -> None:
    """Its condition becomes a taint, and who does not tolerate that for long has to go."""
    async with running() as cluster:
        await cluster.add_node("good")  # else it is not the node that is bad, but the network
        await cluster.add_node("bad")
        key = "node.kubernetes.io/not-ready"
        toleration = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
        await cluster.client.create(pod("guest", nodeName="bad", tolerations=[toleration]))
        moment = ago(cluster)
        ready = {"type": "Ready", "status": "False", "lastHeartbeatTime": moment, "lastTransitionTime": moment}
        await set_status(cluster, "Node", "bad", {"conditions": [ready]}, "")

        async def evicted() -> bool:
            return not await cluster.pods(app="guest")

        await cluster.until(evicted, "evicted", 30)
        taints = (await cluster.client.get("Node", "bad"))["spec"]["taints"]
        assert {(taint["key"], taint["effect"]) for taint in taints} >= {(key, "NoSchedule"), (key, "NoExecute")}


@exercises("stale-pod-disruption")
@virtual
async def test_a_disruption_that_did_not_come_is_forgotten() -> None:
    """A pod that was to be evicted two minutes ago, and is there still, will stay."""
    async with running(kubelet=False) as cluster:
        await cluster.client.create(pod("survivor"))
        target = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
        conditions = [{**target, "lastTransitionTime": ago(cluster, minutes=3)}]
        await set_status(cluster, "Pod", "survivor", {"conditions": conditions})

        async def forgotten() -> bool:
            found = (await cluster.client.get("Pod", "survivor", "default"))["status"]["conditions"]
            return [c["status"] for c in found if c["type"] == "DisruptionTarget"] == ["False"]

        await cluster.until(forgotten, "forgotten", 10)


@exercises("TerminatedPods")
@virtual
async def test_only_so_many_ended_pods_are_kept() -> None:
    """The evicted one goes first, though it is the youngest; pods that have not ended do not count."""
    async with running(kubelet=False, instead=(partial(TerminatedPods, threshold=2),)) as cluster:
        for name, status in (
            ("done", {"phase": "Succeeded"}),
            ("alive", {}),
            ("failed", {"phase": "Failed"}),
            ("evicted", {"phase": "Failed", "reason": "Evicted"}),
        ):
            await cluster.client.create(pod(name))
            await set_status(cluster, "Pod", name, status)

        async def left() -> bool:
            return {p["metadata"]["name"] for p in await cluster.pods()} == {"done", "failed", "alive"}

        await cluster.until(left, "one is gone", 45)


@exercises("csrcleaner")
@virtual
async def test_a_request_that_was_denied_is_removed() -> None:
    """An hour after the answer nobody needs it any more."""
    async with running() as cluster:
        spec = {
            "signerName": "example.com/nobody",
            "usages": ["client auth"],
            "request": signing_request("system:node:n1"),
        }
        csr = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "old"}}
        made = await cluster.client.create({**csr, "spec": spec})
        denied = {"type": "Denied", "status": "True", "reason": "ByHand", "message": "no"}
        status = {"conditions": [{**denied, "lastUpdateTime": ago(cluster, hours=2)}]}
        await cluster.client.update({**made, "status": status}, "approval")

        async def gone() -> bool:
            return not (await cluster.client.list("CertificateSigningRequest")).items

        await cluster.until(gone, "gone", 10)


@exercises("endpointslice-mirroring")
@virtual
async def test_endpoints_that_are_made_by_hand_are_mirrored() -> None:
    """A Service without a selector has the addresses that somebody has written down."""
    async with running() as cluster:
        metadata = {"name": "abroad", "namespace": "default"}
        spec = {"ports": [{"port": 80}]}
        await cluster.client.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        subsets = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]
        await cluster.client.create({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets})

        async def mirrored() -> Any:
            ours = "kubernetes.io/service-name=abroad"
            return (await cluster.client.list("EndpointSlice", "default", label_selector=ours)).items

        (found,) = await cluster.until(mirrored, "mirrored", 10)
        assert [e["addresses"] for e in found["endpoints"]] == [["192.0.2.1"]]


@exercises("volumeattributesclass-protection")
@virtual
async def test_a_class_of_attributes_is_protected() -> None:
    """By a finalizer, as long as it is there; nobody uses this one, and it goes as soon as it is deleted."""
    async with running() as cluster:
        made = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": "gold"}}
        await cluster.client.create({**made, "driverName": "csi.example.com", "parameters": {"iops": "100"}})

        async def finalizers() -> Any:
            try:
                return (await cluster.client.get("VolumeAttributesClass", "gold"))["metadata"].get("finalizers")
            except APIError as error:
                return error.reason

        assert await cluster.until(finalizers, "protected", 10) == ["kubernetes.io/vac-protection"]
        await cluster.client.delete("VolumeAttributesClass", "gold")

        async def gone() -> bool:
            return bool(await finalizers() == "NotFound")

        await cluster.until(gone, "gone", 10)
