"""NodeResourcesFit: room for what the pod requests; how full nodes are scores, by one of three strategies.

LeastAllocated spreads pods out, MostAllocated packs them, RequestedToCapacityRatio follows a line that is given. A
node's score is the mean over resources, by their weights; a resource that a node does not have is left out.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from kaa.api.objects import Object
from kaa.scheduler.cluster_events import ClusterEvent, Event
from kaa.scheduler.derived import Rows, Scores
from kaa.scheduler.framework import MAX_SCORE, Depends, Plugin, Reject, Rejection, Score
from kaa.scheduler.plugins.resource_columns import uses, weights_of
from kaa.scheduler.plugins.shape import Shape, percent_used, rounded
from kaa.scheduler.pod_info import PodInfo, amounts
from kaa.scheduler.snapshot import Snapshot

NAME = "NodeResourcesFit"
TOO_MANY_PODS = "Too many pods"
NATIVE = "kubernetes.io/"
"""Resources with this in their name, and those without a domain, are never ignored."""


def reject_but(ignored: frozenset[str], ignored_groups: frozenset[str]) -> Reject:
    def is_ignored(resource: str) -> bool:
        group, separator, _ = resource.partition("/")
        return bool(separator) and NATIVE not in resource and (resource in ignored or group in ignored_groups)

    def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
        yield Rejection(snapshot.pod_count + 1 > snapshot.pod_limit, TOO_MANY_PODS)
        for resource, amount in pod.requests.items():
            if is_ignored(resource):
                continue
            place = snapshot.resources.get(resource)
            if place is None:
                yield Rejection(snapshot.present, f"Insufficient {resource}", resolvable=False)
                continue
            allocatable = snapshot.allocatable[place]
            short = amount > allocatable - snapshot.requested[place]
            # What is more than the whole node has, no preemption can free.
            too_large = amount > allocatable
            yield Rejection(short & too_large, f"Insufficient {resource}", resolvable=False)
            yield Rejection(short & ~too_large, f"Insufficient {resource}")

    return reject


Strategy: TypeAlias = Callable[[Scores, Scores], Scores]
"""Of what would be in use, and what there is (never 0), to a score."""


def least_allocated(requested: Scores, allocatable: Scores) -> Scores:
    return np.where(requested > allocatable, 0.0, np.floor((allocatable - requested) * MAX_SCORE / allocatable))


def most_allocated(requested: Scores, allocatable: Scores) -> Scores:
    score: Scores = np.floor(np.minimum(requested, allocatable) * MAX_SCORE / allocatable)
    return score


STRATEGIES: Mapping[str, Strategy] = {"LeastAllocated": least_allocated, "MostAllocated": most_allocated}
RATIO = "RequestedToCapacityRatio"


def score_by(strategy: Mapping[str, Any]) -> Score:
    """A ScoringStrategy. Division of floats is exact enough here: a quotient is at most 100, a node below 64 TiB."""
    kind = strategy.get("type", "LeastAllocated")
    weights = weights_of(strategy.get("resources"))
    is_ratio = kind == RATIO
    of_resource = by_ratio(strategy["requestedToCapacityRatio"]["shape"]) if is_ratio else STRATEGIES[kind]

    def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
        total: Scores = np.zeros(snapshot.size)
        weight: Scores = np.zeros(snapshot.size)
        for use in uses(pod, snapshot, weights, as_requested=False):
            there = use.allocatable > 0
            scores = of_resource((use.in_use + use.wanted).astype(float), np.maximum(use.allocatable, 1).astype(float))
            counted = there & (scores > 0) if is_ratio else there
            total += np.where(counted, scores * use.weight, 0.0)
            weight += np.where(counted, use.weight, 0)
        mean = total / np.maximum(weight, 1)
        return rounded(mean) if is_ratio else np.floor(mean)

    return score


def by_ratio(points: list[Object]) -> Strategy:
    shape = Shape(points)
    return lambda requested, allocatable: shape(percent_used(requested, allocatable))


def frees_what_it_wants(pod: PodInfo, event: Event) -> bool:
    """Any pod's place counts, and what it requested, if this one wants that."""
    return event.pod is None or event.pod.uid != pod.uid


def fits_now(pod: PodInfo, event: Event) -> bool:
    """Whether an empty node of this size would do, and more of something that the pod wants is there than before."""
    if event.new is None:
        return True
    now = room_of(event.new)
    if any(amount > now.get(resource, 0) for resource, amount in pod.requests.items()) or not now.get("pods"):
        return False
    before = room_of(event.old) if event.old is not None else {}
    return any(now.get(resource, 0) > before.get(resource, 0) for resource in (*pod.requests, "pods"))


def room_of(node: Object) -> dict[str, int]:
    status = node.get("status") or {}
    return amounts(status.get("allocatable") or status.get("capacity"))


def make(args: Mapping[str, Any]) -> Plugin:
    """NodeResourcesFitArgs."""
    ignored, groups = (frozenset(args.get(name) or ()) for name in ("ignoredResources", "ignoredResourceGroups"))
    return Plugin(
        name=NAME,
        reject=reject_but(ignored, groups),
        score=score_by(args.get("scoringStrategy") or {}),
        depends=Depends.NODE_AND_ITS_PODS,
        helped_by={
            ClusterEvent.NODE_ADDED: fits_now,
            ClusterEvent.NODE_ALLOCATABLE: fits_now,
            ClusterEvent.POD_GONE: frees_what_it_wants,
            ClusterEvent.POD_CHANGED: frees_what_it_wants,
        },
    )
