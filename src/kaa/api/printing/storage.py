"""The columns of volumes, claims and their classes."""

from datetime import datetime

from kaa.api.objects import Object, annotations_of, is_being_deleted
from kaa.api.printing.cells import AGE, NAME, UNSET, at, count_of, flag, joined, number, text

ACCESS_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
"""The abbreviations, in the order in which they are shown."""

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def access_modes(modes: list[str] | None) -> str:
    return joined((short for mode, short in ACCESS_MODES.items() if mode in (modes or ())), absent="")


def phase_cell(obj: Object, now: datetime) -> str:
    return "Terminating" if is_being_deleted(obj) else (obj.get("status") or {}).get("phase", "")


def class_cell(obj: Object, now: datetime) -> str:
    return annotations_of(obj).get(CLASS_ANNOTATION) or obj["spec"].get("storageClassName") or ""


def claim_cell(volume: Object, now: datetime) -> str:
    claim = volume["spec"].get("claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


PERSISTENT_VOLUME = (
    NAME,
    text("Capacity", "spec.capacity.storage"),
    text("Access Modes", lambda volume, now: access_modes(volume["spec"].get("accessModes"))),
    text("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"),
    text("Status", phase_cell),
    text("Claim", claim_cell),
    text("StorageClass", class_cell),
    text("VolumeAttributesClass", at("spec.volumeAttributesClassName", UNSET)),
    text("Reason", "status.reason"),
    AGE,
    text("VolumeMode", at("spec.volumeMode", UNSET), wide=True),
)


def claim_access_modes(claim: Object, now: datetime) -> str:
    """What the bound volume offers; nothing while there is none."""
    return access_modes((claim.get("status") or {}).get("accessModes")) if claim["spec"].get("volumeName") else ""


def claim_capacity(claim: Object, now: datetime) -> str:
    capacity = (claim.get("status") or {}).get("capacity") or {}
    return capacity.get("storage", "") if claim["spec"].get("volumeName") else ""


PERSISTENT_VOLUME_CLAIM = (
    NAME,
    text("Status", phase_cell),
    text("Volume", "spec.volumeName"),
    text("Capacity", claim_capacity),
    text("Access Modes", claim_access_modes),
    text("StorageClass", class_cell),
    text("VolumeAttributesClass", at("spec.volumeAttributesClassName", UNSET)),
    AGE,
    text("VolumeMode", at("spec.volumeMode", UNSET), wide=True),
)


def class_name_cell(storage_class: Object, now: datetime) -> str:
    annotations = annotations_of(storage_class)
    default = any(annotations.get(key) == "true" for key in DEFAULT_CLASS_ANNOTATIONS)
    name: str = storage_class["metadata"]["name"]
    return f"{name} (default)" if default else name


STORAGE_CLASS = (
    text("Name", class_name_cell),
    text("Provisioner", "provisioner"),
    text("ReclaimPolicy", at("reclaimPolicy", "Delete")),
    text("VolumeBindingMode", at("volumeBindingMode", UNSET)),
    flag("AllowVolumeExpansion", "allowVolumeExpansion"),
    AGE,
)

VOLUME_ATTRIBUTES_CLASS = (NAME, text("DriverName", "driverName"), AGE)

VOLUME_ATTACHMENT = (
    NAME,
    text("Attacher", "spec.attacher"),
    text("PV", "spec.source.persistentVolumeName"),
    text("Node", "spec.nodeName"),
    flag("Attached", "status.attached"),
    AGE,
)

CSI_NODE = (NAME, number("Drivers", count_of("spec.drivers")), AGE)


def token_requests_cell(driver: Object, now: datetime) -> str:
    return joined((r.get("audience", "") for r in driver["spec"].get("tokenRequests") or ()), absent=UNSET)


CSI_DRIVER = (
    NAME,
    flag("AttachRequired", at("spec.attachRequired", True)),
    flag("PodInfoOnMount", "spec.podInfoOnMount"),
    flag("StorageCapacity", "spec.storageCapacity"),
    text("TokenRequests", token_requests_cell),
    flag("RequiresRepublish", "spec.requiresRepublish"),
    text("Modes", lambda driver, now: joined(driver["spec"].get("volumeLifecycleModes") or ())),
    AGE,
)

CSI_STORAGE_CAPACITY = (
    NAME,
    text("StorageClassName", "storageClassName"),
    text("Capacity", at("capacity", UNSET)),
)
