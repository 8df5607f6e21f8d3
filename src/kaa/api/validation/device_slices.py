"""Rules for slices of a pool of devices: what a driver says there is, and on which nodes."""

import re
from typing import Any

from kaa.api.quantity import parse_quantity
from kaa.api.validation.devices import TAINT, at_most, binding_conditions, distinct, identifier, named
from kaa.api.validation.fields import duplicate, forbidden, invalid, required, too_long, too_many
from kaa.api.validation.names import dns_label, dns_subdomain
from kaa.api.validation.pods import NODE_SELECTOR
from kaa.api.validation.walker import REQUIRED, Errors, compile_rules, valid

MAX_DRIVER_BYTES = 63
MAX_POOL_BYTES = 253
MAX_DEVICES = 128
MAX_ADVANCED_DEVICES = 64
MAX_ATTRIBUTES_AND_CAPACITIES = 32
MAX_TEXT_BYTES = 64
MAX_TAINTS = 16
MAX_COUNTER_SETS, MAX_COUNTERS, MAX_CONSUMPTIONS = 8, 32, 2

ADVANCED = ("taints", "consumesCounters")
"""Devices with these are bigger, so that a slice may hold fewer of them."""

NODES_OF_SLICE = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
NODES_OF_DEVICE = ("nodeName", "nodeSelector", "allNodes")
VALUE_TYPES = ("int", "bool", "string", "version")
ALL_VALUE_TYPES = "`int`, `bool`, `string`, `version`, `ints`, `bools`, `strings`, `versions`"

ONE_SELECTION = f"exactly one of {', '.join(f'`{field}`' for field in NODES_OF_SLICE)} is required"
PER_DEVICE = "is set to true in the ResourceSlice spec"
ONE_DEVICE_SELECTION = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` " + PER_DEVICE
)
NOT_PER_DEVICE = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` " + PER_DEVICE
NOT_A_VERSION = "must be a string compatible with semver.org spec 2.0.0"
TWO_POLICIES = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'

_NUMBER = "(0|[1-9][0-9]*)"
_PART = "(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_version = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PART}(\.{_PART})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?")


def driver(spec: Any, path: str, errors: Errors) -> None:
    value, path = spec.get("driver") or "", f"{path}.driver"
    if not value:
        errors.append(required(path))
        return
    if len(value) > MAX_DRIVER_BYTES:
        errors.append(too_long(path, MAX_DRIVER_BYTES))
    errors += [invalid(path, value, problem) for problem in dns_subdomain(value.lower())]


def pool(spec: Any, path: str, errors: Errors) -> None:
    value, path = spec.get("pool") or {}, f"{path}.pool"
    name, slices, generation = value.get("name") or "", value.get("resourceSliceCount", 0), value.get("generation", 0)
    if not name:
        errors.append(required(f"{path}.name"))
    else:
        if len(name.encode()) > MAX_POOL_BYTES:
            errors.append(too_long(f"{path}.name", MAX_POOL_BYTES))
        for part in name.split("/"):
            errors += [invalid(f"{path}.name", part, problem) for problem in dns_subdomain(part)]
    if slices <= 0:
        errors.append(invalid(f"{path}.resourceSliceCount", slices, "must be greater than zero"))
    if generation < 0:
        errors.append(invalid(f"{path}.generation", generation, "must be greater than or equal to zero"))


def selected(obj: Any, fields: tuple[str, ...], path: str, errors: Errors) -> list[str]:
    """The ways of choosing nodes that are used. A flag is set to true, or not at all."""
    chosen = []
    for field in fields:
        value = obj.get(field)
        if value is False:
            errors.append(invalid(f"{path}.{field}", value, "must be either unset or set to true"))
        elif value == "":
            errors.append(invalid(f"{path}.{field}", value, "must be either unset or set to a non-empty string"))
        elif value is not None:
            chosen.append(field)
    return chosen


def fields_shown(fields: list[str]) -> str:
    return "{" + ", ".join(f"`{field}`" for field in fields) + "}"


def one_term(selector: Any, path: str, errors: Errors) -> None:
    terms = selector.get("nodeSelectorTerms") or []
    if len(terms) != 1:
        errors.append(invalid(f"{path}.nodeSelectorTerms", terms, "must have exactly one node selector term"))


def nodes(spec: Any, path: str, errors: Errors) -> None:
    chosen = selected(spec, NODES_OF_SLICE, path, errors)
    if not chosen:
        errors.append(required(path, ONE_SELECTION))
    elif len(chosen) > 1:
        errors.append(invalid(path, fields_shown(chosen), f"{ONE_SELECTION}, but multiple fields are set"))


def nodes_of_devices(spec: Any, path: str, errors: Errors) -> None:
    """Each device says on which nodes it is where the slice leaves that to them, and only there."""
    per_device = bool(spec.get("perDeviceNodeSelection"))
    for i, device in enumerate(spec.get("devices") or ()):
        at_device = f"{path}.devices[{i}]"
        if per_device:
            chosen = selected(device, NODES_OF_DEVICE, at_device, errors)
            if not chosen:
                errors.append(required(at_device, ONE_DEVICE_SELECTION))
            elif len(chosen) > 1:
                errors.append(invalid(at_device, fields_shown(chosen), ONE_DEVICE_SELECTION))
        elif any(device.get(field) is not None for field in NODES_OF_DEVICE):
            errors.append(invalid(at_device, None, NOT_PER_DEVICE))


def qualified(name: str, path: str, errors: Errors) -> None:
    """`<name>` is in the driver's own domain. Upstream lets more than one slash pass."""
    domain, slash, last = name.rpartition("/")
    if slash and not domain:
        errors.append(invalid(path, "", "the domain must not be empty"))
    if "/" not in domain:
        identifier(domain, last, path, errors)


def attributes(device: Any, path: str, errors: Errors) -> None:
    """Each has one value, of one type."""
    for name, attribute in (device.get("attributes") or {}).items():
        qualified(name, f"{path}.attributes", errors)
        at_attribute = f"{path}.attributes[{name}]"
        types = [kind for kind in VALUE_TYPES if attribute.get(kind) is not None]
        if not types:
            errors.append(invalid(at_attribute, "", f"must specify one of: {ALL_VALUE_TYPES}"))
        elif len(types) > 1:
            shown = "{" + ", ".join(types) + "}"
            errors.append(invalid(at_attribute, shown, f"must specify exactly one of: {ALL_VALUE_TYPES}"))
        for kind in ("string", "version"):
            text = attribute.get(kind)
            if text is not None and len(text.encode()) > MAX_TEXT_BYTES:
                errors.append(too_long(f"{at_attribute}.{kind}", MAX_TEXT_BYTES))
            elif kind == "version" and text is not None and not _version.fullmatch(text):
                errors.append(invalid(f"{at_attribute}.version", text, NOT_A_VERSION))


def capacities(device: Any, path: str, errors: Errors) -> None:
    for name, capacity in (device.get("capacity") or {}).items():
        qualified(name, f"{path}.capacity", errors)
        policy = capacity.get("requestPolicy")
        if policy is None:
            continue
        at_policy = f"{path}.capacity[{name}].requestPolicy"
        if not device.get("allowMultipleAllocations"):
            errors.append(forbidden(at_policy, "allowMultipleAllocations must be true"))
        else:
            request_policy(policy, capacity["value"], at_policy, errors)
    total = len(device.get("attributes") or ()) + len(device.get("capacity") or ())
    if total > MAX_ATTRIBUTES_AND_CAPACITIES:
        why = f"the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES_AND_CAPACITIES}"
        errors.append(invalid(path, total, why))


def request_policy(policy: Any, capacity: str, path: str, errors: Errors) -> None:
    """Which parts of a capacity one of several consumers may ask for: some amounts, or a range of them."""
    values, within = policy.get("validValues") or (), policy.get("validRange")
    if values and within is not None:
        errors.append(forbidden(path, TWO_POLICIES))
        return
    if values and policy.get("default") is None:
        errors.append(required(f"{path}.default", "required when validValues is defined"))
    for i, value in enumerate(values):
        if value in values[:i]:
            errors.append(duplicate(f"{path}.validValues[{i}]", value))
        if parse_quantity(value) > parse_quantity(capacity):
            why = f"option is larger than capacity value: {capacity}"
            errors.append(invalid(f"{path}.validValues[{i}]", value, why))
    low, high = (within or {}).get("min"), (within or {}).get("max")
    if low is not None and parse_quantity(low) > parse_quantity(capacity):
        errors.append(invalid(f"{path}.validRange.min", low, f"min is larger than capacity value: {capacity}"))
    if low is not None and high is not None and parse_quantity(low) > parse_quantity(high):
        errors.append(invalid(f"{path}.validRange.max", low, f"min is larger than max: {high}"))
    default = policy.get("default")
    if default is not None and high is not None and parse_quantity(default) > parse_quantity(high):
        errors.append(invalid(f"{path}.validRange.default", default, f"default is more than max: {high}"))


def counters(obj: Any, path: str, errors: Errors) -> None:
    given, path = obj.get("counters") or {}, f"{path}.counters"
    if not given:
        errors.append(required(path))
    elif len(given) > MAX_COUNTERS:
        errors.append(too_many(path, len(given), MAX_COUNTERS))
    for name in given:
        errors += [invalid(path, name, problem) for problem in dns_label(name)]


def advanced_devices(spec: Any, path: str, errors: Errors) -> None:
    devices = spec.get("devices") or ()
    is_advanced = any(device.get(field) for device in devices for field in ADVANCED)
    at_most("devices", MAX_ADVANCED_DEVICES if is_advanced else MAX_DEVICES, DEVICE)(spec, path, errors)
    if devices and spec.get("sharedCounters"):
        errors.append(invalid(path, "", "only one of `sharedCounters` or `devices` is allowed"))
    seen = set()
    for i, device in enumerate(devices):
        name = device.get("name")
        if name in seen:
            errors.append(duplicate(f"{path}.devices[{i}]", name))
        seen.add(name)


CONSUMPTION = compile_rules({"": counters, "counterSet": (REQUIRED, valid(dns_label))})
COUNTER_SET = compile_rules({"": counters, "name": (REQUIRED, valid(dns_label))})
NODES = {"nodeName": valid(dns_subdomain), "nodeSelector": NODE_SELECTOR | {"": (NODE_SELECTOR[""], one_term)}}
DEVICE = compile_rules(
    {
        "": (
            named,
            attributes,
            capacities,
            binding_conditions,
            at_most("taints", MAX_TAINTS, TAINT),
            distinct("consumesCounters", lambda consumption: consumption.get("counterSet")),
            at_most("consumesCounters", MAX_CONSUMPTIONS, CONSUMPTION),
        ),
        **NODES,
    }
)
SLICE = compile_rules(
    {
        "spec": {
            "": (
                driver,
                pool,
                nodes,
                advanced_devices,
                nodes_of_devices,
                distinct("sharedCounters", lambda counter_set: counter_set.get("name")),
                at_most("sharedCounters", MAX_COUNTER_SETS, COUNTER_SET),
            ),
            **NODES,
        }
    },
    root=True,
)
