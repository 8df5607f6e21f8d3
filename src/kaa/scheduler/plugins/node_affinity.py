"""NodeAffinity: the nodes that the pod's nodeSelector and required node affinity name; preferred ones score.

`addedAffinity` is one that a configuration gives to all pods of a profile, besides their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kaa.api.objects import Object
from kaa.api.selectors import Requirement
from kaa.scheduler.cluster_events import ClusterEvent, Event
from kaa.scheduler.derived import Ints, Rows, Scores
from kaa.scheduler.framework import Depends, Plugin, Reject, Rejection, Score, normalize, reject_pod
from kaa.scheduler.plugins.node_selector import (
    holds_for,
    names_in,
    rows_of_requirements,
    rows_of_term,
    rows_of_terms,
)
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot

NAME = "NodeAffinity"
REASON = "node(s) didn't match Pod's node affinity/selector"
ENFORCED = "node(s) didn't match scheduler-enforced node affinity"
CONFLICT = "pod affinity terms conflict"
OTHER_NODES = f"node(s) didn't satisfy plugin(s) [{NAME}]"


def required_terms(affinity: Mapping[str, Any]) -> Sequence[Object] | None:
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required["nodeSelectorTerms"] if required else None


def preferred_terms(affinity: Mapping[str, Any]) -> Sequence[Object]:
    return affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()


def pre_reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    """A pod that names its nodes, as those of DaemonSets do, is not asked about the others at all."""
    named = nodes_named(pod)
    if named is None:
        return
    if not named:
        yield reject_pod(snapshot, CONFLICT)
        return
    others = snapshot.present.copy()
    others[[snapshot.row_of[name] for name in named if name in snapshot.row_of]] = False
    yield Rejection(others, OTHER_NODES, resolvable=False)


def nodes_named(pod: PodInfo) -> frozenset[str] | None:
    """None unless every one of the alternatives names nodes."""
    terms = required_terms(pod.node_affinity)
    if not terms:
        return None
    named: frozenset[str] = frozenset()
    for term in terms:
        names = names_in(term)
        if names is None:
            return None
        named |= names
    return named


def matching(pod: PodInfo, snapshot: Snapshot) -> Rows:
    """The nodes that the pod may go to by its own wish."""
    rows = rows_of_requirements(selector_of(pod), snapshot)
    terms = required_terms(pod.node_affinity)
    return rows if terms is None else rows & rows_of_terms(terms, snapshot)


def selector_of(pod: PodInfo) -> list[Requirement]:
    return [Requirement(key, "=", (value,)) for key, value in pod.node_selector.items()]


def reject_with(added: Mapping[str, Any]) -> Reject:
    enforced = required_terms(added)

    def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
        elsewhere = snapshot.none()
        if enforced is not None:
            elsewhere = ~rows_of_terms(enforced, snapshot)
            yield Rejection(elsewhere, ENFORCED, resolvable=False)
        if pod.node_selector or required_terms(pod.node_affinity) is not None:
            yield Rejection(~matching(pod, snapshot) & ~elsewhere, REASON, resolvable=False)

    return reject


def score_with(added: Mapping[str, Any]) -> Score:
    by_default = preferred_terms(added)

    def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
        preferred = [*by_default, *preferred_terms(pod.node_affinity)]
        if not preferred:
            return None
        total: Ints = np.zeros(snapshot.size, np.int64)
        for entry in preferred:
            total += entry["weight"] * rows_of_term(entry["preference"], snapshot)
        return normalize(total, rows)

    return score


def matches_now(pod: PodInfo, event: Event) -> bool:
    """Whether the node matches, and did not before. What is enforced beside is not looked at."""
    if event.new is None:
        return True
    return fits_node(pod, event.new) and (event.old is None or not fits_node(pod, event.old))


def fits_node(pod: PodInfo, node: Object) -> bool:
    labels, name = node["metadata"].get("labels") or {}, node["metadata"]["name"]
    terms = required_terms(pod.node_affinity)
    return all(labels.get(key) == value for key, value in pod.node_selector.items()) and (
        terms is None or holds_for(terms, labels, name)
    )


def make(args: Mapping[str, Any]) -> Plugin:
    """NodeAffinityArgs."""
    added: Mapping[str, Any] = args.get("addedAffinity") or {}
    return Plugin(
        name=NAME,
        pre_reject=pre_reject,
        reject=reject_with(added),
        score=score_with(added),
        weight=2,
        depends=Depends.NODES,
        helped_by=dict.fromkeys((ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS), matches_now),
    )
