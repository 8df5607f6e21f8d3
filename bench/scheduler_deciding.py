"""How fast the scheduler decides, without an API: the snapshot, the queue and the plugins in this process."""

import gc
import random
import time
from dataclasses import dataclass

from bench.scheduler_workloads import INIT, MEASURED, PRIORITIES, Workload
from kaa.api.objects import Object
from kaa.lib.clock import WallClock
from kaa.scheduler.answers import Remembered
from kaa.scheduler.decision import Placed, Unschedulable, decide
from kaa.scheduler.loop import DEFAULT_PROFILE
from kaa.scheduler.pod_info import PodInfo, pod_info
from kaa.scheduler.queue import SchedulingQueue
from kaa.scheduler.snapshot import Snapshot

SEED = 1
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Decided:
    per_second: float
    p50_seconds: float
    p99_seconds: float


def named(template: Object, namespace: str, name: str) -> PodInfo:
    metadata = {**template["metadata"], "name": name, "namespace": namespace, "uid": f"{namespace}/{name}"}
    spec = {**template["spec"], "priority": PRIORITIES.get(template["spec"].get("priorityClassName"), 0)}
    return pod_info({**template, "metadata": metadata, "spec": spec})


def prepared(workload: Workload) -> Snapshot:
    """With its nodes, and the pods that are there at first: placed as the scheduler would, all else equal."""
    snapshot = Snapshot()
    for namespace in (INIT, MEASURED):
        snapshot.namespace_labels[namespace] = {}
    names = []
    for index in range(workload.nodes):
        node = workload.node(index)
        snapshot.set_node(node)
        names.append(node["metadata"]["name"])
    number = 0
    for count, template in workload.initial:
        for _ in range(count):
            snapshot.add_pod(named(template, INIT, f"init-{number}"), names[number % len(names)])
            number += 1
    return snapshot


def measure(workload: Workload) -> Decided:
    """The best of ROUNDS: what else happens on the machine only takes from it."""
    return max((_once(workload) for _ in range(ROUNDS)), key=lambda decided: decided.per_second)


def _once(workload: Workload) -> Decided:
    snapshot, rng = prepared(workload), random.Random(SEED)
    queue = SchedulingQueue(WallClock(), {})
    for index in range(workload.pods):
        queue.put(named(workload.pod(index), MEASURED, f"pod-{index}"))
    answers = Remembered()
    seconds: list[float] = []
    gc.collect()
    began = time.perf_counter()
    while (pod := queue.pop()) is not None:
        start = time.perf_counter()
        decision = decide(pod, snapshot, DEFAULT_PROFILE.plugins, rng, answers)
        if isinstance(decision, Unschedulable) and decision.nomination.node_name:
            for victim in decision.nomination.victims:
                snapshot.remove_pod(victim.key)
            decision = decide(pod, snapshot, DEFAULT_PROFILE.plugins, rng, answers)
        if isinstance(decision, Placed):
            snapshot.add_pod(pod, decision.node_name)
        queue.done(pod.key)
        seconds.append(time.perf_counter() - start)
    total = time.perf_counter() - began
    seconds.sort()
    return Decided(len(seconds) / total, seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100])
