"""InterPodAffinity: pods near to, or apart from, other pods; "near" is an equal value of a node label.

Three required rules, in the order that reasons are given: the pod's own affinity (every term has a matching pod in the
domain; a pod that matches its own terms may be the first of its kind), its own anti-affinity, and the anti-affinity of
pods that are bound already. Preferred rules of both sides score.
"""

from collections.abc import Iterator

import numpy as np

from kaa.scheduler.cluster_events import ClusterEvent, helped_by
from kaa.scheduler.derived import Ints, PodsThat, Rows, Scores
from kaa.scheduler.framework import MAX_SCORE, Plugin, Rejection
from kaa.scheduler.pod_info import PodInfo, PodTerm
from kaa.scheduler.snapshot import Snapshot


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
    wanted = [PodsThat(term.selector, names) for term, names in zip(pod.affinity, namespaces, strict=True)]
    counts: Ints = np.zeros(snapshot.size, np.int64)
    for other, row in snapshot.pods.values():
        counts[row] += all(pods_that.holds(other) for pods_that in wanted)
    return counts


def kept_away(pod: PodInfo, snapshot: Snapshot) -> Rows:
    rows = snapshot.none()
    for rule, where in snapshot.rules:
        if rule.weight == 0 and snapshot.concerns(rule.term, pod):
            column = snapshot.rules.column(where, snapshot.size)
            rows |= _by_domain(rule.term.topology_key, column, snapshot) > 0
    return rows


def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
    total: Ints = np.zeros(snapshot.size, np.int64)
    for entry in pod.preferred_affinity:
        total += entry.weight * pods_near(entry.term, snapshot)
    for entry in pod.preferred_anti_affinity:
        total -= entry.weight * pods_near(entry.term, snapshot)
    for rule, where in snapshot.rules:
        if rule.weight and snapshot.concerns(rule.term, pod):
            column = snapshot.rules.column(where, snapshot.size)
            total += rule.weight * _by_domain(rule.term.topology_key, column, snapshot)
    if not total.any():
        return None
    least, most = int(total[rows].min()), int(total[rows].max())
    if most == least:
        return None
    scores: Scores = np.floor(MAX_SCORE * (total - least) / (most - least))
    return scores


PLUGIN = Plugin(
    name="InterPodAffinity",
    reject=reject,
    score=score,
    weight=2,
    helped_by=helped_by(
        ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS, ClusterEvent.POD_BOUND, ClusterEvent.POD_GONE
    ),
)
