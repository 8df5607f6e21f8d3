"""PodTopologySpread: pods that a constraint selects are spread over the domains of a node label.

Skew of a domain: its matching pods (with this one) less those of the emptiest domain. A hard constraint rejects the
domains whose skew would exceed `maxSkew`, and nodes without the label. Domains and pods count only on nodes that the
pod could go to, as the constraint's policies say; fewer domains than `minDomains` make the emptiest count 0. Soft
constraints score: the fewer matching pods, the better; small topologies weigh less.
"""

from collections.abc import Iterator

import numpy as np

from kaa.scheduler.cluster_events import ClusterEvent, helped_by
from kaa.scheduler.derived import Ints, PodsThat, Rows, Scores
from kaa.scheduler.framework import MAX_SCORE, Plugin, Rejection
from kaa.scheduler.plugins.node_affinity import matching
from kaa.scheduler.plugins.taint_toleration import untolerated
from kaa.scheduler.pod_info import PodInfo, SpreadConstraint
from kaa.scheduler.snapshot import Snapshot

HOSTNAME = "kubernetes.io/hostname"


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    hard = [constraint for constraint in pod.spread if constraint.hard]
    if not hard:
        return
    unlabelled = snapshot.none()
    for constraint in hard:
        unlabelled |= snapshot.domains(constraint.topology_key).column < 0
    yield Rejection(
        unlabelled, "node(s) didn't match pod topology spread constraints (missing required label)", resolvable=False
    )
    skewed = snapshot.none()
    for constraint in hard:
        skewed |= too_skewed(constraint, pod, snapshot, ~unlabelled)
    yield Rejection(skewed & ~unlabelled, "node(s) didn't match pod topology spread constraints")


def too_skewed(constraint: SpreadConstraint, pod: PodInfo, snapshot: Snapshot, labelled: Rows) -> Rows:
    domains = snapshot.domains(constraint.topology_key)
    eligible = eligible_rows(constraint, pod, snapshot) & labelled
    totals = domains.totals(count_of(constraint, pod, snapshot), eligible)
    existing = domains.totals(np.ones(snapshot.size, np.int64), eligible) > 0
    found = int(existing.sum())
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
    return snapshot.count_of(PodsThat(constraint.selector, frozenset({pod.namespace})))


def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
    soft = [constraint for constraint in pod.spread if not constraint.hard]
    if not soft:
        return None
    crowding: Scores = np.zeros(snapshot.size)
    labelled = rows.copy()
    for constraint in soft:
        labelled &= snapshot.domains(constraint.topology_key).column >= 0
    for constraint in soft:
        domains = snapshot.domains(constraint.topology_key)
        eligible = eligible_rows(constraint, pod, snapshot)
        totals = domains.totals(count_of(constraint, pod, snapshot), eligible)
        size = int(labelled.sum()) if constraint.topology_key == HOSTNAME else len(set(domains.column[labelled]))
        # A topology of few domains has large counts; the weight makes them comparable.
        crowding += domains.spread(totals) * np.log(size + 2) + (constraint.max_skew - 1)
    if not labelled.any():
        return None
    crowding = np.round(crowding)
    least, most = float(crowding[labelled].min()), float(crowding[labelled].max())
    if most == 0:
        return np.where(labelled, MAX_SCORE, 0.0)
    return np.where(labelled, np.floor(MAX_SCORE * (most + least - crowding) / most), 0.0)


PLUGIN = Plugin(
    name="PodTopologySpread",
    reject=reject,
    score=score,
    weight=2,
    helped_by=helped_by(
        ClusterEvent.NODE_ADDED, ClusterEvent.NODE_LABELS, ClusterEvent.POD_BOUND, ClusterEvent.POD_GONE
    ),
)
