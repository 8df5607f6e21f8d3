"""Short ways to nodes and pods for the scheduler's tests."""

import random
from typing import Any

from kaa.scheduler.decision import Decision, decide, filtered
from kaa.scheduler.plugins import PLUGINS
from kaa.scheduler.pod_info import PodInfo, pod_info
from kaa.scheduler.snapshot import Snapshot


def node(name: str, cpu: str = "4", memory: str = "8Gi", pods: int = 110, **more: Any) -> dict[str, Any]:
    labels = {"kubernetes.io/hostname": name, **more.pop("labels", {})}
    room = {"cpu": cpu, "memory": memory, "pods": str(pods), **more.pop("room", {})}
    status = {"allocatable": room, **more.pop("status", {})}
    return {"kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": more, "status": status}


def pod(name: str, cpu: str = "", labels: dict[str, str] | None = None, **spec: Any) -> PodInfo:
    requests = {"cpu": cpu} if cpu else {}
    requests |= spec.pop("requests", {})
    containers = [{"name": "main", "image": "example/app:1", "resources": {"requests": requests}}]
    if ports := spec.pop("ports", None):
        containers[0]["ports"] = ports
    metadata = {"name": name, "namespace": "default", "uid": name, "labels": labels or {}}
    return pod_info({"kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}})


def snapshot_of(*nodes: dict[str, Any]) -> Snapshot:
    snapshot = Snapshot()
    for obj in nodes:
        snapshot.set_node(obj)
    return snapshot


def feasible(wanted: PodInfo, snapshot: Snapshot) -> set[str]:
    """Names of the nodes that the pod may go to."""
    rows = filtered(wanted, snapshot, PLUGINS).feasible
    return {snapshot.names[row] for row in rows.nonzero()[0]}


def decision(wanted: PodInfo, snapshot: Snapshot, seed: int = 1) -> Decision:
    return decide(wanted, snapshot, PLUGINS, random.Random(seed))
