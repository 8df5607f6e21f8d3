"""Rules for volumes, claims and their classes."""

from typing import Any

from kaa.api.objects import Object
from kaa.api.quantity import parse_quantity
from kaa.api.validation.containers import exactly_one, quantities
from kaa.api.validation.fields import forbidden, invalid, required
from kaa.api.validation.metadata import check_selector
from kaa.api.validation.names import dns_subdomain
from kaa.api.validation.pods import NODE_SELECTOR, VOLUME_TYPES
from kaa.api.validation.walker import REQUIRED, Errors, at, compile_rules, errors_of, immutable, one_of, valid
from kaa.api.volume_binding import has_class

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODE = one_of("Block", "Filesystem")
PERSISTENT_TYPES = (*(kind for kind in VOLUME_TYPES if kind not in ("emptyDir", "secret", "configMap")), "local")


def access_modes(spec: Any, path: str, errors: Errors) -> None:
    modes = spec.get("accessModes") or ()
    if not modes:
        errors.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        detail = "may not use ReadWriteOncePod with other access modes"
        errors.append(forbidden(f"{path}.accessModes", detail))


def storage_request(spec: Any, path: str, errors: Errors) -> None:
    requested = at(spec, "resources.requests.storage")
    if requested is None:
        errors.append(required(f"{path}.resources[storage]"))
        return
    before = len(errors)
    quantities({"storage": requested}, f"{path}.resources", errors)
    if len(errors) == before and not parse_quantity(requested):
        errors.append(invalid(f"{path}.resources[storage]", requested, "must be greater than zero"))


CLAIM_SPEC = {
    "": (access_modes, storage_request),
    "accessModes[]": one_of(*ACCESS_MODES),
    "storageClassName": valid(dns_subdomain),
    "volumeMode": VOLUME_MODE,
    "selector": {"": check_selector},
}
PERSISTENT_VOLUME_CLAIM = compile_rules({"spec": CLAIM_SPEC}, root=True)

CLAIM_IMMUTABLE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)


def validate_claim_update(new: Object, old: Object, subresource: str) -> Errors:
    """A claim may be bound (its volume's name set) or get the default class, and once bound it may grow."""
    if new["spec"] == old["spec"]:
        return []
    loose = ["resources", "volumeAttributesClassName"]
    if not old["spec"].get("volumeName"):
        loose.append("volumeName")
    if not has_class(old):
        loose.append("storageClassName")
    fields = (new["spec"].keys() | old["spec"].keys()).difference(loose)
    if any(new["spec"].get(field) != old["spec"].get(field) for field in fields):
        return [forbidden("spec", CLAIM_IMMUTABLE)]
    wanted, had = (at(claim, "spec.resources.requests.storage") or "0" for claim in (new, old))
    bound = (old.get("status") or {}).get("phase") == "Bound"
    if wanted != had and not bound:
        return [forbidden("spec", CLAIM_IMMUTABLE)]
    if parse_quantity(wanted) < parse_quantity(had):
        return [forbidden("spec.resources.requests.storage", "field can not be less than previous value")]
    return []


def volume_capacity(spec: Any, path: str, errors: Errors) -> None:
    capacity = spec.get("capacity") or {}
    if "storage" not in capacity:
        errors.append(required(f"{path}.capacity"))
    quantities(capacity, f"{path}.capacity", errors)
    access_modes(spec, path, errors)


PERSISTENT_VOLUME = compile_rules(
    {
        "spec": {
            "": (volume_capacity, exactly_one("volume", PERSISTENT_TYPES)),
            "accessModes[]": one_of(*ACCESS_MODES),
            "persistentVolumeReclaimPolicy": one_of("Delete", "Recycle", "Retain"),
            "volumeMode": VOLUME_MODE,
            "storageClassName": valid(dns_subdomain),
            "hostPath": {"path": REQUIRED},
            "local": {"path": REQUIRED},
            "csi": {"driver": REQUIRED, "volumeHandle": REQUIRED},
            "nfs": {"server": REQUIRED, "path": REQUIRED},
            "nodeAffinity": {"required": NODE_SELECTOR},
        }
    },
    root=True,
)

SOURCE_IMMUTABLE = "spec.persistentvolumesource is immutable after creation"


def validate_volume(volume: Object, old: Object | None) -> Errors:
    errors = errors_of(PERSISTENT_VOLUME, volume)
    if at(volume, "spec.local") is not None and at(volume, "spec.nodeAffinity") is None:
        errors.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    return errors


def validate_volume_update(new: Object, old: Object, subresource: str) -> Errors:
    errors = immutable(new, old, "spec.volumeMode")
    if any(new["spec"].get(kind) != old["spec"].get(kind) for kind in PERSISTENT_TYPES):
        errors.append(forbidden("spec.persistentvolumesource", SOURCE_IMMUTABLE))
    return errors


STORAGE_CLASS = compile_rules(
    {
        "provisioner": REQUIRED,
        "reclaimPolicy": one_of("Delete", "Retain"),
        "volumeBindingMode": (REQUIRED, one_of("Immediate", "WaitForFirstConsumer")),
    },
    root=True,
)


def validate_storage_class_update(new: Object, old: Object, subresource: str) -> Errors:
    errors = [
        forbidden(field, f"updates to {field} are forbidden.")
        for field in ("parameters", "provisioner", "reclaimPolicy")
        if new.get(field) != old.get(field)
    ]
    return errors + immutable(new, old, "volumeBindingMode")
