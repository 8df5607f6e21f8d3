"""NodeVolumeLimits: no more volumes of a CSI driver on a node than it says that it takes (its CSINode).

A driver may also ask that its volumes' pods do not come to nodes where it is not installed.
"""

from collections.abc import Iterator

import numpy as np

from kaa.scheduler.cluster_events import ClusterEvent, Event, always
from kaa.scheduler.derived import Ints
from kaa.scheduler.framework import Plugin, Rejection
from kaa.scheduler.plugins.attached_volumes import (
    ATTACHMENT,
    CSI_NODE,
    NOT_INSTALLED,
    Volume,
    attached_volumes,
    drivers_of,
    volume_of,
)
from kaa.scheduler.plugins.claims import CLAIM, CLASS, VOLUME, claim_names
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot

DRIVER = "CSIDriver"
REASON = "node(s) exceed max volume count"


def volumes_wanted(pod: PodInfo, snapshot: Snapshot) -> set[Volume]:
    view = snapshot.view
    found = (volume_of(view.get(CLAIM, wanted.name, pod.namespace), view) for wanted in claim_names(pod))
    return {volume for volume in found if volume is not None}


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    wanted = volumes_wanted(pod, snapshot)
    if not wanted:
        return
    attached, missing = attached_volumes(snapshot), snapshot.none()
    drivers = sorted({volume.driver for volume in wanted})
    for driver in drivers:
        if must_be_installed(driver, snapshot):
            lacking = snapshot.present & ~missing & (attached.limit(driver) == NOT_INSTALLED)
            missing |= lacking
            yield Rejection(lacking, f"{driver} CSI driver is not installed on the node")
    full = snapshot.none()
    for driver in drivers:
        more = additional(driver, wanted, snapshot)
        limit = attached.limit(driver)
        full |= (limit >= 0) & (more > 0) & (attached.count(driver) + more > limit)
    yield Rejection(full & ~missing, REASON)


def must_be_installed(driver: str, snapshot: Snapshot) -> bool:
    found = snapshot.view.get(DRIVER, driver)
    return found is not None and bool(found["spec"].get("preventPodSchedulingIfMissing"))


def additional(driver: str, wanted: set[Volume], snapshot: Snapshot) -> Ints:
    """How many of the volumes are not yet at each node."""
    attached = attached_volumes(snapshot)
    of_driver = [volume for volume in wanted if volume.driver == driver]
    more: Ints = np.full(snapshot.size, len(of_driver), np.int64)
    for volume in of_driver:
        more[attached.rows_using(volume)] -= 1
    return more


def has_claims(pod: PodInfo, event: Event) -> bool:
    return event.pod is None or next(claim_names(event.pod), None) is not None


def raises_a_limit(pod: PodInfo, event: Event) -> bool:
    if event.new is None:
        return False
    before = drivers_of(event.old) if event.old is not None else {}
    return any(limit != before.get(driver) for driver, limit in drivers_of(event.new).items())


def is_its_claim(pod: PodInfo, event: Event) -> bool:
    claim = event.new
    if claim is None or claim["metadata"]["namespace"] != pod.namespace:
        return False
    return claim["metadata"]["name"] in {wanted.name for wanted in claim_names(pod)}


def is_gone(pod: PodInfo, event: Event) -> bool:
    return event.new is None


PLUGIN = Plugin(
    name="NodeVolumeLimits",
    reject=reject,
    reads=(VOLUME, CLASS, DRIVER),
    helped_by={
        ClusterEvent.NODE_ADDED: always,
        ClusterEvent.POD_GONE: has_claims,
        CSI_NODE: raises_a_limit,
        CLAIM: is_its_claim,
        ATTACHMENT: is_gone,
    },
)
