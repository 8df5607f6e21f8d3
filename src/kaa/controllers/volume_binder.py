"""Persistent volumes: the phase of each, and what becomes of it when its claim is gone.

    phase       the volume's claimRef
    Available   none, or one without uid: reserved for a claim that has not come for it yet
    Bound       a claim that names this volume
    Released    a claim that is gone, or that found another volume after this one was made for it
    Failed      as Released, but its reclaim policy cannot be carried out here

A released volume is kept (`Retain`), or deleted by whoever provisioned it (`Delete`). A volume that was only proposed
to a claim which then took another is free again.
"""

from collections.abc import Iterator
from datetime import datetime

from kaa.api.objects import Object, annotations_of, name_of, namespace_of, uid_of
from kaa.api.volume_binding import PROVISIONED_BY, claim_key, phase_of, same_volume_mode, unbound_volume, volume_status
from kaa.controllers.actions import ConfirmGone, RecordEvent, Update, UpdateStatus
from kaa.controllers.controller import Actions, Controller, Index, Key, View, Watch, key_of

IN_TREE = "kubernetes.io/"
CLAIM = "claim"
MIGRATED_TO = "pv.kubernetes.io/migrated-to"

MODES_DIFFER = "Cannot bind PersistentVolume to requested PersistentVolumeClaim {} due to incompatible volumeMode."
CLAIM_MODES_DIFFER = (
    "Cannot bind PersistentVolume {} to requested PersistentVolumeClaim due to incompatible volumeMode."
)
NO_RECYCLER = "No recycler plugin found for the volume!"
NO_DELETER = 'error getting deleter volume plugin for volume "{}": no deletable volume plugin matched'


def reconcile(volume: Object, view: View, now: datetime) -> Actions:
    reference, key = volume["spec"].get("claimRef"), claim_key(volume)
    if reference is None or key is None or not reference.get("uid"):
        yield from set_phase(volume, "Available", now)
        return
    claim = view.get("PersistentVolumeClaim", key[1], key[0])
    if claim is None or uid_of(claim) != reference["uid"]:
        if phase_of(volume) not in ("Released", "Failed"):
            yield ConfirmGone("PersistentVolumeClaim", *key, reference["uid"])
        yield from release(volume, now)
    elif claim["spec"].get("volumeName") == name_of(volume):
        yield from set_phase(volume, "Bound", now)
    elif claim["spec"].get("volumeName"):
        yield from take_back(volume, now)
    elif not same_volume_mode(claim, volume):
        yield RecordEvent(volume, "Warning", "VolumeMismatch", MODES_DIFFER.format(f'"{name_of(claim)}"'))
        yield RecordEvent(claim, "Warning", "VolumeMismatch", CLAIM_MODES_DIFFER.format(f'"{name_of(volume)}"'))


def set_phase(volume: Object, phase: str, now: datetime, message: str = "") -> Actions:
    if (status := volume_status(volume, phase, now, message)) != volume.get("status", {}):
        yield UpdateStatus(volume, status)


def take_back(volume: Object, now: datetime) -> Actions:
    """The claim has another volume."""
    if PROVISIONED_BY in annotations_of(volume) and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        yield from release(volume, now)
    else:
        free = unbound_volume(volume)
        yield Update(free)
        yield from set_phase(free, "Available", now)


def release(volume: Object, now: datetime) -> Actions:
    """A failure stays to be seen."""
    if phase_of(volume) != "Failed" and (failure := cannot_reclaim(volume)):
        reason, message = failure
        yield RecordEvent(volume, "Warning", reason, message)
        yield from set_phase(volume, "Failed", now, message)
    elif phase_of(volume) != "Failed":
        yield from set_phase(volume, "Released", now)


def cannot_reclaim(volume: Object) -> tuple[str, str] | None:
    """(reason, message) if nobody will ever carry out the volume's reclaim policy."""
    spec, provisioner = volume["spec"], annotations_of(volume).get(PROVISIONED_BY, "")
    match spec.get("persistentVolumeReclaimPolicy", "Retain"):
        case "Recycle":
            return "VolumeFailedRecycle", NO_RECYCLER
        case "Delete":
            external = provisioner and not provisioner.startswith(IN_TREE)
            if not external and not spec.get("csi") and MIGRATED_TO not in annotations_of(volume):
                return "VolumeFailedDelete", NO_DELETER.format(name_of(volume))
    return None


def volumes_of_claim(claim: Object, view: View) -> Iterator[Key]:
    """The one that it names, and all that name it."""
    if name := claim["spec"].get("volumeName"):
        yield "", name
    for volume in view.by_index("PersistentVolume", CLAIM, f"{namespace_of(claim)}/{name_of(claim)}"):
        yield key_of(volume)


def volumes_by_claim() -> Index:
    """Volumes by `namespace/name` of the claim that they are bound to, or reserved for."""

    def keys(volume: Object) -> Iterator[str]:
        if (key := claim_key(volume)) is not None:
            yield "/".join(key)

    return Index("PersistentVolume", CLAIM, keys)


CONTROLLER = Controller(
    name="persistentvolume-binder",
    component="persistentvolume-controller",
    kind="PersistentVolume",
    watches=(Watch("PersistentVolumeClaim", volumes_of_claim),),
    indexes=(volumes_by_claim(),),
    reconcile=reconcile,
)
