"""VolumeZone: a volume that is labelled with zones or regions goes only to nodes labelled with one of them.

Nodes without any such label take every volume: they are of a cluster that has no zones.
"""

from collections.abc import Iterator

import numpy as np

from kaa.api.objects import Object, labels_of
from kaa.scheduler.cluster_events import ClusterEvent, Event, always
from kaa.scheduler.derived import Ints, Rows
from kaa.scheduler.framework import Plugin, Rejection, reject_pod
from kaa.scheduler.plugins.claims import CLAIM, CLASS, VOLUME, named_claims, not_found, volume_name
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot

REASON = "node(s) had no available volume zone"
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
TOPOLOGY_LABELS = {
    "failure-domain.beta.kubernetes.io/zone": ZONE,
    "failure-domain.beta.kubernetes.io/region": REGION,
    ZONE: ZONE,
    REGION: REGION,
}
"""Each with its stable name, which a node may have where a volume has the old one."""


def zones_of(volume: Object) -> dict[str, frozenset[str]]:
    """By label, the values that will do: `a__b` means either. A label with an empty part says nothing."""
    found = {key: labels_of(volume)[key].split("__") for key in TOPOLOGY_LABELS if key in labels_of(volume)}
    return {key: frozenset(values) for key, values in found.items() if all(value.strip() for value in values)}


def bound_volumes(pod: PodInfo, snapshot: Snapshot) -> Iterator[tuple[str, Object | None]]:
    """The names of the volumes of the pod's claims, with the volumes."""
    for name in named_claims(pod):
        claim = snapshot.view.get(CLAIM, name, pod.namespace)
        if claim is not None and (bound_to := volume_name(claim)):
            yield bound_to, snapshot.view.get(VOLUME, bound_to)


def pre_reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    for name, volume in bound_volumes(pod, snapshot):
        if volume is None:
            yield reject_pod(snapshot, not_found("persistentvolume", name))
            return


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    wanted = [zones_of(volume) for _, volume in bound_volumes(pod, snapshot) if volume is not None]
    if any(wanted):
        zoned = snapshot.none()
        for key in TOPOLOGY_LABELS:
            zoned |= snapshot.domains(key).column >= 0
        wrong = snapshot.none()
        for zones in wanted:
            for key, values in zones.items():
                wrong |= ~rows_in(key, values, snapshot)
        yield Rejection(zoned & wrong, REASON, resolvable=False)


def rows_in(key: str, values: frozenset[str], snapshot: Snapshot) -> Rows:
    """Nodes whose label, or where they lack it the one of the stable name, has one of the values."""
    domains = snapshot.domains(key)
    named: Ints = np.array([domains.numbers[value] for value in values if value in domains.numbers], np.int64)
    rows: Rows = np.isin(domains.column, named)
    stable = TOPOLOGY_LABELS[key]
    return rows if stable == key else rows | ((domains.column < 0) & rows_in(stable, values, snapshot))


def is_its_claim(pod: PodInfo, event: Event) -> bool:
    claim = event.new
    if claim is None or claim["metadata"]["namespace"] != pod.namespace:
        return False
    return claim["metadata"]["name"] in named_claims(pod)


def changes_zones(pod: PodInfo, event: Event) -> bool:
    return event.new is not None and (event.old is None or zones_of(event.old) != zones_of(event.new))


def waits_for_nodes(pod: PodInfo, event: Event) -> bool:
    return event.old is None and event.new is not None and event.new.get("volumeBindingMode") == "WaitForFirstConsumer"


PLUGIN = Plugin(
    name="VolumeZone",
    pre_reject=pre_reject,
    reject=reject,
    helped_by={
        ClusterEvent.NODE_ADDED: always,
        ClusterEvent.NODE_LABELS: always,
        CLASS: waits_for_nodes,
        CLAIM: is_its_claim,
        VOLUME: changes_zones,
    },
)
