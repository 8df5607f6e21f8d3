"""VolumeRestrictions: a disk that only one node, or one pod, may use at a time.

- Disks that a pod names itself (GCE, EBS, iSCSI, RBD): no two pods of a node mount the same one, unless both only read.
- A claim with access mode ReadWriteOncePod: no node will do while another pod has it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kaa.api.objects import Object
from kaa.scheduler.cluster_events import ClusterEvent, Event, always
from kaa.scheduler.derived import Derived
from kaa.scheduler.framework import Plugin, Rejection, reject_pod
from kaa.scheduler.plugins.claims import CLAIM, named_claims, not_found
from kaa.scheduler.pod_info import Key, PodInfo
from kaa.scheduler.snapshot import Snapshot

NO_DISK = "node(s) had no available disk"
IN_USE = (
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
)


def same_rbd(mine: Object, theirs: Object) -> bool:
    pool, image = (mine.get(field) == theirs.get(field) for field in ("pool", "image"))
    return pool and image and not set(mine["monitors"]).isdisjoint(theirs["monitors"])


IS_SAME_DISK: Mapping[str, Callable[[Object, Object], bool]] = {
    "gcePersistentDisk": lambda mine, theirs: mine["pdName"] == theirs["pdName"],
    "awsElasticBlockStore": lambda mine, theirs: mine["volumeID"] == theirs["volumeID"],
    "iscsi": lambda mine, theirs: mine["iqn"] == theirs["iqn"],
    "rbd": same_rbd,
}
NEVER_SHARED = "awsElasticBlockStore"
"""Not even to read."""


def conflicts(mine: Object, theirs: Object) -> bool:
    """Whether two volumes of pods are one disk that they cannot share."""
    for source, is_same in IS_SAME_DISK.items():
        if source in mine and source in theirs and is_same(mine[source], theirs[source]):
            both_read = mine[source].get("readOnly") and theirs[source].get("readOnly")
            return source == NEVER_SHARED or not both_read
    return False


def disks(pod: PodInfo) -> list[Object]:
    return [volume for volume in pod.volumes if not IS_SAME_DISK.keys().isdisjoint(volume)]


class Users(Derived):
    """The bound pods that have a disk or a claim of their own choice, with their rows."""

    def __init__(self) -> None:
        self.of_disks: dict[Key, tuple[PodInfo, int]] = {}
        self.of_claims: dict[Key, dict[Key, int]] = {}  # (namespace, claim): pod: row

    def add_pod(self, pod: PodInfo, row: int) -> None:
        if disks(pod):
            self.of_disks[pod.key] = (pod, row)
        for name in named_claims(pod):
            self.of_claims.setdefault((pod.namespace, name), {})[pod.key] = row

    def remove_pod(self, pod: PodInfo, row: int) -> None:
        self.of_disks.pop(pod.key, None)
        for name in named_claims(pod):
            users = self.of_claims.get((pod.namespace, name), {})
            users.pop(pod.key, None)
            if not users:
                self.of_claims.pop((pod.namespace, name), None)


def users(snapshot: Snapshot) -> Users:
    return snapshot.derived("VolumeRestrictions", lambda size: Users())


def pre_reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    for name in named_claims(pod):
        if snapshot.view.get(CLAIM, name, pod.namespace) is None:
            yield reject_pod(snapshot, not_found("persistentvolumeclaim", name))
            return


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    busy = snapshot.none()
    if mine := disks(pod):
        for other, row in users(snapshot).of_disks.values():
            busy[row] |= any(conflicts(volume, theirs) for volume in mine for theirs in disks(other))
        yield Rejection(busy, NO_DISK)
    if any(is_used_alone(name, pod, snapshot) for name in named_claims(pod)):
        yield Rejection(snapshot.present & ~busy, IN_USE)


def is_used_alone(name: str, pod: PodInfo, snapshot: Snapshot) -> bool:
    """Whether the claim is for one pod at a time, and has one."""
    claim: Any = snapshot.view.get(CLAIM, name, pod.namespace)
    if claim is None or "ReadWriteOncePod" not in (claim["spec"].get("accessModes") or ()):
        return False
    return any(snapshot.present[row] for row in users(snapshot).of_claims.get((pod.namespace, name), {}).values())


def frees_what_it_wants(pod: PodInfo, event: Event) -> bool:
    gone = event.pod
    if gone is None or gone.namespace != pod.namespace:
        return False
    if set(named_claims(pod)) & set(named_claims(gone)):
        return True
    return any(conflicts(mine, theirs) for mine in disks(pod) for theirs in disks(gone))


def is_its_claim(pod: PodInfo, event: Event) -> bool:
    claim = event.new
    if event.old is not None or claim is None or claim["metadata"]["namespace"] != pod.namespace:
        return False
    return claim["metadata"]["name"] in named_claims(pod)


PLUGIN = Plugin(
    name="VolumeRestrictions",
    pre_reject=pre_reject,
    reject=reject,
    helped_by={
        ClusterEvent.NODE_ADDED: always,
        ClusterEvent.POD_GONE: frees_what_it_wants,
        CLAIM: is_its_claim,
    },
)
