"""Scenarios that are explored: each does to a cluster what people do, while things go wrong."""

from kaa.api.objects import Object
from kaa.cluster.simulation.everyday import AsyncCluster
from kaa.cluster.simulation.exploration import scenario
from kaa.cluster.simulation.standard_invariants import STANDARD, UNAMBIGUOUS

KNOWN_OUTCOME = ("crash", "pause", "drop", "delay", "duplicate", "reorder", "conflict", "skew")
"""Faults after which everybody knows whether a write has taken effect."""


def pod_template(app: str, image: str = "web:1", **annotations: str) -> Object:
    return {
        "metadata": {
            "labels": {"app": app},
            "annotations": {f"simulation.kaa.dev/{key.replace('_', '-')}": value for key, value in annotations.items()},
        },
        "spec": {
            "containers": [{"name": "main", "image": image, "resources": {"requests": {"cpu": "100m"}}}],
            "terminationGracePeriodSeconds": 5,
        },
    }


def workload(kind: str, name: str, template: Object, **spec: object) -> Object:
    metadata = {"name": name}
    selector = {"matchLabels": {"app": name}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": {"selector": selector, "template": template, **spec},
    }


def job(name: str, template: Object, **spec: object) -> Object:
    pod_spec = {"restartPolicy": "Never", **template["spec"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {**template, "spec": pod_spec}, **spec},
    }


@scenario(nodes=2)
async def rolling_update(c: AsyncCluster) -> None:
    """A Deployment behind a Service is rolled over twice, the second time before the first is through."""
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    service = {"ports": [{"port": 80}], "selector": {"app": "web"}}
    await c.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": service})
    await c.apply(workload("Deployment", "web", pod_template("web"), replicas=4, strategy=rolling))
    await c.wait("deployment", "web", "Available")
    c.faults.random(rate=1 / 4, kinds=KNOWN_OUTCOME, names="kube-*", for_=40)
    for version, seconds in (("web:2", 5), ("web:3", 40)):
        await c.apply(workload("Deployment", "web", pod_template("web", version), replicas=4, strategy=rolling))
        await c.run_for(seconds)


@scenario(nodes=2)
async def stateful_set(c: AsyncCluster) -> None:
    """A StatefulSet is made, updated and scaled while all kinds of faults are about."""
    await c.apply(workload("StatefulSet", "db", pod_template("db"), replicas=3, serviceName="db"))
    c.faults.random(rate=1 / 5, names="kube-*", for_=60)
    await c.run_for(20)
    await c.apply(workload("StatefulSet", "db", pod_template("db", "db:2"), replicas=3, serviceName="db"))
    await c.run_for(15)
    await c.apply(workload("StatefulSet", "db", pod_template("db", "db:2"), replicas=2, serviceName="db"))
    await c.run_for(30)


@scenario(nodes=2, invariants=(*STANDARD, *UNAMBIGUOUS))
async def jobs(c: AsyncCluster) -> None:
    """A Job of many, and an indexed one of which some pods fail."""
    c.faults.random(rate=1 / 4, kinds=KNOWN_OUTCOME, names="kube-*", for_=60)
    await c.apply(job("many", pod_template("many", exit_after="3s"), completions=5, parallelism=2))
    template = pod_template("indexed", exit_after="4s")
    await c.apply(job("indexed", template, completions=4, parallelism=3, completionMode="Indexed"))
    await c.run_for(60)


@scenario(nodes=2)
async def deletion(c: AsyncCluster) -> None:
    """Whole trees of objects are deleted in all three ways, and a namespace with what is in it."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "doomed"}}
    await c.apply(namespace)
    for name in ("one", "two"):
        await c.apply(workload("Deployment", name, pod_template(name), replicas=2))
    await c.apply(workload("Deployment", "inside", pod_template("inside"), replicas=2), namespace="doomed")
    await c.run_for(8)
    c.faults.random(rate=1 / 4, names="kube-*", for_=60)
    await c.delete("deployment", "one", propagation="Foreground")
    await c.delete("namespace", "doomed")
    await c.run_for(3)
    await c.delete("deployment", "two", propagation="Background")
    await c.run_for(60)
