"""How many volumes of each CSI driver are at every node, and how many may be: columns that follow every change.

A volume is at a node because a pod there has a claim on it, or because a VolumeAttachment says so; it counts once. A
claim without a volume yet counts as one of its class's driver. Volumes of other than CSI drivers are not counted.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from kaa.api.objects import Object, name_of, namespace_of
from kaa.api.volume_binding import claim_key, class_of
from kaa.scheduler.derived import Derived, Ints
from kaa.scheduler.plugins.claims import CLAIM, CLASS, VOLUME, claim_names, volume_name
from kaa.scheduler.pod_info import Key, PodInfo
from kaa.scheduler.snapshot import Snapshot, View

ATTACHMENT = "VolumeAttachment"
CSI_NODE = "CSINode"
NO_LIMIT = -1
NOT_INSTALLED = -2


class Volume(NamedTuple):
    driver: str
    handle: str


class Place(NamedTuple):
    row: int
    volume: Volume


def volume_of(claim: Object | None, view: View) -> Volume | None:
    """The volume that a claim has or will have; None if no CSI driver has to do with it."""
    if claim is None:
        return None
    volume = view.get(VOLUME, volume_name(claim)) if volume_name(claim) else None
    if volume is not None:
        csi = volume["spec"].get("csi")
        return None if csi is None else Volume(csi["driver"], csi["volumeHandle"])
    storage_class = view.get(CLASS, class_of(claim)) if class_of(claim) else None
    if storage_class is None:
        return None
    return Volume(storage_class["provisioner"], f"claim {namespace_of(claim)}/{name_of(claim)}")


class AttachedVolumes(Derived):
    """Bounded by the claims of bound pods, and the attachments there are."""

    def __init__(self, snapshot: Snapshot, size: int) -> None:
        self._snapshot = snapshot
        self._view = snapshot.view
        self._size = size
        self._rows: dict[Key, dict[int, int]] = {}  # claim: row: pods
        self._volumes: dict[Key, Volume | None] = {}  # of those claims
        self._claims: dict[Volume, set[Key]] = {}  # the same from the other side
        self._by_claims: dict[Place, int] = {}  # how many claims of pods
        self._by_attachments: dict[Place, int] = {}
        self._attachments: dict[str, Place] = {}
        self._counts: dict[str, Ints] = {}
        self._limits: dict[str, Ints] = {}  # made when asked for, from all CSINodes
        for attachment in self._view.list(ATTACHMENT):
            self._attach(attachment)

    def rows_using(self, volume: Volume) -> list[int]:
        """Where pods have the volume; an attachment alone is no use."""
        return list({row for key in self._claims.get(volume, ()) for row in self._rows[key]})

    def count(self, driver: str) -> Ints:
        """Volumes at each node. To be read, not changed."""
        if driver not in self._counts:
            self._counts[driver] = np.zeros(self._size, np.int64)
        return self._counts[driver]

    def limit(self, driver: str) -> Ints:
        """How many volumes each node takes, NO_LIMIT or NOT_INSTALLED."""
        if driver not in self._limits:
            self._limits[driver] = np.full(self._size, NOT_INSTALLED, np.int64)
            for node in self._view.list(CSI_NODE):
                row = self._snapshot.row_of.get(name_of(node))
                if row is not None and driver in (drivers := drivers_of(node)):
                    self._limits[driver][row] = drivers[driver]
        return self._limits[driver]

    # Changes

    def grow(self, size: int) -> None:
        self._size = size
        self._limits.clear()
        for driver, column in self._counts.items():
            self._counts[driver] = np.concatenate([column, np.zeros(size - len(column), np.int64)])

    def set_node(self, row: int, node: Object) -> None:
        self._limits.clear()
        for attachment in self._view.list(ATTACHMENT):
            if attachment["spec"]["nodeName"] == name_of(node) and name_of(attachment) not in self._attachments:
                self._attach(attachment)

    def remove_node(self, row: int) -> None:
        self._limits.clear()
        for name in [name for name, place in self._attachments.items() if place.row == row]:
            self._drop(self._by_attachments, self._attachments.pop(name))

    def add_pod(self, pod: PodInfo, row: int) -> None:
        for wanted in claim_names(pod):
            key = (pod.namespace, wanted.name)
            if key not in self._rows:
                self._rows[key] = {}
                self._name(key, volume_of(self._view.get(CLAIM, wanted.name, pod.namespace), self._view))
            rows = self._rows[key]
            rows[row] = rows.get(row, 0) + 1
            if rows[row] == 1 and (volume := self._volumes[key]) is not None:
                self._put(self._by_claims, Place(row, volume))

    def remove_pod(self, pod: PodInfo, row: int) -> None:
        for wanted in claim_names(pod):
            key = (pod.namespace, wanted.name)
            rows = self._rows[key]
            rows[row] -= 1
            if not rows[row]:
                del rows[row]
                if (volume := self._volumes[key]) is not None:
                    self._drop(self._by_claims, Place(row, volume))
            if not rows:
                self._name(key, None)
                del self._rows[key], self._volumes[key]

    def object_changed(self, kind: str, old: Object | None, new: Object | None) -> None:
        changed = [obj for obj in (old, new) if obj is not None]
        if kind == CSI_NODE:
            self._limits.clear()
        elif kind == ATTACHMENT:
            for attachment in changed:
                self._reattach(attachment, new)
        elif kind in (CLAIM, VOLUME, CLASS):
            for key in list(self._claims_affected(kind, changed)):
                self._resolve(key)
            if kind == VOLUME:
                names = {name_of(volume) for volume in changed}
                for attachment in self._view.list(ATTACHMENT):
                    if attachment["spec"]["source"].get("persistentVolumeName") in names:
                        self._reattach(attachment, attachment)

    def _claims_affected(self, kind: str, changed: list[Object]) -> Iterator[Key]:
        if kind == CLASS:
            yield from self._rows
        for obj in changed:
            key = (namespace_of(obj), name_of(obj)) if kind == CLAIM else claim_key(obj) if kind == VOLUME else None
            if key in self._rows:
                yield key

    def _resolve(self, key: Key) -> None:
        """The claim may have another volume now."""
        namespace, name = key
        before, now = self._volumes[key], volume_of(self._view.get(CLAIM, name, namespace), self._view)
        if before == now:
            return
        self._name(key, now)
        for row in self._rows[key]:
            if before is not None:
                self._drop(self._by_claims, Place(row, before))
            if now is not None:
                self._put(self._by_claims, Place(row, now))

    def _name(self, key: Key, volume: Volume | None) -> None:
        """The claim's volume is this one from now on."""
        if (before := self._volumes.get(key)) is not None:
            self._claims[before].discard(key)
            if not self._claims[before]:
                del self._claims[before]
        self._volumes[key] = volume
        if volume is not None:
            self._claims.setdefault(volume, set()).add(key)

    def _reattach(self, attachment: Object, now: Object | None) -> None:
        if (place := self._attachments.pop(name_of(attachment), None)) is not None:
            self._drop(self._by_attachments, place)
        if now is not None:
            self._attach(now)

    def _attach(self, attachment: Object) -> None:
        spec = attachment["spec"]
        volume: Any = self._view.get(VOLUME, spec["source"].get("persistentVolumeName") or "")
        row = self._snapshot.row_of.get(spec["nodeName"])
        if volume is not None and row is not None and (csi := volume["spec"].get("csi")) is not None:
            place = Place(row, Volume(spec["attacher"], csi["volumeHandle"]))
            self._attachments[name_of(attachment)] = place
            self._put(self._by_attachments, place)

    def _put(self, references: dict[Place, int], place: Place) -> None:
        if place not in self._by_claims and place not in self._by_attachments:
            self.count(place.volume.driver)[place.row] += 1
        references[place] = references.get(place, 0) + 1

    def _drop(self, references: dict[Place, int], place: Place) -> None:
        references[place] -= 1
        if not references[place]:
            del references[place]
            if place not in self._by_claims and place not in self._by_attachments:
                self.count(place.volume.driver)[place.row] -= 1


def drivers_of(csi_node: Object) -> Mapping[str, int]:
    """With the limit of each, or NO_LIMIT."""
    drivers = csi_node["spec"].get("drivers") or ()
    counts = ((d["name"], (d.get("allocatable") or {}).get("count")) for d in drivers)
    return {name: NO_LIMIT if count is None else count for name, count in counts}


def attached_volumes(snapshot: Snapshot) -> AttachedVolumes:
    return snapshot.derived("AttachedVolumes", lambda size: AttachedVolumes(snapshot, size))
