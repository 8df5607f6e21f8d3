"""Storage that is in use stays: a claim that a pod mounts, a volume that is bound, a class that a volume has.

Admission gives each of these a finalizer when it is made. One that is deleted while somebody uses it stays, marked,
until nobody does; then the finalizer goes, and the object with it. One that has lost its finalizer gets it back.
Before a claim's finalizer goes the server itself is asked: a pod that the cache has not seen yet may write to it.

    kind                    finalizer                      in use while
    PersistentVolumeClaim   kubernetes.io/pvc-protection   a pod that is bound to a node mounts it
    PersistentVolume        kubernetes.io/pv-protection    it is bound to a claim
    VolumeAttributesClass   kubernetes.io/vac-protection   a claim or a volume names it
"""

from collections.abc import Callable, Iterator
from datetime import datetime

from kaa.api.objects import Object, copy_object, is_being_deleted, name_of, namespace_of, uid_of
from kaa.api.volume_binding import volume_attributes_classes
from kaa.controllers.actions import ConfirmNone, Update
from kaa.controllers.controller import Actions, Controller, Index, Key, View, Watch

IsUsed = Callable[[Object, View], bool]
Confirm = Callable[[Object], ConfirmNone]

POD_CLAIMS = "claims"
CLASS_USERS = "volume-attributes-class"


def protect(
    name: str,
    kind: str,
    finalizer: str,
    is_used: IsUsed,
    *,
    watches: tuple[Watch, ...],
    indexes: tuple[Index, ...] = (),
    confirm: Confirm | None = None,
) -> Controller:
    """The row that keeps objects of `kind` with their finalizer for as long as `is_used` says so.

    `confirm` asks the server whether that is over, where a cache is not enough.
    """

    def reconcile(obj: Object, view: View, now: datetime) -> Actions:
        has_it = finalizer in (obj["metadata"].get("finalizers") or ())
        if has_it and is_being_deleted(obj) and not is_used(obj, view):
            if confirm is not None:
                yield confirm(obj)
            yield Update(_with_finalizers(obj, [f for f in obj["metadata"]["finalizers"] if f != finalizer]))
        elif not has_it and not is_being_deleted(obj):
            yield Update(_with_finalizers(obj, [*(obj["metadata"].get("finalizers") or ()), finalizer]))

    return Controller(name=name, kind=kind, watches=watches, indexes=indexes, reconcile=reconcile)


def _with_finalizers(obj: Object, finalizers: list[str]) -> Object:
    changed = copy_object(obj)
    changed["metadata"]["finalizers"] = finalizers
    return changed


def claims_of(pod: Object) -> Iterator[str]:
    """The names of the claims that a pod mounts; an ephemeral volume's claim is named after both."""
    for volume in pod["spec"].get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            yield claim["claimName"]
        elif volume.get("ephemeral") is not None:
            yield f"{name_of(pod)}-{volume['name']}"


def is_mounted(claim: Object, view: View) -> bool:
    key = f"{namespace_of(claim)}/{name_of(claim)}"
    return any(mounts(pod, claim) for pod in view.by_index("Pod", POD_CLAIMS, key))


def mounts(pod: Object, claim: Object) -> bool:
    """A pod that has no node yet does not count: no kubelet starts one whose claim is being deleted."""
    if not pod["spec"].get("nodeName") or name_of(claim) not in claims_of(pod):
        return False
    for volume in pod["spec"].get("volumes") or ():
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == name_of(claim):
            return True
    # What is left is an ephemeral volume: its claim is its own, and not another's of the same name. Deleted in the
    # foreground the pod waits for its claim, and so the claim must not wait for a pod that its kubelet is done with.
    is_own = any(owner.get("uid") == uid_of(pod) for owner in claim["metadata"].get("ownerReferences") or ())
    return is_own and not is_shut_down(pod)


def is_shut_down(pod: Object) -> bool:
    """Its kubelet is done with it, or somebody has forced its end."""
    return is_being_deleted(pod) and pod["metadata"].get("deletionGracePeriodSeconds") == 0


def no_pod_mounts(claim: Object) -> ConfirmNone:
    return ConfirmNone("Pod", namespace_of(claim), lambda pod: mounts(pod, claim))


def is_bound(volume: Object, view: View) -> bool:
    return (volume.get("status") or {}).get("phase") == "Bound"


def is_named(volume_class: Object, view: View) -> bool:
    name = name_of(volume_class)
    return any(view.by_index(kind, CLASS_USERS, name) for kind in ("PersistentVolumeClaim", "PersistentVolume"))


def pods_by_claim() -> Index:
    """Pods by `namespace/name` of each claim that they mount."""
    return Index("Pod", POD_CLAIMS, lambda pod: (f"{namespace_of(pod)}/{claim}" for claim in claims_of(pod)))


def _claims_of_pod(pod: Object, view: View) -> Iterator[Key]:
    return ((namespace_of(pod), claim) for claim in claims_of(pod))


def _classes_of_user(obj: Object, view: View) -> Iterator[Key]:
    return (("", name) for name in volume_attributes_classes(obj))


PVC_PROTECTION = protect(
    "persistentvolumeclaim-protection",
    "PersistentVolumeClaim",
    "kubernetes.io/pvc-protection",
    is_mounted,
    watches=(Watch("Pod", _claims_of_pod),),
    indexes=(pods_by_claim(),),
    confirm=no_pod_mounts,
)
PV_PROTECTION = protect(
    "persistentvolume-protection", "PersistentVolume", "kubernetes.io/pv-protection", is_bound, watches=()
)
VAC_PROTECTION = protect(
    "volumeattributesclass-protection",
    "VolumeAttributesClass",
    "kubernetes.io/vac-protection",
    is_named,
    watches=(Watch("PersistentVolumeClaim", _classes_of_user), Watch("PersistentVolume", _classes_of_user)),
    indexes=(
        Index("PersistentVolumeClaim", CLASS_USERS, volume_attributes_classes),
        Index("PersistentVolume", CLASS_USERS, volume_attributes_classes),
    ),
)

CONTROLLERS = (PVC_PROTECTION, PV_PROTECTION, VAC_PROTECTION)
