"""How a claim and a volume belong together: pure questions, and the two objects as they are once bound.

A volume names its claim in `spec.claimRef`, a claim its volume in `spec.volumeName`. Either may be written by a person
beforehand (a volume with a `claimRef` without uid is reserved for the claim of that name); what a component wrote
itself it marks by annotation, so that it can take it back. The controller that binds claims and the scheduler, which
chooses volumes that the pod's node can reach, decide by the same rules.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from kaa.api.objects import (
    Object,
    annotations_of,
    copy_object,
    is_being_deleted,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from kaa.api.quantity import Quantity, parse_quantity
from kaa.api.selectors import selector_of
from kaa.lib.clock import rfc3339

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
IS_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")

LOCAL_PATH = "kaa.dev/local-path"
"""The provisioner of ours: directories of the nodes."""

YES = "yes"


def class_of(obj: Object) -> str:
    """The storage class of a claim or a volume, "" for none."""
    named: str | None = annotations_of(obj).get(BETA_CLASS) or obj["spec"].get("storageClassName")
    return named or ""


def has_class(claim: Object) -> bool:
    """An empty name is a choice, too: of volumes without a class."""
    return BETA_CLASS in annotations_of(claim) or claim["spec"].get("storageClassName") is not None


def default_storage_class(classes: Iterable[Object]) -> Object | None:
    """The newest of those that are marked; of equally old ones the first by name."""
    marked = [c for c in classes if any(annotations_of(c).get(key) == "true" for key in IS_DEFAULT)]
    marked.sort(key=name_of)
    return max(marked, key=lambda c: str(c["metadata"].get("creationTimestamp", "")), default=None)


def waits_for_consumer(storage_class: Object | None) -> bool:
    """Whether claims of the class are bound only once a node is chosen for a pod that has them."""
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def volume_attributes_classes(obj: Object) -> Iterator[str]:
    """The VolumeAttributesClasses that a claim or a volume has, wants, or is on its way to."""
    status = obj.get("status") or {}
    names = (
        obj["spec"].get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    yield from dict.fromkeys(name for name in names if name)


def phase_of(obj: Object) -> str:
    phase: str = obj.get("status", {}).get("phase", "")
    return phase


def requested(claim: Object) -> Quantity:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return parse_quantity(requests.get("storage", 0))


def capacity(volume: Object) -> Quantity:
    return parse_quantity((volume["spec"].get("capacity") or {}).get("storage", 0))


def claim_key(volume: Object) -> tuple[str, str] | None:
    """(namespace, name) of the claim that a volume is bound to, or reserved for."""
    reference = volume["spec"].get("claimRef")
    return None if reference is None else (reference.get("namespace", ""), reference.get("name", ""))


def is_for(volume: Object, claim: Object) -> bool:
    """Whether the volume's claimRef means this claim; one without uid means any of that name."""
    if claim_key(volume) != (namespace_of(claim), name_of(claim)):
        return False
    return volume["spec"]["claimRef"].get("uid", "") in ("", uid_of(claim))


def _modes(obj: Object) -> tuple[set[str], str]:
    return set(obj["spec"].get("accessModes") or ()), obj["spec"].get("volumeMode") or "Filesystem"


def same_volume_mode(claim: Object, volume: Object) -> bool:
    return _modes(claim)[1] == _modes(volume)[1]


def same_attributes_class(claim: Object, volume: Object) -> bool:
    one, other = (obj["spec"].get("volumeAttributesClassName") or "" for obj in (claim, volume))
    return bool(one == other)


def mismatch(claim: Object, volume: Object) -> str:
    """Why the volume that a claim asks for by name cannot be its volume; "" if it can."""
    if is_being_deleted(volume):
        return f'the volume is marked for deletion "{name_of(volume)}"'
    if capacity(volume) < requested(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if not same_attributes_class(claim, volume):
        return "volumeAttributesClassName does not match"
    if not same_volume_mode(claim, volume):
        return "incompatible volumeMode"
    return "" if _modes(claim)[0] <= _modes(volume)[0] else "incompatible accessMode"


def best_match(claim: Object, volumes: Iterable[Object], *, only_reserved: bool = False) -> Object | None:
    """The volume that is reserved for the claim; else, unless only that may be, the one that wastes least.

    That is of those with the fewest access modes the smallest, and of equal ones the first by name.
    """
    usable = sorted((v for v in volumes if _fits(claim, v)), key=lambda v: (len(_modes(v)[0]), capacity(v), name_of(v)))
    reserved = (volume for volume in usable if is_for(volume, claim))
    free = (volume for volume in usable if not only_reserved and _is_free(claim, volume))
    return next(reserved, None) or next(free, None)


def _fits(claim: Object, volume: Object) -> bool:
    return (
        not is_being_deleted(volume)
        and _modes(claim)[0] <= _modes(volume)[0]
        and same_volume_mode(claim, volume)
        and same_attributes_class(claim, volume)
        and requested(claim) <= capacity(volume)
    )


def _is_free(claim: Object, volume: Object) -> bool:
    """A volume is offered once it is known to be Available, to claims of its own class that select it."""
    selector = claim["spec"].get("selector")
    return (
        volume["spec"].get("claimRef") is None
        and phase_of(volume) == "Available"
        and class_of(volume) == class_of(claim)
        and (selector is None or selector_of(selector).matches(labels_of(volume)))
    )


def volume_status(volume: Object, phase: str, now: datetime, message: str = "") -> Object:
    """The volume's status in that phase."""
    known: Object = volume.get("status", {})
    if (phase, message) == (phase_of(volume), known.get("message", "")):
        return known
    status = {"phase": phase, "lastPhaseTransitionTime": known.get("lastPhaseTransitionTime")}
    if phase != phase_of(volume) or status["lastPhaseTransitionTime"] is None:
        status["lastPhaseTransitionTime"] = rfc3339(now)
    return status | ({"message": message} if message else {})


def bound_volume(volume: Object, claim: Object) -> Object | None:
    """The volume with its claim; None if it has it already."""
    reference = volume["spec"].get("claimRef") or {}
    if is_for(volume, claim) and reference.get("uid") == uid_of(claim):
        return None
    bound = copy_object(volume)
    if not is_for(volume, claim):
        bound["metadata"].setdefault("annotations", {})[BOUND_BY_CONTROLLER] = YES
    bound["spec"]["claimRef"] = {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": namespace_of(claim),
        "name": name_of(claim),
        "uid": uid_of(claim),
        "resourceVersion": claim["metadata"]["resourceVersion"],
    }
    return bound


def unbound_volume(volume: Object) -> Object:
    """The volume without what binds it to its claim: what a person wrote of it stays."""
    free = copy_object(volume)
    if BOUND_BY_CONTROLLER in annotations_of(volume):
        del free["spec"]["claimRef"]
        del free["metadata"]["annotations"][BOUND_BY_CONTROLLER]
    else:
        free["spec"]["claimRef"].pop("uid", None)
    return free


def bound_claim(claim: Object, volume: Object) -> Object | None:
    """The claim with its volume; None if it has it already."""
    named = claim["spec"].get("volumeName") == name_of(volume)
    if named and BIND_COMPLETED in annotations_of(claim):
        return None
    bound = copy_object(claim)
    annotations = bound["metadata"].setdefault("annotations", {})
    annotations[BIND_COMPLETED] = YES
    if not named:
        annotations[BOUND_BY_CONTROLLER] = YES
        bound["spec"]["volumeName"] = name_of(volume)
    return bound


def bound_status(claim: Object, volume: Object) -> Object:
    """The claim's status once it is bound. Its capacity is the volume's at that moment: resizing changes it later."""
    known: Object = claim.get("status", {})
    status = {**known, "phase": "Bound", "accessModes": volume["spec"]["accessModes"]}
    if known.get("phase") != "Bound":
        status["capacity"] = volume["spec"]["capacity"]
    if known.get("phase") == "Pending" and (attributes := volume["spec"].get("volumeAttributesClassName")):
        status["currentVolumeAttributesClassName"] = attributes
    return status


def unbound_status(claim: Object, phase: str) -> Object:
    """Pending, or Lost: there is no volume to speak of."""
    volumes = ("accessModes", "capacity", "currentVolumeAttributesClassName")
    return {**{key: value for key, value in claim.get("status", {}).items() if key not in volumes}, "phase": phase}
