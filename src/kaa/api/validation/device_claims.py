"""Rules for claims to devices, the templates they are made from, and the classes they name."""

import ipaddress
import re
from typing import Any

from kaa.api.objects import Object
from kaa.api.validation.conditions import check_conditions
from kaa.api.validation.devices import (
    CONFIG,
    NO_SUCH_REQUEST,
    NOT_QUALIFIED,
    SELECTORS,
    TOLERATION,
    at_most,
    binding_conditions,
    distinct,
    driver,
    identifier,
    json_object,
    named,
)
from kaa.api.validation.fields import IMMUTABLE, duplicate, forbidden, invalid, required, too_long
from kaa.api.validation.metadata import check_template_metadata
from kaa.api.validation.names import dns_label, dns_subdomain, qualified_name
from kaa.api.validation.pods import NODE_SELECTOR
from kaa.api.validation.walker import REQUIRED, Errors, compile_rules, errors_of, one_of, valid

MAX_REQUESTS = MAX_RESULTS = 32
MAX_CONSTRAINTS = MAX_CONFIGS = MAX_REFERENCES = 32
MAX_ALLOCATED_CONFIGS = 64
MAX_SUBREQUESTS = 8
MAX_CONSUMERS = 256
MAX_POOL_BYTES = 253
MAX_ADDRESSES = 16
MAX_INTERFACE_BYTES, MAX_HARDWARE_BYTES = 256, 128

ONE_REQUEST_TYPE = "exactly one of `exactly` or `firstAvailable` is required"
ONE_ATTRIBUTE = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
"""Upstream's words, said where neither is set."""
NOT_A_UUID = "must be a lowercase UUID in 8-4-4-4-12 format"
NOT_AN_INTERFACE_ADDRESS = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
NOT_ALLOCATED = "may not be specified when `allocated` is not set"
UNSET_ONCE = "field cannot be modified once set"
NO_DOMAIN = "a name must be a domain-prefixed path, such as 'example.com/my-prop'"

_uuid = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def name_of(request: Any) -> str:
    return request.get("name") or ""


def count(request: Any, path: str, errors: Errors) -> None:
    """All devices are no number of devices."""
    wanted, mode = request.get("count") or 0, request.get("allocationMode")
    if mode == "All" and wanted:
        errors.append(invalid(f"{path}.count", wanted, "must not be specified when allocationMode is 'All'"))
    if mode == "ExactCount" and wanted <= 0:
        errors.append(invalid(f"{path}.count", wanted, "must be greater than zero"))


def one_request_type(request: Any, path: str, errors: Errors) -> None:
    exactly, alternatives = request.get("exactly") is not None, bool(request.get("firstAvailable"))
    if exactly and alternatives:
        errors.append(invalid(path, None, f"{ONE_REQUEST_TYPE}, but multiple fields are set"))
    elif not exactly and not alternatives:
        errors.append(required(path, ONE_REQUEST_TYPE))


DEVICES_WANTED = {
    "": (SELECTORS, count),
    "deviceClassName": (REQUIRED, valid(dns_subdomain)),
    "allocationMode": one_of("All", "ExactCount"),
    "tolerations[]": TOLERATION,
}
SUBREQUEST = compile_rules(DEVICES_WANTED | {"": (named, SELECTORS, count)})
REQUEST = compile_rules(
    {
        "": (
            named,
            one_request_type,
            distinct("firstAvailable", name_of),
            at_most("firstAvailable", MAX_SUBREQUESTS, SUBREQUEST),
        ),
        "exactly": DEVICES_WANTED,
    }
)


def attribute(value: str, path: str, errors: Errors) -> None:
    """`<domain>/<name>`. Upstream lets more than one slash pass."""
    domain, slash, name = value.partition("/")
    if not slash:
        errors.append(invalid(path, value, NOT_QUALIFIED))
        return
    empty = [part for part, text in (("prefix", domain), ("name", name)) if not text]
    errors += [invalid(path, "", f"{part} must not be empty") for part in empty]
    if not empty and "/" not in name:
        identifier(domain, name, path, errors, prefix="prefix: ")


def one_attribute(constraint: Any, path: str, errors: Errors) -> None:
    if constraint.get("matchAttribute") is None and constraint.get("distinctAttribute") is None:
        errors.append(required(path, ONE_ATTRIBUTE))
    if constraint.get("matchAttribute") == "":
        errors.append(invalid(f"{path}.matchAttribute", "", NOT_QUALIFIED))


def request_names(devices: Any) -> set[str]:
    """What a constraint or a configuration can refer to: requests, and each of their alternatives."""
    names = set()
    for request in devices.get("requests") or ():
        name = name_of(request)
        names.add(name)
        names.update(f"{name}/{name_of(sub)}" for sub in request.get("firstAvailable") or ())
    return names


def check_reference(reference: str, known: set[str], path: str, errors: Errors) -> None:
    parts = reference.split("/")
    for part in parts if len(parts) <= 2 else ():
        errors += [invalid(path, part, problem) for problem in dns_label(part)]
    if reference not in known:
        errors.append(invalid(path, reference, NO_SUCH_REQUEST))


def check_references(referring: Any, known: set[str], path: str, errors: Errors) -> None:
    at_most("requests", MAX_REFERENCES)(referring, path, errors)
    references = referring.get("requests") or ()
    if len(references) > MAX_REFERENCES:
        return
    for i, reference in enumerate(references):
        if reference in references[:i]:
            errors.append(duplicate(f"{path}.requests[{i}]", reference))
        else:
            check_reference(reference, known, f"{path}.requests[{i}]", errors)


def references(devices: Any, path: str, errors: Errors) -> None:
    known = request_names(devices)
    for field in ("constraints", "config"):
        for i, referring in enumerate(devices.get(field) or ()):
            check_references(referring, known, f"{path}.{field}[{i}]", errors)


CONSTRAINT = compile_rules({"": one_attribute, "matchAttribute": attribute, "distinctAttribute": attribute})
CLAIM_SPEC = {
    "devices": {
        "": (
            distinct("requests", name_of),
            at_most("requests", MAX_REQUESTS, REQUEST),
            at_most("constraints", MAX_CONSTRAINTS, CONSTRAINT),
            at_most("config", MAX_CONFIGS, CONFIG),
            references,
        )
    }
}
CLAIM = compile_rules({"spec": CLAIM_SPEC}, root=True)


def template_metadata(metadata: Any, path: str, errors: Errors) -> None:
    """Labels and annotations are all that a template gives to its claims."""
    check_template_metadata(metadata, path, errors)
    for field in sorted(metadata.keys() - {"labels", "annotations", "creationTimestamp"}):
        errors.append(forbidden(f"{path}.{field}", "cannot be set"))


CLAIM_TEMPLATE = compile_rules({"spec": {"metadata": {"": template_metadata}, "spec": CLAIM_SPEC}}, root=True)


def extended_resource(value: str, path: str, errors: Errors) -> None:
    """The name by which a pod's containers may ask for devices of the class."""
    domain, slash, _ = value.partition("/")
    if not slash:
        errors.append(invalid(path, value, NO_DOMAIN))
        return
    if domain == "kubernetes.io" or domain.endswith(".kubernetes.io"):
        errors.append(invalid(path, value, 'must not have "kubernetes.io/" domain'))
    if value.startswith("requests."):
        errors.append(invalid(path, value, 'must not have "requests." prefix'))
    errors += [invalid(path, value, problem) for problem in qualified_name(value)]


CLASS = compile_rules(
    {
        "spec": {
            "": (SELECTORS, at_most("config", MAX_CONFIGS, CONFIG)),
            "extendedResourceName": extended_resource,
        }
    },
    root=True,
)


def pool(value: str, path: str, errors: Errors) -> None:
    if len(value.encode()) > MAX_POOL_BYTES:
        errors.append(too_long(path, MAX_POOL_BYTES))
    for i, segment in enumerate(value.split("/")):
        problems = dns_subdomain(segment) if segment else ["must not be empty"]
        errors += [invalid(path, value, f"segment {i}: {problem}") for problem in problems]


def result(value: Any, path: str, errors: Errors) -> None:
    device, share = value.get("device") or "", value.get("shareID")
    errors += [invalid(f"{path}.device", device, problem) for problem in dns_label(device)]
    if share is not None and not _uuid.fullmatch(share):
        errors.append(invalid(f"{path}.shareID", share, NOT_A_UUID))


RESULT = compile_rules(
    {
        "": (result, binding_conditions),
        "driver": (REQUIRED, driver),
        "pool": (REQUIRED, pool),
        "tolerations[]": TOLERATION,
    }
)
ALLOCATED_CONFIG = (CONFIG, compile_rules({"source": (REQUIRED, one_of("FromClaim", "FromClass"))}))
CONSUMER = compile_rules({"resource": REQUIRED, "name": REQUIRED, "uid": REQUIRED})


def allocated_config(value: Any, path: str, errors: Errors) -> None:
    for check in ALLOCATED_CONFIG:
        check(value, path, errors)


def interface_address(value: str, path: str, errors: Errors) -> None:
    try:
        valid_form = "/" in value and ipaddress.ip_interface(value) is not None
    except ValueError:
        valid_form = False
    if not valid_form:
        errors.append(invalid(path, value, NOT_AN_INTERFACE_ADDRESS))


def network_names(data: Any, path: str, errors: Errors) -> None:
    for field, limit in (("interfaceName", MAX_INTERFACE_BYTES), ("hardwareAddress", MAX_HARDWARE_BYTES)):
        if len((data.get(field) or "").encode()) > limit:
            errors.append(too_long(f"{path}.{field}", limit))


def identity(device: Any) -> tuple[Any, ...]:
    return tuple(device.get(field) or "" for field in ("driver", "pool", "device", "shareID"))


def device_status(device: Any, path: str, errors: Errors) -> None:
    errors += check_conditions(device.get("conditions"), f"{path}.conditions")
    if device.get("data") is not None:
        json_object(device["data"], f"{path}.data", errors)


DEVICE_STATUS = compile_rules(
    {
        "": device_status,
        "networkData": {
            "": (network_names, distinct("ips", str), at_most("ips", MAX_ADDRESSES, interface_address)),
        },
    }
)
STATUS = compile_rules(
    {
        "status": {
            "": (
                distinct("reservedFor", lambda consumer: consumer.get("uid")),
                at_most("reservedFor", MAX_CONSUMERS, CONSUMER),
                distinct("devices", identity),
            ),
            "devices[]": DEVICE_STATUS,
            "allocation": {
                "nodeSelector": NODE_SELECTOR,
                "devices": {
                    "": (
                        at_most("results", MAX_RESULTS, RESULT),
                        at_most("config", MAX_ALLOCATED_CONFIGS, allocated_config),
                    )
                },
            },
        }
    },
    root=True,
)


def check_allocated(claim: Object) -> Errors:
    """What the status says belongs to what the spec asked for, and to what has been allocated."""
    errors: Errors = []
    status, known = claim.get("status") or {}, request_names(claim["spec"].get("devices") or {})
    allocated = (status.get("allocation") or {}).get("devices") or {}
    results, at_devices = allocated.get("results") or (), "status.allocation.devices"
    for i, each in enumerate(results if len(results) <= MAX_RESULTS else ()):
        check_reference(each.get("request") or "", known, f"{at_devices}.results[{i}].request", errors)
    for i, config in enumerate(allocated.get("config") or ()):
        check_references(config, known, f"{at_devices}.config[{i}]", errors)
    if status.get("reservedFor") and status.get("allocation") is None:
        errors.append(forbidden("status.reservedFor", NOT_ALLOCATED))
    identities = {identity(each) for each in results}
    for i, device in enumerate(status.get("devices") or ()):
        if identity(device) not in identities:
            shown = dict(zip(("Driver", "Pool", "Device", "ShareID"), identity(device), strict=True))
            errors.append(invalid(f"status.devices[{i}]", shown, "must be an allocated device in the claim"))
    return errors


def validate_claim_update(new: Object, old: Object, subresource: str) -> Errors:
    """What a claim asks for stays; what it got is not exchanged for something else."""
    if new["spec"] != old["spec"]:
        return [invalid("spec", None, IMMUTABLE)]
    status, before = new.get("status") or {}, old.get("status") or {}
    if status == before:
        return []
    errors = errors_of(STATUS, new) + check_allocated(new)
    allocations = before.get("allocation"), status.get("allocation")
    if None not in allocations and allocations[0] != allocations[1]:
        errors.append(invalid("status.allocation", None, UNSET_ONCE))
    return errors
