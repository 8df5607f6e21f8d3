"""Rules are tables of paths; one walker, compiled to closures, applies them and collects every violation.

A table maps a field to what must hold for it:

    {
        "name": (REQUIRED, valid(dns_label)),   checks of one value, in order; all but REQUIRED skip what is absent
        "policy": one_of("Always", "Never"),
        "probe": {...},                         a table for the object, if there is one
        "ports[]": {...} or a check,            for each element of a list
        "": unique_names,                       checks of the object itself
    }

A check is a function (value, path, errors) that appends to `errors`. REQUIRED ends the checks of its field when it
is violated: one error a field is enough.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from kaa.api.errors import FieldError
from kaa.api.objects import Object
from kaa.api.validation.fields import IMMUTABLE, NOT_NEGATIVE, duplicate, invalid, not_supported, required
from kaa.api.validation.names import Problems, between

Errors: TypeAlias = list[FieldError]
Check: TypeAlias = Callable[[Any, str, Errors], None]
Rules: TypeAlias = Mapping[str, Any]
Validator: TypeAlias = Callable[[Object, Object | None], Errors]
UpdateValidator: TypeAlias = Callable[[Object, Object, str], Errors]


def REQUIRED(value: Any, path: str, errors: Errors) -> None:
    """The field must be there, and not be empty."""
    errors.append(required(path))


def compile_rules(table: Rules, *, root: bool = False) -> Check:
    """The check of an object. `root`: the object is the whole one, whose path is empty."""
    dot = "" if root else "."
    steps = tuple(
        (_only_if_present(key, rule), _step(key, dot + key.removesuffix("[]"), rule)) for key, rule in table.items()
    )

    def check(obj: Any, path: str, errors: Errors) -> None:
        # Most fields are absent from most objects: those should not even cost a call.
        for key, step in steps:
            if key is None or key in obj:
                step(obj, path, errors)

    return check


def _only_if_present(key: str, rule: Any) -> str | None:
    """The field without which a step has nothing to check; None: it is always made."""
    is_required = rule is REQUIRED or (isinstance(rule, tuple) and rule[0] is REQUIRED)
    return None if key == "" or is_required else key.removesuffix("[]")


def _step(key: str, suffix: str, rule: Any) -> Check:
    if key == "":
        return _all_of(rule)
    if key.endswith("[]"):
        return _for_each(key.removesuffix("[]"), suffix, _compiled(rule))
    if isinstance(rule, Mapping):
        return _inside(key, suffix, compile_rules(rule))
    return _leaf(key, suffix, rule)


def _compiled(rule: Any) -> Check:
    return compile_rules(rule) if isinstance(rule, Mapping) else _all_of(rule)


def _all_of(rule: Any) -> Check:
    checks: tuple[Check, ...] = rule if isinstance(rule, tuple) else (rule,)
    if len(checks) == 1:
        return checks[0]

    def check(value: Any, path: str, errors: Errors) -> None:
        for each in checks:
            each(value, path, errors)

    return check


def _for_each(key: str, suffix: str, check_item: Check) -> Check:
    def check(obj: Any, path: str, errors: Errors) -> None:
        items = obj.get(key)
        if items:
            for i, item in enumerate(items):
                check_item(item, f"{path}{suffix}[{i}]", errors)

    return check


def _inside(key: str, suffix: str, check_child: Check) -> Check:
    def check(obj: Any, path: str, errors: Errors) -> None:
        child = obj.get(key)
        if child is not None:
            check_child(child, path + suffix, errors)

    return check


def _leaf(key: str, suffix: str, rule: Any) -> Check:
    checks: tuple[Check, ...] = rule if isinstance(rule, tuple) else (rule,)
    is_required = checks[0] is REQUIRED
    checks = checks[1:] if is_required else checks

    def check(obj: Any, path: str, errors: Errors) -> None:
        value = obj.get(key)
        if value is None or value == "" or (is_required and value in ({}, [])):
            if is_required:
                errors.append(required(path + suffix))
            return
        for each in checks:
            each(value, path + suffix, errors)

    return check


def valid(problems: Problems) -> Check:
    """Each of the name rule's problems is an error of its own."""

    def check(value: Any, path: str, errors: Errors) -> None:
        for problem in problems(value):
            errors.append(invalid(path, value, problem))

    return check


def one_of(*supported: str) -> Check:
    def check(value: Any, path: str, errors: Errors) -> None:
        if value not in supported:
            errors.append(not_supported(path, value, supported))

    return check


def in_range(low: int, high: int) -> Check:
    def check(value: Any, path: str, errors: Errors) -> None:
        if not low <= value <= high:
            errors.append(invalid(path, value, between(low, high)))

    return check


def not_negative(value: Any, path: str, errors: Errors) -> None:
    if value < 0:
        errors.append(invalid(path, value, NOT_NEGATIVE))


def above_zero(value: Any, path: str, errors: Errors) -> None:
    if value <= 0:
        errors.append(invalid(path, value, "must be greater than zero"))


def unique(field: str, key: str) -> Check:
    """Elements of the list differ in `key`; the second of two is the error."""

    def check(obj: Any, path: str, errors: Errors) -> None:
        seen = set()
        for i, item in enumerate(obj.get(field) or ()):
            name = item.get(key)
            if name and name in seen:
                errors.append(duplicate(f"{path}.{field}[{i}].{key}", name))
            seen.add(name)

    return check


port_number = in_range(1, 65535)


def at(obj: Object | None, path: str) -> Any:
    """The value at a dotted path, None where any part is absent."""
    value: Any = obj
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def immutable(new: Object, old: Object, *paths: str) -> Errors:
    """An error for each of these fields that is no longer what it was."""
    return [invalid(path, at(new, path), IMMUTABLE) for path in paths if _differ_at(new, old, path)]


def _differ_at(new: Any, old: Any, path: str) -> bool:
    for key in path.split("."):
        new = new.get(key) if isinstance(new, dict) else None
        old = old.get(key) if isinstance(old, dict) else None
        if new is old:
            return False  # whatever is in it
    return bool(new != old)


def errors_of(check: Check, obj: Object) -> Errors:
    """The errors that a check of a whole object finds."""
    errors: Errors = []
    check(obj, "", errors)
    return errors


def validator(check: Check) -> Validator:
    """The row's function for rules that are the same on create and update."""

    def validate(new: Object, old: Object | None) -> Errors:
        return errors_of(check, new)

    return validate


def unchanged(*paths: str) -> UpdateValidator:
    """The row's function for fields that never change."""

    def validate(new: Object, old: Object, subresource: str) -> Errors:
        return immutable(new, old, *paths)

    return validate
