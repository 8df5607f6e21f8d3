"""InterPodAffinity: pods near to, or apart from, other pods; "near" is an equal value of a node label.

Three required rules, in the order that reasons are given: the pod's own affinity (every term has a matching pod in the
domain; a pod that matches its own terms may be the first of its kind), its own anti-affinity, and the anti-affinity of
pods that are bound already. Preferred rules of both sides score.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kaa.scheduler.cluster_events import ClusterEvent, Event, always
from kaa.scheduler.derived import Ints, PodsThat, PodsThatAll, Rows, Scores
from kaa.scheduler.framework import MAX_SCORE, Plugin, Rejection, Score
from kaa.scheduler.pod_info import PodInfo, PodTerm
from kaa.scheduler.snapshot import Snapshot

HARD_AFFINITY_WEIGHT = 1


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    if pod.affinity:
        rows = ~near_all(pod, snapshot)
        yield Rejection(rows, "node(s) didn't match pod affinity rules", resolvable=False)
        rejected = rows
    else:
        rejected = snapshot.none()
    if pod.anti_affinity:
        rows = snapshot.none()
        for term in pod.anti_affinity:
            rows |= pods_near(term, snapshot) > 0
        yield Rejection(rows & ~rejected, "node(s) didn't match pod anti-affinity rules")
        rejected = rejected | rows
    rows = kept_away(pod, snapshot)
    if rows.any():
        yield Rejection(rows & ~rejected, "node(s) didn't satisfy existing pods anti-affinity rules")


def pods_near(term: PodTerm, snapshot: Snapshot) -> Ints:
    """How many pods that the term means are in each node's domain; 0 where the node has none."""
    counts = snapshot.count_of(PodsThat(term.selector, snapshot.namespaces_of(term)))
    return _by_domain(term.topology_key, counts, snapshot)


def _by_domain(topology_key: str, per_node: Ints, snapshot: Snapshot) -> Ints:
    domains = snapshot.domains(topology_key)
    return domains.spread(domains.totals(per_node, snapshot.present))


def near_all(pod: PodInfo, snapshot: Snapshot) -> Rows:
    """The nodes that satisfy the pod's required affinity. A matching pod is one that all the terms mean."""
    namespaces = [snapshot.namespaces_of(term) for term in pod.affinity]
    together = _common_count(pod, snapshot, namespaces)
    labelled = snapshot.present.copy()
    near = snapshot.present.copy()
    found = False
    for term in pod.affinity:
        labelled &= snapshot.domains(term.topology_key).column >= 0
        counts = _by_domain(term.topology_key, together, snapshot)
        found = found or bool(counts.any())
        near &= counts > 0
    first_of_its_kind = not found and all(snapshot.concerns(term, pod) for term in pod.affinity)
    return labelled if first_of_its_kind else near


def _common_count(pod: PodInfo, snapshot: Snapshot, namespaces: list[frozenset[str] | None]) -> Ints:
    """Pods a node that every required affinity term means."""
    if len(pod.affinity) == 1:
        return snapshot.count_of(PodsThat(pod.affinity[0].selector, namespaces[0]))
    wanted = (PodsThat(term.selector, names) for term, names in zip(pod.affinity, namespaces, strict=True))
    return snapshot.count_of(PodsThatAll(tuple(wanted)))


def kept_away(pod: PodInfo, snapshot: Snapshot) -> Rows:
    rows = snapshot.none()
    for rule in snapshot.rules.about(pod):
        if rule.weight == 0 and snapshot.concerns(rule.term, pod):
            column = snapshot.rules.column(rule, snapshot.size)
            rows |= _by_domain(rule.term.topology_key, column, snapshot) > 0
    return rows


def score_with(hard_weight: int, *, ignore_others: bool) -> Score:
    """`hard_weight`: of required affinities of bound pods. `ignore_others`: for pods that prefer nothing themselves."""

    def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
        if ignore_others and not pod.preferred_affinity and not pod.preferred_anti_affinity:
            return None
        return relative(attraction(pod, snapshot, hard_weight), rows)

    return score


def attraction(pod: PodInfo, snapshot: Snapshot, hard_weight: int) -> Ints:
    """The sum of the weights of all preferences of both sides that hold on a node."""
    total: Ints = np.zeros(snapshot.size, np.int64)
    for entry in pod.preferred_affinity:
        total += entry.weight * pods_near(entry.term, snapshot)
    for entry in pod.preferred_anti_affinity:
        total -= entry.weight * pods_near(entry.term, snapshot)
    for rule in snapshot.rules.about(pod):
        weight = hard_weight if rule.weight is None else rule.weight
        if weight and snapshot.concerns(rule.term, pod):
            column = snapshot.rules.column(rule, snapshot.size)
            total += weight * _by_domain(rule.term.topology_key, column, snapshot)
    return total


def relative(total: Ints, rows: Rows) -> Scores | None:
    """From 0 for the least attractive of the rows to 100 for the most."""
    least, most = int(total[rows].min()), int(total[rows].max())
    if most == least:
        return None
    scores: Scores = np.floor(MAX_SCORE * ((total - least) / (most - least)))
    return scores


def may_mean(term: PodTerm, other: PodInfo) -> bool:
    """Namespaces that are chosen by their labels are not looked at: any may be."""
    named = other.namespace in term.namespaces or term.namespace_selector is not None
    return named and term.selector.matches(other.labels)


def draws_near(pod: PodInfo, event: Event) -> bool:
    other = event.pod
    return other is None or (bool(pod.affinity) and all(may_mean(term, other) for term in pod.affinity))


def stays_away_no_more(pod: PodInfo, event: Event) -> bool:
    other = event.pod
    if other is None:
        return True
    apart = any(may_mean(term, other) for term in pod.anti_affinity)
    # The last of those that the pod wants to be near is gone: now it may be the first of its kind.
    return apart or any(may_mean(term, pod) for term in other.anti_affinity) or draws_near(pod, event)


def chooses_namespaces(pod: PodInfo, event: Event) -> bool:
    return any(term.namespace_selector is not None for term in (*pod.affinity, *pod.anti_affinity))


def make(args: Mapping[str, Any]) -> Plugin:
    """InterPodAffinityArgs."""
    ignore_others = bool(args.get("ignorePreferredTermsOfExistingPods"))
    return Plugin(
        name="InterPodAffinity",
        reject=reject,
        score=score_with(args.get("hardPodAffinityWeight", HARD_AFFINITY_WEIGHT), ignore_others=ignore_others),
        weight=2,
        helped_by={
            ClusterEvent.NODE_ADDED: always,
            ClusterEvent.NODE_LABELS: always,
            ClusterEvent.POD_BOUND: draws_near,
            ClusterEvent.POD_CHANGED: always,
            ClusterEvent.POD_GONE: stays_away_no_more,
            ClusterEvent.NAMESPACE_CHANGED: chooses_namespaces,
        },
    )
