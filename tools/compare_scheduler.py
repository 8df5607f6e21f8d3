"""Compares a running scheduler's decisions with ours: `python -m tools.compare_scheduler KUBECONFIG [FIRST [LAST]]`.

Against the API server of the kubeconfig some scheduler runs: upstream's, or ours. For each seed a cluster made by
chance (the differential test's) is created there, and some pods one after the other. What becomes of each is compared
with what our plugins, in this process, say of the same objects: the node must be one of the best, or the sentence of
the pod's condition must be the same. Nodes are objects only, and nothing else may run against the server.

With CONFIG=FILE both schedulers are taken to have that KubeSchedulerConfiguration.
"""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from tests.unit.scheduler.reference.generate import NAMESPACES, make_cluster

from kaa.api.errors import APIError
from kaa.api.objects import Object, condition, name_of, namespace_of, uid_of
from kaa.client.http import HTTPTransport
from kaa.client.kubeconfig import load_kubeconfig
from kaa.client.rest import Client
from kaa.scheduler.config.configuration import read_configuration
from kaa.scheduler.decision import Decision, Placed, Unschedulable, decide
from kaa.scheduler.pod_info import pod_info
from kaa.scheduler.snapshot import Snapshot

STORAGE = ("StorageClass", "CSIDriver", "CSIStorageCapacity", "CSINode", "VolumeAttachment", "PersistentVolume")
WORKLOADS = ("Service", "ReplicaSet", "StatefulSet", "ReplicationController")
KINDS = ("PersistentVolumeClaim", *STORAGE, *WORKLOADS)  # claims first: volumes name them by uid
TEMPLATE = {"containers": [{"name": "c", "image": "x"}]}

SLIP = " not found"

SETTLE_SECONDS = 0.4
POLL_SECONDS = 0.05
DECIDED_POLLS = 100
VOLUME_POLLS = 25
"""A pod whose volumes are bound first has no node for a long time: that is an answer, too."""


class Objects:
    """The view of what the server has."""

    def __init__(self, objects: list[Object]) -> None:
        self._objects = {(obj["kind"], namespace_of(obj), name_of(obj)): obj for obj in objects}

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        return self._objects.get((kind, namespace, name))

    def list(self, kind: str, namespace: str | None = None) -> list[Object]:
        return [obj for key, obj in self._objects.items() if key[0] == kind and namespace in (None, key[1])]

    def count_by_index(self, kind: str, index: str, key: str) -> int:
        return 0


def acceptable(obj: Object) -> Object:
    """With what a server insists on, and the reference's clusters leave out."""
    obj = json.loads(json.dumps(obj))
    spec = obj.get("spec", {})
    match obj["kind"]:
        case "Service":
            spec["ports"] = [{"port": 80}]
        case "ReplicaSet" | "StatefulSet":
            spec |= {
                "replicas": 0,
                "template": {"metadata": {"labels": spec["selector"]["matchLabels"]}, "spec": TEMPLATE},
            }
        case "ReplicationController":
            spec |= {"replicas": 0, "template": {"metadata": {"labels": spec["selector"]}, "spec": TEMPLATE}}
        case "PersistentVolume" if "csi" not in spec:
            spec["hostPath"] = {"path": "/x"}
        case "CSINode":
            obj["metadata"].pop("labels", None)
        case "Pod":
            _acceptable_pod(obj)
    return obj


def _acceptable_pod(pod: Object) -> None:
    spec = pod["spec"]
    spec.pop("overhead", None)
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        for port in container.get("ports") or ():
            port["containerPort"] = port["hostPort"]
        requests = container["resources"]["requests"]
        container["resources"]["limits"] = {name: amount for name, amount in requests.items() if "/" in name}
    if "volumes" in spec:  # claims of ephemeral volumes would have to know the pod's uid
        spec["volumes"] = [volume for volume in spec["volumes"] if "ephemeral" not in volume]
    for field in ("uid", "deletionTimestamp"):
        pod["metadata"].pop(field, None)
    pod.pop("status", None)


class Comparison:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._rng = random.Random(1)
        file = os.environ.get("CONFIG")
        (profile, *_) = read_configuration(Path(file) if file else None).profiles
        self._plugins = profile.plugins
        self.results: Counter[str] = Counter()

    async def prepare(self) -> None:
        for name, labels in NAMESPACES.items():
            await self._make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            await self._client.patch("Namespace", name, {"metadata": {"labels": labels}})
            metadata = {"name": "default", "namespace": name}
            await self._make({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})

    async def compare(self, seed: int) -> None:
        await self._wipe()
        cluster, pods = make_cluster(seed)
        for node in cluster.nodes:
            await self._make_node(node)
        uids: dict[str, str] = {}
        for kind in KINDS:
            for obj in cluster.all_of(kind):
                if kind != "PersistentVolumeClaim" or not obj["metadata"].get("ownerReferences"):
                    await self._make_other(acceptable(obj), uids)
        for pod in cluster.pods:
            if await self._make(acceptable(pod)) is not None and "deletionTimestamp" in pod["metadata"]:
                await self._client.delete("Pod", name_of(pod), namespace_of(pod), grace_seconds=30)
        await asyncio.sleep(SETTLE_SECONDS)
        for pod in pods:
            snapshot = await self._snapshot()
            made = await self._make(acceptable(pod))
            if made is not None:
                self._judge(
                    seed, made, decide(pod_info(made), snapshot, self._plugins, self._rng), await self._theirs(made)
                )
                await self._client.delete("Pod", name_of(made), namespace_of(made), grace_seconds=0)
                await asyncio.sleep(SETTLE_SECONDS)

    async def _theirs(self, pod: Object) -> tuple[str, str]:
        """What became of it, and where, or why not."""
        patience = VOLUME_POLLS if pod["spec"].get("volumes") else DECIDED_POLLS
        for _ in range(patience):
            found = await self._client.get("Pod", name_of(pod), namespace_of(pod))
            if node := found["spec"].get("nodeName"):
                return "placed", node
            scheduled = condition(found["status"].get("conditions"), "PodScheduled") or {}
            if scheduled.get("status") == "False":
                return "unschedulable", scheduled["message"]
            await asyncio.sleep(POLL_SECONDS)
        return "undecided", ""

    def _judge(self, seed: int, pod: Object, ours: Decision, theirs: tuple[str, str]) -> None:
        outcome, text = theirs
        if isinstance(ours, Placed):
            allowed = _best(ours) if outcome == "placed" else {""}
            agree = text in allowed and (outcome == "placed" or bool(pod["spec"].get("volumes")))
            mine = ", ".join(sorted(_best(ours)))
        else:
            mine = ours.message
            agree = isinstance(ours, Unschedulable) and outcome == "unschedulable" and _same(mine, text)
        self.results[outcome if agree else "different"] += 1
        if not agree:
            print(f"seed {seed}, {name_of(pod)}\n  theirs: {outcome} {text}\n  ours:   {mine}")

    async def _snapshot(self) -> Snapshot:
        objects = [obj for kind in KINDS for obj in (await self._client.list(kind)).items]
        snapshot = Snapshot(Objects(objects))
        for namespace in (await self._client.list("Namespace")).items:
            snapshot.namespace_labels[name_of(namespace)] = namespace["metadata"].get("labels") or {}
        for node in (await self._client.list("Node")).items:
            snapshot.set_node(node)
        for pod in (await self._client.list("Pod")).items:
            if node_name := pod["spec"].get("nodeName"):
                snapshot.add_pod(pod_info(pod), node_name)
        return snapshot

    async def _make(self, obj: Object) -> Object | None:
        """None if the server will not have it; that is no difference between schedulers."""
        row = self._client.resource(obj["kind"])
        try:
            return await self._client.create({"apiVersion": row.api_version, **obj})
        except APIError:
            return None

    async def _make_node(self, node: Object) -> None:
        made = await self._make({key: value for key, value in node.items() if key != "status"})
        assert made is not None
        made["spec"]["taints"] = node["spec"].get("taints", [])  # without those of a node that is not ready yet
        made = await self._client.update(made)
        room = node["status"]["allocatable"]
        ready = {"type": "Ready", "status": "True"}
        await self._client.update_status(
            {**made, "status": {**node["status"], "capacity": room, "conditions": [ready]}}
        )

    async def _make_other(self, obj: Object, uids: dict[str, str]) -> None:
        """`uids` are those that the server gave to claims, by those of the reference."""
        status, uid = obj.pop("status", None), obj["metadata"].pop("uid", "")
        ends = obj["metadata"].pop("deletionTimestamp", None) is not None
        if ends:
            obj["metadata"]["finalizers"] = ["example.com/stays"]
        if (reference := obj.get("spec", {}).get("claimRef")) is not None:
            reference["uid"] = uids.get(reference["uid"], reference["uid"])
        made = await self._make(obj)
        if made is None:
            return
        if obj["kind"] == "PersistentVolumeClaim":
            uids[uid] = uid_of(made)
        if status is not None:
            await self._client.update_status({**made, "status": status})
        if ends:
            await self._client.delete(obj["kind"], name_of(obj), namespace_of(obj))

    async def _wipe(self) -> None:
        for kind in ("Pod", "Node", *KINDS):
            for obj in (await self._client.list(kind)).items:
                if (kind, name_of(obj)) == ("Service", "kubernetes"):
                    continue
                try:
                    if obj["metadata"].get("finalizers"):
                        free: dict[str, Any] = {"metadata": {"finalizers": None}}
                        await self._client.patch(kind, name_of(obj), free, namespace_of(obj) or None)
                    await self._client.delete(kind, name_of(obj), namespace_of(obj) or None, grace_seconds=0)
                except APIError as error:
                    if error.reason != "NotFound":
                        raise


def _same(ours: str, theirs: str) -> bool:
    """Of a pod that is hopeless by itself upstream's says `not found` in place of the sentence about preemption: one of
    its plugins, which was not asked any more, misses what it would have noted.
    """
    if theirs.endswith(SLIP):
        return ours.startswith(theirs.removesuffix(SLIP))
    return ours == theirs


def _best(placed: Placed) -> set[str]:
    """All nodes that are as good as the one that chance chose."""
    trace = placed.trace
    assert trace is not None
    total = np.zeros(len(trace.names))
    for scored in trace.scores:
        total += scored.weight * scored.scores
    total[~trace.feasible] = -1
    return {trace.names[int(row)] for row in np.flatnonzero(total == total.max())}


async def main(kubeconfig: str, first: int, last: int) -> int:
    client = Client(HTTPTransport.from_config(load_kubeconfig(Path(kubeconfig)), "compare-scheduler"))
    comparison = Comparison(client)
    try:
        await comparison.prepare()
        for seed in range(first, last):
            await comparison.compare(seed)
    finally:
        await client.close()
    print(", ".join(f"{outcome}: {count}" for outcome, count in sorted(comparison.results.items())))
    return int(comparison.results["different"] > 0)


if __name__ == "__main__":
    _, path, *bounds = sys.argv
    start = int(bounds[0]) if bounds else 0
    end = int(bounds[1]) if len(bounds) > 1 else start + 50
    sys.exit(asyncio.run(main(path, start, end)))
