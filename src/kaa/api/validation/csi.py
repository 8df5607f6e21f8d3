"""Rules for what CSI drivers and their helpers write: drivers, nodes' drivers, capacities, attachments, classes."""

from typing import Any

from kaa.api.objects import Object
from kaa.api.validation.containers import quantity
from kaa.api.validation.fields import IMMUTABLE, duplicate, forbidden, invalid, not_supported, required, too_long
from kaa.api.validation.metadata import check_selector
from kaa.api.validation.names import dns_subdomain, qualified_name
from kaa.api.validation.walker import Errors, at, compile_rules, immutable, not_negative, one_of

MAX_DRIVER_NAME_BYTES = 63
MAX_NODE_ID_CHARACTERS = 192
MAX_ATTACHMENT_METADATA_BYTES = 256 * 1024
MAX_ERROR_MESSAGE_BYTES = 1024
MIN_ALLOCATABLE_UPDATE_SECONDS = 10
MIN_TOKEN_SECONDS, MAX_TOKEN_SECONDS = 600, 2**32

LIFECYCLE_MODES = ("Persistent", "Ephemeral")
ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


def driver_name(value: Any, path: str, errors: Errors) -> None:
    """Capitals are allowed: a driver's name goes back to before Kubernetes."""
    if not value:
        errors.append(required(path))
        return
    if len(value.encode()) > MAX_DRIVER_NAME_BYTES:
        errors.append(too_long(path, MAX_DRIVER_NAME_BYTES))
    errors += [invalid(path, value, problem) for problem in dns_subdomain(value.lower())]


def needed_flags(spec: Any, path: str, errors: Errors) -> None:
    """What defaults fill in; `attachedRequired` is upstream's word for attachRequired."""
    for field, name in (
        ("attachRequired", "attachedRequired"),
        *((f, f) for f in ("podInfoOnMount", "storageCapacity")),
    ):
        if spec.get(field) is None:
            errors.append(required(f"{path}.{name}"))


def token_requests(spec: Any, path: str, errors: Errors) -> None:
    seen = set()
    for i, request in enumerate(spec.get("tokenRequests") or ()):
        audience, seconds = request.get("audience") or "", request.get("expirationSeconds")
        at_request = f"{path}.tokenRequests[{i}]"
        if audience in seen:
            errors.append(duplicate(f"{at_request}.audience", audience))
            continue
        seen.add(audience)
        if seconds is not None and seconds < MIN_TOKEN_SECONDS:
            why = "may not specify a duration less than 10 minutes"
            errors.append(invalid(f"{at_request}.expirationSeconds", seconds, why))
        if seconds is not None and seconds > MAX_TOKEN_SECONDS:
            why = "may not specify a duration larger than 2^32 seconds"
            errors.append(invalid(f"{at_request}.expirationSeconds", seconds, why))
    if spec.get("serviceAccountTokenInSecrets") is not None and not spec.get("tokenRequests"):
        why = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        errors.append(invalid(f"{path}.serviceAccountTokenInSecrets", spec["serviceAccountTokenInSecrets"], why))


def lifecycle_modes(spec: Any, path: str, errors: Errors) -> None:
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in LIFECYCLE_MODES:
            errors.append(not_supported(f"{path}.volumeLifecycleModes", mode, LIFECYCLE_MODES))


def update_period(value: Any, path: str, errors: Errors) -> None:
    if value < MIN_ALLOCATABLE_UPDATE_SECONDS:
        why = f"must be greater than or equal to {MIN_ALLOCATABLE_UPDATE_SECONDS} seconds"
        errors.append(invalid(path, value, why))


DRIVER = compile_rules(
    {
        "spec": {
            "fsGroupPolicy": one_of("File", "None", "ReadWriteOnceWithFSType"),
            "": (needed_flags, token_requests, lifecycle_modes),
            "nodeAllocatableUpdatePeriodSeconds": update_period,
        }
    },
    root=True,
)


def validate_driver_update(new: Object, old: Object, subresource: str) -> Errors:
    errors = (
        []
        if at(new, "spec.attachRequired") == at(old, "spec.attachRequired")
        else [invalid("spec.attachedRequired", at(new, "spec.attachRequired"), IMMUTABLE)]
    )
    return errors + immutable(new, old, "spec.volumeLifecycleModes")


def node_driver(driver: Any, path: str, errors: Errors) -> None:
    driver_name(driver.get("name"), f"{path}.name", errors)
    node_id = driver.get("nodeID") or ""
    if not node_id:
        errors.append(required(f"{path}.nodeID"))
    if len(node_id) > MAX_NODE_ID_CHARACTERS:
        errors.append(invalid(f"{path}.nodeID", node_id, f"must be {MAX_NODE_ID_CHARACTERS} characters or less"))
    seen = set()
    for key in driver.get("topologyKeys") or ():
        if not key:
            errors.append(required(path))
        if key in seen:
            errors.append(duplicate(path, key))
        seen.add(key)
        errors += [invalid(path, key, problem) for problem in qualified_name(key)]


def node_drivers(spec: Any, path: str, errors: Errors) -> None:
    seen = set()
    for i, driver in enumerate(spec.get("drivers") or ()):
        node_driver(driver, f"{path}.drivers[{i}]", errors)
        if driver.get("name") in seen:
            errors.append(duplicate(f"{path}.drivers[{i}].name", driver.get("name")))
        seen.add(driver.get("name"))


NODE = compile_rules({"spec": {"": node_drivers, "drivers[]": {"allocatable": {"count": not_negative}}}}, root=True)


def validate_node_update(new: Object, old: Object, subresource: str) -> Errors:
    """A driver's entry stays as it was, but for how many volumes it allows; entries come and go."""

    def entries(node: Object) -> dict[str, Object]:
        drivers = at(node, "spec.drivers") or ()
        return {d.get("name", ""): {k: v for k, v in d.items() if k != "allocatable"} for d in drivers}

    before = entries(old)
    return [
        invalid("spec.drivers", entry, IMMUTABLE)
        for name, entry in entries(new).items()
        if name in before and entry != before[name]
    ]


def capacity_of_class(capacity: Any, path: str, errors: Errors) -> None:
    name = capacity.get("storageClassName") or ""
    errors += [invalid("storageClassName", name, problem) for problem in dns_subdomain(name)]
    if capacity.get("capacity") is not None:
        quantity(capacity["capacity"], "capacity", errors)


STORAGE_CAPACITY = compile_rules({"nodeTopology": {"": check_selector}, "": capacity_of_class}, root=True)


def validate_storage_capacity_update(new: Object, old: Object, subresource: str) -> Errors:
    return immutable(new, old, "nodeTopology", "storageClassName")


def attachment_source(spec: Any, path: str, errors: Errors) -> None:
    source = spec.get("source") or {}
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if inline is None and name is None:
        errors.append(required(f"{path}.source", ONE_SOURCE))
    elif inline is not None and name is not None:
        errors.append(forbidden(f"{path}.source", ONE_SOURCE))
    elif name == "":
        errors.append(required(f"{path}.source.persistentVolumeName", "must specify non empty persistentVolumeName"))
    node = spec.get("nodeName") or ""
    errors += [invalid(f"{path}.nodeName", node, problem) for problem in dns_subdomain(node)]
    if name:
        errors += [invalid(f"{path}.source.persistentVolumeName", name, problem) for problem in dns_subdomain(name)]
    driver_name(spec.get("attacher"), f"{path}.attacher", errors)


VOLUME_ATTACHMENT = compile_rules({"spec": {"": attachment_source}}, root=True)


def validate_volume_attachment_update(new: Object, old: Object, subresource: str) -> Errors:
    errors = immutable(new, old, "spec")
    status = new.get("status") or {}
    size = sum(len(key) + len(value) for key, value in (status.get("attachmentMetadata") or {}).items())
    if size > MAX_ATTACHMENT_METADATA_BYTES:
        errors.append(too_long("status.attachmentMetadata", MAX_ATTACHMENT_METADATA_BYTES))
    for field in ("attachError", "detachError"):
        if len(((status.get(field) or {}).get("message") or "").encode()) > MAX_ERROR_MESSAGE_BYTES:
            errors.append(too_long(f"status.{field}.message", MAX_ERROR_MESSAGE_BYTES))
    return errors


def attributes(volume_class: Any, path: str, errors: Errors) -> None:
    name = volume_class.get("driverName") or ""
    if not name:
        errors.append(required("driverName", name))
    else:
        errors += [invalid("driverName", name, problem) for problem in qualified_name(name.lower())]
    if not volume_class.get("parameters"):
        errors.append(required("parameters", "must contain at least one key/value pair"))


VOLUME_ATTRIBUTES_CLASS = compile_rules({"": attributes}, root=True)


def validate_volume_attributes_class_update(new: Object, old: Object, subresource: str) -> Errors:
    return [
        forbidden(field, f"updates to {field} are forbidden.")
        for field in ("driverName", "parameters")
        if new.get(field) != old.get(field)
    ]
