"""All controllers together, rows and programs: once a cluster has settled they leave it alone."""

import asyncio
from typing import Any

from tests.integration.controlled import Cluster, only_virtual, running
from tests.integration.test_controllers_storage import Directories
from tests.integration.upstream import everything

from kaa.cluster.addons import STORAGE_CLASS
from kaa.controllers.metrics_source import MetricsTable

HOUR = 3600.0
LABELS = {"app": "web"}
CONTAINER = {"name": "c", "image": "example/c", "resources": {"requests": {"cpu": "100m"}}}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [CONTAINER]}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
SELECTOR = {"matchLabels": LABELS}


def template(name: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    return {"metadata": {"labels": labels}, "spec": {"containers": [CONTAINER], **spec}}


def workload(kind: str, name: str, **spec: Any) -> tuple[str, str, str, dict[str, Any]]:
    selector = {"matchLabels": {"app": name}}
    return "apps/v1", kind, name, {"selector": selector, "template": template(name), **spec}


def job_template() -> dict[str, Any]:
    made = template("job", restartPolicy="Never")
    return {**made, "metadata": {"annotations": {"example.com/exit-code": "0"}}}


METRIC = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
OBJECTS: list[tuple[str, str, str, dict[str, Any]]] = [
    workload("Deployment", "web", replicas=2),
    workload("StatefulSet", "db", replicas=2, volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": CLAIM}]),
    workload("DaemonSet", "agent"),
    ("v1", "ReplicationController", "old", {"selector": {"app": "old"}, "replicas": 1, "template": template("old")}),
    ("batch/v1", "Job", "once", {"template": job_template()}),
    (
        "batch/v1",
        "CronJob",
        "off",
        {"schedule": "* * * * *", "suspend": True, "jobTemplate": {"spec": {"template": job_template()}}},
    ),
    ("v1", "Service", "web", {"selector": LABELS, "ports": [{"port": 80}]}),
    ("v1", "Service", "abroad", {"ports": [{"port": 80}]}),
    ("policy/v1", "PodDisruptionBudget", "web", {"selector": SELECTOR, "maxUnavailable": 1}),
    ("v1", "ResourceQuota", "all", {"hard": {"pods": "50", "count/deployments.apps": "5"}}),
    (
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "web",
        {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "maxReplicas": 4,
            "metrics": [METRIC],
        },
    ),
    (
        "v1",
        "Pod",
        "scratch",
        {"containers": [CONTAINER], "volumes": [{"name": "s", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}}]},
    ),
]


async def state(cluster: Cluster) -> dict[tuple[str, str, str], str]:
    """Every object's revision, but for those of nodes' heartbeats and events."""
    found = await everything(cluster.client)
    return {key: obj["metadata"]["resourceVersion"] for key, (_, obj) in found.items()}


@only_virtual
async def test_a_settled_cluster_is_left_alone() -> None:
    """In an hour with nothing but heartbeats not one object is written: no loop feeds itself, or another."""
    metrics = MetricsTable()
    options = {"local_volumes": lambda node: f"/nodes/{node}", "local_directories": Directories(), "metrics": metrics}
    async with running(**options) as cluster:
        for name in ("node-1", "node-2"):
            await cluster.add_node(name)
        beats = [asyncio.ensure_future(cluster.heartbeat(name)) for name in ("node-1", "node-2")]
        await cluster.client.create(STORAGE_CLASS)
        await cluster.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "brief"}})
        endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "abroad", "namespace": "default"}}
        await cluster.client.create(
            {**endpoints, "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]}
        )
        for api_version, kind, name, spec in OBJECTS:
            metadata = {"name": name, "namespace": "default"}
            await cluster.client.create({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec})

        async def running_pods() -> bool:
            pods = [p for p in await cluster.pods() if p["status"]["phase"] == "Running"]
            return len(pods) == 2 + 2 + 2 + 1 + 1

        await cluster.until(running_pods, "all pods run", 120)
        for pod in await cluster.pods(app="web"):
            metrics.set_usage("default", pod["metadata"]["name"], "cpu", "50m")
        await cluster.client.delete("Namespace", "brief")
        await cluster.clock.sleep(HOUR)
        before = await state(cluster)
        await cluster.clock.sleep(HOUR)
        after = await state(cluster)
        assert {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} == set()
        assert ("Namespace", "", "brief") not in after
        for beat in beats:
            beat.cancel()
