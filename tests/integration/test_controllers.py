"""The controllers and the scheduler against the real server, in one process and in virtual time.

No test waits: time jumps to the next timer when nothing can run. `until` therefore counts virtual seconds.
"""

import asyncio
from typing import Any

import pytest
from tests.integration.controlled import CA, Cluster, only_virtual, running, virtual
from tests.integration.exercised import exercises

from kaa.api.objects import condition


def deployment(name: str = "web", replicas: int = 3, image: str = "example/web:1", **spec: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "web", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


async def rolled_out(cluster: Cluster, name: str = "web") -> dict[str, Any] | None:
    """The Deployment once `kubectl rollout status` would say that it is done."""
    found = await cluster.client.get("Deployment", name, "default")
    status, wanted = found.get("status", {}), found["spec"]["replicas"]
    progressing = condition(status.get("conditions"), "Progressing") or {}
    done = (
        status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        and status.get("updatedReplicas", 0)
        == status.get("replicas", 0)
        == status.get("availableReplicas", 0)
        == wanted
        and progressing.get("reason") == "NewReplicaSetAvailable"
    )
    return found if done else None


@virtual
async def test_a_deployment_becomes_running_pods() -> None:
    """The whole chain: Deployment, ReplicaSet, pods, a node for each, and the status back up."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create(deployment())
        found = await cluster.until(lambda: rolled_out(cluster), "rolled out")
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
        assert condition(found["status"]["conditions"], "Available")["reason"] == "MinimumReplicasAvailable"
        pods = await cluster.pods(app="web")
        assert {pod["spec"]["nodeName"] for pod in pods} == {"node-1"}
        sets = (await cluster.client.list("ReplicaSet", "default")).items
        assert [pod["metadata"]["generateName"] for pod in pods] == [sets[0]["metadata"]["name"] + "-"] * 3


@virtual
async def test_scaling_makes_and_removes_pods() -> None:
    """Up and down, and a deleted pod is replaced."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create(deployment())
        await cluster.until(lambda: rolled_out(cluster), "rolled out")
        for replicas in (7, 2):
            await cluster.client.patch("Deployment", "web", {"spec": {"replicas": replicas}}, "default")
            await cluster.until(lambda: rolled_out(cluster), f"scaled to {replicas}")
            assert len(await cluster.pods()) == replicas
        victim = (await cluster.pods())[0]["metadata"]
        await cluster.client.delete("Pod", victim["name"], "default", grace_seconds=0)

        async def replaced() -> bool:
            names = [pod["metadata"]["name"] for pod in await cluster.pods()]
            return len(names) == 2 and victim["name"] not in names

        await cluster.until(replaced, "the pod is replaced")


@exercises("deployment", "replicaset")
@virtual
async def test_a_rolling_update_stays_within_its_bounds() -> None:
    """At no time more than replicas + maxSurge pods, nor fewer than replicas - maxUnavailable available ones."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
        await cluster.client.create(deployment(replicas=5, strategy=rolling))
        await cluster.until(lambda: rolled_out(cluster), "rolled out")
        await cluster.client.patch("Deployment", "web", deployment(image="example/web:2", replicas=5), "default")

        async def done() -> Any:
            pods = await cluster.pods()
            ready = [
                p for p in pods if (condition(p["status"].get("conditions"), "Ready") or {}).get("status") == "True"
            ]
            assert len(pods) <= 6
            assert len(ready) >= 4
            return await rolled_out(cluster)

        found = await cluster.until(done, "updated")
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        assert {p["spec"]["containers"][0]["image"] for p in await cluster.pods()} == {"example/web:2"}
        sets = (await cluster.client.list("ReplicaSet", "default")).items
        assert sorted(s["spec"]["replicas"] for s in sets) == [0, 5]


@virtual
async def test_going_back_uses_the_old_set_again() -> None:
    """`kubectl rollout undo` puts the old template back: its set gets the next revision; no third is made."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create(deployment())
        await cluster.until(lambda: rolled_out(cluster), "rolled out")
        for image in ("example/web:2", "example/web:1"):
            await cluster.client.patch("Deployment", "web", deployment(image=image), "default")
            found = await cluster.until(lambda: rolled_out(cluster), image)
        sets = (await cluster.client.list("ReplicaSet", "default")).items
        revisions = {
            s["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: s["spec"]["replicas"] for s in sets
        }
        assert revisions == {"2": 0, "3": 3}
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


@virtual
async def test_a_paused_deployment_waits() -> None:
    """A change of the template while paused does nothing until it is resumed; a change of size is made."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create(deployment())
        await cluster.until(lambda: rolled_out(cluster), "rolled out")
        changed = deployment(image="example/web:2", replicas=4, paused=True)
        await cluster.client.patch("Deployment", "web", changed, "default")
        await cluster.clock.sleep(30)
        assert [p["spec"]["containers"][0]["image"] for p in await cluster.pods()] == ["example/web:1"] * 4
        found = await cluster.client.get("Deployment", "web", "default")
        assert condition(found["status"]["conditions"], "Progressing")["reason"] == "DeploymentPaused"
        await cluster.client.patch("Deployment", "web", {"spec": {"paused": None}}, "default")
        await cluster.until(lambda: rolled_out(cluster), "resumed")
        assert {p["spec"]["containers"][0]["image"] for p in await cluster.pods()} == {"example/web:2"}


@virtual
async def test_recreate_never_mixes_versions() -> None:
    """With Recreate no new pod is made while an old one is left."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create(deployment(strategy={"type": "Recreate"}))
        await cluster.until(lambda: rolled_out(cluster), "rolled out")
        await cluster.client.patch("Deployment", "web", deployment(image="example/web:2"), "default")

        async def done() -> Any:
            pods = (await cluster.client.list("Pod", "default")).items
            assert len({p["spec"]["containers"][0]["image"] for p in pods}) <= 1
            return await rolled_out(cluster)

        await cluster.until(done, "recreated")


@virtual
async def test_a_stuck_rollout_times_out() -> None:
    """Pods that never get ready: after progressDeadlineSeconds the condition says so."""
    async with running(kubelet=False, grace=3600) as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create(deployment(progressDeadlineSeconds=120))

        async def timed_out() -> bool:
            found = await cluster.client.get("Deployment", "web", "default")
            progressing = condition(found.get("status", {}).get("conditions"), "Progressing") or {}
            return progressing.get("reason") == "ProgressDeadlineExceeded"

        began = cluster.clock.monotonic()
        await cluster.until(timed_out, "timed out", seconds=300)
        assert 120 <= cluster.clock.monotonic() - began < 130


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_deleting_a_deployment_deletes_what_it_owns(propagation: str) -> None:
    """Both ways everything is gone in the end; in the foreground the Deployment goes last."""

    async def scenario() -> None:
        async with running() as cluster:
            await cluster.add_node("node-1")
            await cluster.client.create(deployment())
            await cluster.until(lambda: rolled_out(cluster), "rolled out")
            await cluster.client.delete("Deployment", "web", "default", propagation=propagation)

            async def gone() -> bool:
                deployments = (await cluster.client.list("Deployment", "default")).items
                below = [
                    o for kind in ("Pod", "ReplicaSet") for o in (await cluster.client.list(kind, "default")).items
                ]
                if propagation == "Foreground" and not deployments:
                    assert not below
                return not deployments and not below

            await cluster.until(gone, "all is gone")

    virtual(scenario)()


@virtual
async def test_orphaned_pods_stay_and_are_adopted() -> None:
    """Deleting with Orphan leaves the pods; a ReplicaSet with the same selector takes them over."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        spec = deployment()["spec"]
        rs = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {field: spec[field] for field in ("replicas", "selector", "template")},
        }
        await cluster.client.create(rs)

        async def three() -> bool:
            return len(await cluster.pods()) == 3

        await cluster.until(three, "three pods")
        await cluster.client.delete("ReplicaSet", "web", "default", propagation="Orphan")

        async def orphaned() -> bool:
            pods = await cluster.pods()
            left = (await cluster.client.list("ReplicaSet", "default")).items
            return not left and not any(pod["metadata"].get("ownerReferences") for pod in pods)

        await cluster.until(orphaned, "orphaned")
        names = {pod["metadata"]["name"] for pod in await cluster.pods()}
        made = await cluster.client.create(rs)

        async def adopted() -> bool:
            owners = [pod["metadata"].get("ownerReferences") for pod in await cluster.pods()]
            return all(refs and refs[0]["uid"] == made["metadata"]["uid"] for refs in owners)

        await cluster.until(adopted, "adopted")
        assert {pod["metadata"]["name"] for pod in await cluster.pods()} == names


@exercises("NamespaceDeletion", "root-ca-publisher", "service-account")
@virtual
async def test_a_namespace_is_emptied_before_it_goes() -> None:
    """Its ServiceAccount, CA bundle and workloads too; what still holds it up is told in its conditions."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
        workload = deployment()
        workload["metadata"]["namespace"] = "team"
        await cluster.client.create(workload)
        held = {"name": "held", "namespace": "team", "finalizers": ["example.com/hold"]}
        await cluster.client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})

        async def furnished() -> bool:
            accounts = (await cluster.client.list("ServiceAccount", "team")).items
            bundles = [
                c for c in (await cluster.client.list("ConfigMap", "team")).items if c.get("data") == {"ca.crt": CA}
            ]
            return bool(accounts and bundles) and len(await cluster.pods("team")) == 3

        await cluster.until(furnished, "furnished")
        await cluster.client.delete("Namespace", "team")

        async def held_up() -> bool:
            found = await cluster.client.get("Namespace", "team")
            remaining = condition(found["status"].get("conditions"), "NamespaceFinalizersRemaining") or {}
            return "example.com/hold in 1 resource instances" in remaining.get("message", "")

        await cluster.until(held_up, "held up")
        await cluster.client.patch("ConfigMap", "held", {"metadata": {"finalizers": None}}, "team")

        async def gone() -> bool:
            return "team" not in [n["metadata"]["name"] for n in (await cluster.client.list("Namespace")).items]

        await cluster.until(gone, "the namespace is gone")
        assert await cluster.pods("team") == []


@virtual
async def test_pods_leave_a_namespace_first() -> None:
    """A pod that still ends keeps what it relies on: its configuration, and the policies that protect it."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
        held = {"name": "held", "namespace": "team", "finalizers": ["example.com/hold"]}
        spec = {"containers": [{"name": "c", "image": "busybox"}]}
        await cluster.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": held, "spec": spec})
        metadata = {"name": "config", "namespace": "team"}
        await cluster.client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        await cluster.client.delete("Namespace", "team")

        async def looked_at() -> bool:
            found = await cluster.client.get("Namespace", "team")
            remaining = condition(found["status"].get("conditions"), "NamespaceContentRemaining") or {}
            return "pods. has 1 resource instances" in remaining.get("message", "")

        await cluster.until(looked_at, "looked at")
        assert (await cluster.client.get("Pod", "held", "team"))["metadata"]["deletionTimestamp"]
        assert "deletionTimestamp" not in (await cluster.client.get("ConfigMap", "config", "team"))["metadata"]
        await cluster.client.patch("Pod", "held", {"metadata": {"finalizers": None}}, "team")

        async def gone() -> bool:
            return "team" not in [n["metadata"]["name"] for n in (await cluster.client.list("Namespace")).items]

        await cluster.until(gone, "the namespace is gone")


@exercises("endpoints", "endpointslice")
@virtual
async def test_a_service_gets_endpoints() -> None:
    """By a port's name; a pod that is no longer ready leaves the ready addresses; a deleted Service takes all along."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create(deployment())
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
        }
        await cluster.client.create(service)

        async def ready(count: int) -> Any:
            ours = "kubernetes.io/service-name=web"
            slices = (await cluster.client.list("EndpointSlice", "default", label_selector=ours)).items
            found = [e for s in slices for e in s.get("endpoints") or () if e["conditions"]["ready"]]
            return slices if len(found) == count else None

        slices = await cluster.until(lambda: ready(3), "three ready endpoints")
        assert [s["ports"] for s in slices] == [[{"name": "", "port": 8080, "protocol": "TCP"}]]
        assert slices[0]["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
        legacy = await cluster.client.get("Endpoints", "web", "default")
        assert len(legacy["subsets"][0]["addresses"]) == 3
        pod = (await cluster.pods())[0]
        conditions = [{**c, "status": "False"} if c["type"] == "Ready" else c for c in pod["status"]["conditions"]]
        await cluster.client.update_status({**pod, "status": {**pod["status"], "conditions": conditions}})
        await cluster.until(lambda: ready(2), "one is not ready")
        await cluster.client.delete("Service", "web", "default")

        async def gone() -> bool:
            kinds = ("EndpointSlice", "Endpoints")
            found = [o for kind in kinds for o in (await cluster.client.list(kind, "default")).items]
            return {o["metadata"]["name"] for o in found} <= {"kubernetes"}

        await cluster.until(gone, "the endpoints are gone")


@only_virtual
async def test_a_silent_node_loses_its_pods() -> None:
    """Unknown after the grace time, tainted, its pods not ready at once and evicted after their tolerations' time."""
    async with running() as cluster:
        await cluster.add_node("node-1")
        heartbeat = asyncio.ensure_future(cluster.heartbeat("node-1"))
        workload = deployment(replicas=1)
        tolerations = [
            {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for key in ("not-ready", "unreachable")
        ]
        workload["spec"]["template"]["spec"]["tolerations"] = tolerations
        await cluster.client.create(workload)
        await cluster.until(lambda: rolled_out(cluster), "rolled out")
        await cluster.add_node("node-2")  # ready, so that it is not the network that is down
        other = asyncio.ensure_future(cluster.heartbeat("node-2"))
        await cluster.clock.sleep(120)
        node = await cluster.client.get("Node", "node-1")
        assert node["spec"]["podCIDR"] == "10.244.0.0/24"
        assert not node["spec"].get("taints")
        before = (await cluster.pods())[0]["metadata"]["name"]
        heartbeat.cancel()
        silent = cluster.clock.monotonic()

        async def unknown() -> bool:
            node = await cluster.client.get("Node", "node-1")
            taints = {(t["key"], t["effect"]) for t in node["spec"].get("taints") or ()}
            key = "node.kubernetes.io/unreachable"
            unknown = condition(node["status"]["conditions"], "Ready")["status"] == "Unknown"
            return unknown and taints == {(key, "NoSchedule"), (key, "NoExecute")}

        await cluster.until(unknown, "unknown and tainted")
        assert 30 <= cluster.clock.monotonic() - silent <= 45

        async def evicted() -> bool:
            return before not in [pod["metadata"]["name"] for pod in await cluster.pods()]

        assert not await evicted()
        await cluster.until(evicted, "evicted", seconds=320)
        other.cancel()
        assert cluster.clock.monotonic() - silent >= 330


@exercises("pod-garbage-collector")
@virtual
async def test_pods_of_a_deleted_node_go() -> None:
    """Nobody else can end them: the node's kubelet is gone with it. The node's address range is free again."""
    async with running(kubelet=False) as cluster:
        await cluster.add_node("node-1")
        await cluster.client.create(deployment(replicas=2))

        async def bound() -> bool:
            pods = await cluster.pods()
            return len(pods) == 2 and all(pod["spec"].get("nodeName") for pod in pods)

        await cluster.until(bound, "bound")
        first = {pod["metadata"]["name"] for pod in await cluster.pods()}
        await cluster.client.delete("Node", "node-1")

        async def replaced() -> bool:
            names = {pod["metadata"]["name"] for pod in await cluster.pods()}
            return len(names) == 2 and not names & first

        await cluster.until(replaced, "replaced", seconds=90)


@virtual
async def test_a_pod_that_fits_nowhere_says_why_and_waits_for_a_node() -> None:
    """The condition's sentence is what users and the autoscaler read; a new node gets the pod scheduled."""
    async with running() as cluster:
        await cluster.add_node("small", cpu="1")
        workload = deployment(replicas=1)
        container = workload["spec"]["template"]["spec"]["containers"][0]
        container["resources"] = {"requests": {"cpu": "2"}}
        await cluster.client.create(workload)

        async def refused() -> Any:
            pods = await cluster.pods()
            return pods and condition(pods[0]["status"].get("conditions"), "PodScheduled")

        scheduled = await cluster.until(refused, "unschedulable")
        assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
        assert scheduled["message"] == (
            "0/1 nodes are available: 1 Insufficient cpu. "
            "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        )
        await cluster.add_node("large")
        await cluster.until(lambda: rolled_out(cluster), "scheduled")
        assert [pod["spec"]["nodeName"] for pod in await cluster.pods()] == ["large"]


@virtual
async def test_pods_are_spread_over_nodes() -> None:
    """Equal pods on equal nodes: each decision sees the ones before it, whose bindings are still being written."""
    async with running() as cluster:
        for number in range(4):
            await cluster.add_node(f"node-{number}")
        await cluster.client.create(deployment(replicas=12))
        await cluster.until(lambda: rolled_out(cluster), "rolled out")
        on = [pod["spec"]["nodeName"] for pod in await cluster.pods()]
        assert {on.count(f"node-{number}") for number in range(4)} == {3}


@exercises("GarbageCollector")
@virtual
async def test_an_object_whose_owner_is_absent_goes() -> None:
    """Never was, has another uid now, or is in another namespace: absent. One existing owner is enough to stay."""
    async with running() as cluster:
        await cluster.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})

        async def config_map(name: str, *owners: dict[str, Any], namespace: str = "default") -> dict[str, Any]:
            metadata = {"name": name, "namespace": namespace, "ownerReferences": list(owners)}
            made = await cluster.client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
            return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": made["metadata"]["uid"]}

        owner = await config_map("owner")
        never = {**owner, "name": "never", "uid": "never"}
        await config_map("kept", owner, never)
        await config_map("ownerless", never)
        await config_map("renewed", {**owner, "uid": "before"})
        await config_map("abroad", owner, namespace="other")

        async def left(*names: str) -> bool:
            found = [o for ns in ("default", "other") for o in (await cluster.client.list("ConfigMap", ns)).items]
            return {o["metadata"]["name"] for o in found} - {"kube-root-ca.crt"} == set(names)

        await cluster.until(lambda: left("owner", "kept"), "only what has an owner is left")

        async def told() -> bool:
            events = (await cluster.client.list("Event", "other")).items
            return any(event["reason"] == "OwnerRefInvalidNamespace" for event in events)

        await cluster.until(told, "somebody is told of the owner in another namespace")
        kept = await cluster.client.get("ConfigMap", "kept", "default")
        assert [ref["name"] for ref in kept["metadata"]["ownerReferences"]] == ["owner"]
        await cluster.client.delete("ConfigMap", "owner", "default")

        await cluster.until(left, "the owner took the last along")
