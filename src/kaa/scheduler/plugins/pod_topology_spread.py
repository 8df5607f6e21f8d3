"""PodTopologySpread: pods that a constraint selects are spread over the domains of a node label.

Skew of a domain: its matching pods (with this one) less those of the emptiest domain. A hard constraint rejects the
domains whose skew would exceed `maxSkew`, and nodes without the label. Domains and pods count only on nodes that the
pod could go to, as the constraint's policies say; fewer domains than `minDomains` make the emptiest count 0. Soft
constraints score: the fewer matching pods, the better; small topologies weigh less. Pods being deleted do not count.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kaa.scheduler.cluster_events import ClusterEvent, Event, always
from kaa.scheduler.derived import Ints, PodsThat, Rows, Scores
from kaa.scheduler.framework import MAX_SCORE, Plugin, Reject, Rejection, Score
from kaa.scheduler.plugins.node_affinity import matching
from kaa.scheduler.plugins.shape import rounded
from kaa.scheduler.plugins.spread_defaults import HOSTNAME, READS, SYSTEM, constraints_of, for_pod
from kaa.scheduler.plugins.taint_toleration import untolerated
from kaa.scheduler.pod_info import PodInfo, SpreadConstraint
from kaa.scheduler.snapshot import Snapshot

REASON = "node(s) didn't match pod topology spread constraints"
NO_LABEL = f"{REASON} (missing required label)"


def reject_with(defaults: Sequence[SpreadConstraint]) -> Reject:
    by_default = [constraint for constraint in defaults if constraint.hard]

    def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
        hard = [constraint for constraint in pod.spread if constraint.hard]
        if not pod.spread:
            hard = for_pod(by_default, pod, snapshot)
        if not hard:
            return
        labelled = has_labels(hard, snapshot)
        unlabelled, skewed, left = snapshot.none(), snapshot.none(), snapshot.present.copy()
        for constraint in hard:  # the first that a node violates is the reason
            unlabelled |= left & (snapshot.domains(constraint.topology_key).column < 0)
            skewed |= left & ~unlabelled & too_skewed(constraint, pod, snapshot, labelled)
            left &= ~unlabelled & ~skewed
        yield Rejection(unlabelled, NO_LABEL, resolvable=False)
        yield Rejection(skewed, REASON)

    return reject


def has_labels(constraints: Sequence[SpreadConstraint], snapshot: Snapshot) -> Rows:
    """All labels of all the constraints."""
    rows = snapshot.present.copy()
    for constraint in constraints:
        rows &= snapshot.domains(constraint.topology_key).column >= 0
    return rows


def too_skewed(constraint: SpreadConstraint, pod: PodInfo, snapshot: Snapshot, labelled: Rows) -> Rows:
    domains = snapshot.domains(constraint.topology_key)
    eligible = eligible_rows(constraint, pod, snapshot) & labelled
    totals = domains.totals(count_of(constraint, pod, snapshot), eligible)
    existing = domains.totals(np.ones(snapshot.size, np.int64), eligible) > 0
    found = int(np.count_nonzero(existing))
    emptiest = int(totals[existing].min()) if found >= constraint.min_domains and found else 0
    own = int(constraint.selector.matches(pod.labels))
    return domains.spread(totals + own - emptiest) > constraint.max_skew


def eligible_rows(constraint: SpreadConstraint, pod: PodInfo, snapshot: Snapshot) -> Rows:
    rows = snapshot.present.copy()
    if constraint.honour_affinity:
        rows &= matching(pod, snapshot)
    if constraint.honour_taints:
        rows &= ~untolerated(pod, snapshot)
    return rows


def count_of(constraint: SpreadConstraint, pod: PodInfo, snapshot: Snapshot) -> Ints:
    """A selector that selects everything counts nothing, as upstream's."""
    if constraint.selector.matches_everything:
        return np.zeros(snapshot.size, np.int64)
    return snapshot.count_of(PodsThat(constraint.selector, frozenset({pod.namespace}), staying=True))


def score_with(defaults: Sequence[SpreadConstraint]) -> Score:
    by_default = [constraint for constraint in defaults if not constraint.hard]
    is_system = defaults is SYSTEM

    def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
        soft = [constraint for constraint in pod.spread if not constraint.hard]
        if pod.spread or not is_system:
            soft = soft if pod.spread else for_pod(by_default, pod, snapshot)
            labelled = has_labels(soft, snapshot)
        else:
            # The system's constraints also spread over hosts in a cluster without zones.
            soft, labelled = for_pod(by_default, pod, snapshot), snapshot.present
        return evenness(crowding(soft, labelled, pod, snapshot, rows), labelled & rows) if soft else None

    return score


def crowding(soft: Sequence[SpreadConstraint], labelled: Rows, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores:
    """How many matching pods are near each node. A topology of few domains has large counts: it weighs less."""
    considered = labelled & rows
    total: Scores = np.zeros(snapshot.size)
    for constraint in soft:
        domains = snapshot.domains(constraint.topology_key)
        counts = count_of(constraint, pod, snapshot)
        if constraint.topology_key == HOSTNAME:
            size = int(np.count_nonzero(considered))
        else:
            eligible = eligible_rows(constraint, pod, snapshot) & labelled
            counts = domains.spread(domains.totals(counts, eligible))
            size = len(np.unique(domains.column[considered]))
        near = counts * math.log(size + 2) + (constraint.max_skew - 1)
        total += np.where(domains.column >= 0, near, 0.0)
    return rounded(total)


def evenness(total: Scores, considered: Rows) -> Scores | None:
    """The least crowded nodes are best; what lacks a label is worst."""
    if not considered.any():
        return None
    least, most = float(total[considered].min()), float(total[considered].max())
    if most == 0:
        return np.where(considered, MAX_SCORE, 0.0)
    return np.where(considered, np.floor(MAX_SCORE * (most + least - total) / most), 0.0)


def shifts_the_balance(pod: PodInfo, event: Event) -> bool:
    """Of a pod that came, went or changed: whether a constraint may mean it."""
    other = event.pod
    if other is None or not pod.spread:
        return True
    return other.namespace == pod.namespace and any(
        constraint.hard and constraint.selector.matches(other.labels) for constraint in pod.spread
    )


def make(args: Mapping[str, Any]) -> Plugin:
    """PodTopologySpreadArgs."""
    defaults = constraints_of(args)
    return Plugin(
        name="PodTopologySpread",
        reject=reject_with(defaults),
        score=score_with(defaults),
        weight=2,
        reads=READS if defaults else (),
        helped_by={
            ClusterEvent.NODE_ADDED: always,
            ClusterEvent.NODE_LABELS: always,
            ClusterEvent.NODE_TAINTS: always,
            ClusterEvent.POD_BOUND: shifts_the_balance,
            ClusterEvent.POD_CHANGED: always,
            ClusterEvent.POD_GONE: shifts_the_balance,
        },
    )
