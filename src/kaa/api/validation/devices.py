"""Rules that claims, classes and slices of devices share: names, selectors, configurations, taints and tolerations.

The CEL expressions of selectors are not compiled or evaluated: an expression has to be there, and not be too long.
"""

import re
from collections.abc import Callable
from typing import Any

import orjson

from kaa.api.validation.fields import duplicate, invalid, required, too_long, too_many
from kaa.api.validation.names import SUBDOMAIN_LENGTH, dns_label, dns_subdomain, label_value, must_match, qualified_name
from kaa.api.validation.walker import REQUIRED, Check, Errors, compile_rules, one_of, valid

MAX_SELECTORS = 32
MAX_EXPRESSION_BYTES = 10 * 1024
MAX_PARAMETERS_BYTES = 10 * 1024
MAX_DRIVER_CHARACTERS = 63
MAX_DOMAIN_BYTES = 63
MAX_ID_BYTES = 32
MAX_BINDING_CONDITIONS = 4

_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_identifier = re.compile(_IDENTIFIER)
NOT_AN_IDENTIFIER = must_match(
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric "
    "characters or '_'",
    _IDENTIFIER,
    "my_name",
    "MY_NAME",
    "MyName",
)
NOT_QUALIFIED = "a fully qualified name must be a domain and a name separated by a slash"
NOT_A_DRIVER = must_match(
    "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start and end with an "
    "alphanumeric character",
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
    "Example.com",
)
NO_SUCH_REQUEST = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)
NOT_AN_OBJECT = "must be a valid JSON object"
OMITTED = "<value omitted>"
EFFECTS = one_of("NoExecute", "NoSchedule", "None")


def at_most(field: str, limit: int, check_item: Check | None = None) -> Check:
    """A list of so many elements. Those of one that is too long are not judged."""

    def check(obj: Any, path: str, errors: Errors) -> None:
        items = obj.get(field) or ()
        if len(items) > limit:
            errors.append(too_many(f"{path}.{field}", len(items), limit))
        elif check_item is not None:
            for i, item in enumerate(items):
                check_item(item, f"{path}.{field}[{i}]", errors)

    return check


def distinct(field: str, key: Callable[[Any], Any]) -> Check:
    """Elements of the list differ in `key`; the second of two is the error, and shown whole."""

    def check(obj: Any, path: str, errors: Errors) -> None:
        seen = set()
        for i, item in enumerate(obj.get(field) or ()):
            named = key(item)
            if named in seen:
                errors.append(duplicate(f"{path}.{field}[{i}]", item))
            seen.add(named)

    return check


def named(obj: Any, path: str, errors: Errors) -> None:
    """The name is a DNS label; an empty one is no label."""
    name = obj.get("name") or ""
    errors += [invalid(f"{path}.name", name, problem) for problem in dns_label(name)]


def identifier(domain: str, name: str, path: str, errors: Errors, prefix: str = "") -> None:
    """The two parts of an attribute's or a capacity's qualified name; `prefix` goes before the domain's problems."""
    if len(domain) > MAX_DOMAIN_BYTES:
        errors.append(too_long(path, MAX_DOMAIN_BYTES))
    errors += [invalid(path, domain, prefix + problem) for problem in dns_subdomain(domain)] if domain else []
    if len(name) > MAX_ID_BYTES:
        errors.append(too_long(path, MAX_ID_BYTES))
    if not _identifier.fullmatch(name):
        errors.append(invalid(path, name, NOT_AN_IDENTIFIER))


def driver(value: str, path: str, errors: Errors) -> None:
    """Like a host's name, in whatever case."""
    if len(value) > MAX_DRIVER_CHARACTERS:
        errors.append(too_long(path, MAX_DRIVER_CHARACTERS, "characters"))
    if dns_subdomain(value[:SUBDOMAIN_LENGTH].lower()):
        errors.append(invalid(path, value, NOT_A_DRIVER))


def json_object(value: Any, path: str, errors: Errors, limit: int = MAX_PARAMETERS_BYTES) -> None:
    """What a driver understands and the server only keeps."""
    if len(orjson.dumps(value)) > limit:
        errors.append(too_long(path, limit))
    elif not isinstance(value, dict):
        errors.append(invalid(path, OMITTED, NOT_AN_OBJECT))


def parameters(opaque: Any, path: str, errors: Errors) -> None:
    value = opaque.get("parameters")
    if value is None:
        errors.append(required(f"{path}.parameters"))
    else:
        json_object(value, f"{path}.parameters", errors)


def opaque_is_there(config: Any, path: str, errors: Errors) -> None:
    if config.get("opaque") is None:
        errors.append(required(f"{path}.opaque"))


def selector(value: Any, path: str, errors: Errors) -> None:
    if value.get("cel") is None:
        errors.append(required(f"{path}.cel"))
        return
    expression, path = value["cel"].get("expression") or "", f"{path}.cel.expression"
    if not expression:
        errors.append(required(path))
    elif len(expression.encode()) > MAX_EXPRESSION_BYTES:
        errors.append(too_long(path, MAX_EXPRESSION_BYTES))


def toleration(value: Any, path: str, errors: Errors) -> None:
    given = value.get("value")
    if given and value.get("operator") == "Exists":
        errors.append(invalid(f"{path}.value", given, "must be empty for operator `Exists`"))
    elif given:
        errors += [invalid(f"{path}.value", given, problem) for problem in label_value(given)]


def taint_key(taint: Any, path: str, errors: Errors) -> None:
    key = taint.get("key") or ""
    errors += [invalid(f"{path}.key", key, problem) for problem in qualified_name(key)]


def binding_conditions(device: Any, path: str, errors: Errors) -> None:
    """What has to become true before a pod is bound, and what says that it never will: both, or neither."""
    wanted, failures = ("bindingConditions", "bindingFailureConditions")
    for field, other in ((failures, wanted), (wanted, failures)):
        if device.get(other) and not device.get(field):
            errors.append(invalid(f"{path}.{field}", None, f"{field} are required to use {other}"))
    for field in (wanted, failures):
        distinct(field, str)(device, path, errors)
        at_most(field, MAX_BINDING_CONDITIONS, condition_name)(device, path, errors)


condition_name = valid(qualified_name)

SELECTORS = at_most("selectors", MAX_SELECTORS, selector)
CONFIG = compile_rules({"": opaque_is_there, "opaque": {"": parameters, "driver": (REQUIRED, driver)}})
TOLERATION = compile_rules(
    {"": toleration, "key": valid(qualified_name), "operator": one_of("Equal", "Exists"), "effect": EFFECTS}
)
TAINT = compile_rules({"": taint_key, "value": valid(label_value), "effect": (REQUIRED, EFFECTS)})
