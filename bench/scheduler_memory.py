"""What 150,000 pods on 5,000 nodes cost the scheduler, and how long a decision takes beside them.

Half of the pods are of 50 Deployments; the others all have a label of their own, as those of StatefulSets and indexed
Jobs do. Their objects come as the watch brings them: decoded, one at a time, and not kept by anybody.
"""

import gc
import os
import random
import time
from dataclasses import dataclass

import orjson

from bench.scheduler_workloads import INIT, MEASURED, NODES, in_moons, pod, spread
from bench.target import resident_bytes
from kaa.api.objects import Object
from kaa.client.cache import Cache
from kaa.scheduler.answers import Remembered
from kaa.scheduler.decision import decide
from kaa.scheduler.loop import DEFAULT_PROFILE
from kaa.scheduler.pod_info import pod_info
from kaa.scheduler.snapshot import Snapshot
from kaa.scheduler.trimming import trimmed

PODS = 150_000
DEPLOYMENTS = 50
DECISIONS = 1000


@dataclass(frozen=True, slots=True)
class Held:
    nodes: int
    pods: int
    bytes: int
    pod_bytes: float
    cached_pod_bytes: float  # in the informer's cache, beside the snapshot
    p50_seconds: float
    p99_seconds: float


def measure_held() -> Held:
    snapshot = Snapshot()
    gc.collect()
    empty = resident_bytes(os.getpid())
    for index in range(NODES):
        snapshot.set_node(in_moons(index))
    before_pods = resident_bytes(os.getpid())
    for index in range(PODS):
        snapshot.add_pod(pod_info(_object(index)), f"node-{index % NODES}")
    gc.collect()
    after = resident_bytes(os.getpid())
    cache = Cache()
    for index in range(PODS):
        cache.put((INIT, f"pod-{index}"), trimmed(_object(index)))
    gc.collect()
    cached = resident_bytes(os.getpid()) - after
    seconds = sorted(_decisions(snapshot))
    return Held(
        NODES,
        PODS,
        after - empty,
        (after - before_pods) / PODS,
        cached / PODS,
        seconds[DECISIONS // 2],
        seconds[DECISIONS * 99 // 100],
    )


def _object(index: int) -> Object:
    labels = {"app": f"app-{index % DEPLOYMENTS}", "pod-template-hash": f"{index % DEPLOYMENTS:010d}"}
    if index % 2:
        labels["statefulset.kubernetes.io/pod-name"] = f"pod-{index}"
    obj = pod(labels, cpu="10m", memory="20Mi", nodeName=f"node-{index % NODES}")
    obj["metadata"] |= {"name": f"pod-{index}", "namespace": INIT, "uid": f"{index:036d}"}
    obj["status"] = {"startTime": "2026-01-01T00:00:00Z"}
    decoded: Object = orjson.loads(orjson.dumps(obj))
    return decoded


def _decisions(snapshot: Snapshot) -> list[float]:
    rng, answers = random.Random(1), Remembered()
    taken = []
    for index in range(DECISIONS):
        obj = pod({"color": "blue"}, cpu="10m", memory="20Mi", **spread("DoNotSchedule"))
        obj["metadata"] |= {"name": f"new-{index}", "namespace": MEASURED, "uid": f"new-{index}"}
        info = pod_info(obj)
        began = time.perf_counter()
        decide(info, snapshot, DEFAULT_PROFILE.plugins, rng, answers)
        taken.append(time.perf_counter() - began)
    return taken
