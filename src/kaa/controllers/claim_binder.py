"""Persistent volume claims: each gets a volume, from what there is or made for it.

Observed: the claim, the volumes and the classes. A claim that names a volume gets that one or waits for it; another
gets the volume that wastes least. Where there is none, the claim's class says who makes one, and whoever that is sees
it by annotation. A class with `WaitForFirstConsumer` waits until the scheduler has chosen a node for a pod with the
claim (annotation `selected-node`); only volumes reserved for the claim are bound before.

A claim that was bound once is never bound anew: if its volume is gone, it is Lost.
"""

from collections.abc import Iterator
from datetime import datetime

from kaa.api.objects import Object, annotations_of, copy_object, name_of, namespace_of
from kaa.api.volume_binding import (
    BETA_STORAGE_PROVISIONER,
    BIND_COMPLETED,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    best_match,
    bound_claim,
    bound_status,
    bound_volume,
    claim_key,
    class_of,
    default_storage_class,
    has_class,
    is_for,
    mismatch,
    phase_of,
    unbound_status,
    volume_status,
    waits_for_consumer,
)
from kaa.controllers.actions import RecordEvent, Update, UpdateStatus
from kaa.controllers.controller import Actions, Controller, Index, Key, View, Watch, key_of, presence
from kaa.controllers.pods import is_terminal
from kaa.controllers.protection import POD_CLAIMS, claims_of, pods_by_claim
from kaa.controllers.volume_binder import CLAIM, volumes_by_claim

IN_TREE = "kubernetes.io/"
"""Provisioners of that prefix were part of Kubernetes: nobody outside makes their volumes."""

UNBOUND = "unbound"
NAMED_VOLUME = "volumeName"
FREE = "free"

NO_VOLUME = "no persistent volumes available for this claim and no storage class is set"
LOST_REFERENCE = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
LOST_VOLUME = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
MISBOUND = "Two claims are bound to the same volume, this one is bound incorrectly"
WAITING = (
    "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system "
    "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
    "registered."
)


def reconcile(claim: Object, view: View, now: datetime) -> Actions:
    if BIND_COMPLETED in annotations_of(claim):
        yield from keep_bound(claim, view, now)
    elif claim["spec"].get("volumeName"):
        yield from bind_to_named(claim, view, now)
    else:
        yield from find_volume(claim, view, now)


def keep_bound(claim: Object, view: View, now: datetime) -> Actions:
    name = claim["spec"].get("volumeName", "")
    volume = view.get("PersistentVolume", name) if name else None
    if volume is None:
        yield from lose(claim, "ClaimLost", LOST_VOLUME if name else LOST_REFERENCE)
    elif volume["spec"].get("claimRef") is None or is_for(volume, claim):
        yield from bind(claim, volume, now)
    else:
        yield from lose(claim, "ClaimMisbound", MISBOUND)


def bind_to_named(claim: Object, view: View, now: datetime) -> Actions:
    volume = view.get("PersistentVolume", claim["spec"]["volumeName"])
    if volume is None:
        yield from stay_pending(claim)
    elif volume["spec"].get("claimRef") is None and (why := mismatch(claim, volume)):
        message = f'Cannot bind to requested volume "{name_of(volume)}": {why}'
        yield RecordEvent(claim, "Warning", "VolumeMismatch", message)
        yield from stay_pending(claim)
    elif volume["spec"].get("claimRef") is None or is_for(volume, claim):
        yield from bind(claim, volume, now)
    else:
        message = f'volume "{name_of(volume)}" already bound to a different claim.'
        yield RecordEvent(claim, "Warning", "FailedBinding", message)
        yield from stay_pending(claim)


def find_volume(claim: Object, view: View, now: datetime) -> Actions:
    storage_class = view.get("StorageClass", class_of(claim)) if class_of(claim) else None
    waits = waits_for_consumer(storage_class)
    volume = best_match(claim, candidates(claim, view), only_reserved=waits)
    if volume is not None:
        yield from bind(claim, volume, now)
    elif not has_class(claim) and (default := default_storage_class(view.list("StorageClass"))) is not None:
        changed = copy_object(claim)
        changed["spec"]["storageClassName"] = name_of(default)
        yield Update(changed)
    elif waits and SELECTED_NODE not in annotations_of(claim):
        yield waiting_for_consumer(claim, view)
        yield from stay_pending(claim)
    elif class_of(claim):
        yield from ask_for_volume(claim, storage_class)
    else:
        yield RecordEvent(claim, "Normal", "FailedBinding", NO_VOLUME)
        yield from stay_pending(claim)


def candidates(claim: Object, view: View) -> list[Object]:
    """Of thousands of volumes most are somebody's, or of other classes."""
    reserved = view.by_index("PersistentVolume", CLAIM, f"{namespace_of(claim)}/{name_of(claim)}")
    return [*reserved, *view.by_index("PersistentVolume", FREE, class_of(claim))]


def bind(claim: Object, volume: Object, now: datetime) -> Actions:
    if (changed := bound_volume(volume, claim)) is not None:
        yield Update(changed)
        volume = changed
    if phase_of(volume) != "Bound":
        yield UpdateStatus(volume, volume_status(volume, "Bound", now))
    if (changed := bound_claim(claim, volume)) is not None:
        yield Update(changed)
        claim = changed
    if (status := bound_status(claim, volume)) != claim.get("status"):
        yield UpdateStatus(claim, status)


def stay_pending(claim: Object) -> Actions:
    if (status := unbound_status(claim, "Pending")) != claim.get("status"):
        yield UpdateStatus(claim, status)


def lose(claim: Object, reason: str, message: str) -> Actions:
    if (status := unbound_status(claim, "Lost")) != claim.get("status"):
        yield RecordEvent(claim, "Warning", reason, message)
        yield UpdateStatus(claim, status)


def waiting_for_consumer(claim: Object, view: View) -> RecordEvent:
    users = view.by_index("Pod", POD_CLAIMS, f"{namespace_of(claim)}/{name_of(claim)}")
    names = sorted(name_of(pod) for pod in users if not pod["spec"].get("nodeName") and not is_terminal(pod))
    if not names:
        message = "waiting for first consumer to be created before binding"
        return RecordEvent(claim, "Normal", "WaitForFirstConsumer", message)
    pods = "pod" if len(names) == 1 else "pods"
    return RecordEvent(claim, "Normal", "WaitForPodScheduled", f"waiting for {pods} {','.join(names)} to be scheduled")


def ask_for_volume(claim: Object, storage_class: Object | None) -> Actions:
    """Names the provisioner in the claim: it watches claims, and answers with a volume reserved for this one."""
    if storage_class is None:
        message = f'storageclass.storage.k8s.io "{class_of(claim)}" not found'
        yield RecordEvent(claim, "Warning", "ProvisioningFailed", message)
        return
    provisioner: str = storage_class["provisioner"]
    if provisioner.startswith(IN_TREE):
        message = f"no volume plugin matched name: {provisioner}"
        yield RecordEvent(claim, "Warning", "ProvisioningFailed", message)
        return
    if annotations_of(claim).get(STORAGE_PROVISIONER) != provisioner:
        changed = copy_object(claim)
        annotations = changed["metadata"].setdefault("annotations", {})
        annotations[STORAGE_PROVISIONER] = annotations[BETA_STORAGE_PROVISIONER] = provisioner
        yield Update(changed)
    yield RecordEvent(claim, "Normal", "ExternalProvisioning", WAITING.format(provisioner))


def claims_for_volume(volume: Object, view: View) -> Iterator[Key]:
    """The claim that it is bound to; for a free one, those that might take it."""
    if (key := claim_key(volume)) is not None:
        yield key
        return
    for claim in view.by_index("PersistentVolumeClaim", UNBOUND, class_of(volume)):
        yield key_of(claim)
    for claim in view.by_index("PersistentVolumeClaim", NAMED_VOLUME, name_of(volume)):
        yield key_of(claim)


def _unbound(claim: Object) -> Iterator[str]:
    if BIND_COMPLETED not in annotations_of(claim):
        yield class_of(claim)


def _free(volume: Object) -> Iterator[str]:
    if volume["spec"].get("claimRef") is None:
        yield class_of(volume)


def _named_volume(claim: Object) -> Iterator[str]:
    if name := claim["spec"].get("volumeName"):
        yield name


def claims_of_class(storage_class: Object, view: View) -> Iterator[Key]:
    """Those that wait for it, and those that wait for a default."""
    for name in (name_of(storage_class), ""):
        for claim in view.by_index("PersistentVolumeClaim", UNBOUND, name):
            yield key_of(claim)


def unbound_claims_of_pod(pod: Object, view: View) -> Iterator[Key]:
    for name in claims_of(pod):
        claim = view.get("PersistentVolumeClaim", name, namespace_of(pod))
        if claim is not None and BIND_COMPLETED not in annotations_of(claim):
            yield key_of(claim)


CONTROLLER = Controller(
    name="persistentvolumeclaim-binder",
    component="persistentvolume-controller",
    kind="PersistentVolumeClaim",
    watches=(
        Watch("PersistentVolume", claims_for_volume),
        Watch("StorageClass", claims_of_class),
        Watch("Pod", unbound_claims_of_pod, when=presence),
    ),
    indexes=(
        pods_by_claim(),
        volumes_by_claim(),
        Index("PersistentVolume", FREE, _free),
        Index("PersistentVolumeClaim", UNBOUND, _unbound),
        Index("PersistentVolumeClaim", NAMED_VOLUME, _named_volume),
    ),
    reconcile=reconcile,
    workers=1,  # two at a time would choose the same volume for two claims
)
