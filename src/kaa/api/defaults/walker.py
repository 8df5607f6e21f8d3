"""Defaults are tables of paths; one walker, compiled to closures, applies them.

A table maps a field to what it becomes when its author left it out (absent, null, or the empty string):

    {
        "replicas": 1,                          a constant
        "imagePullPolicy": pull_policy,         a function of the object that has the field; None: leave it out
        "strategy": created({"type": ...}),     an object that always exists, with defaults of its own
        "periodSeconds": zero(10),              a constant that replaces 0 too
        "livenessProbe": {...},                 a table for the object, if there is one
        "containers[]": {...},                  a table for each element of a list
        "": fill_something,                     a function that changes the whole object, or several of them
    }

Constants come first, then the rest in the order written. Objects are of the right types already: whoever applies
defaults has checked them against the schema.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from kaa.api.objects import Object
from kaa.api.resource import SetDefaults

Table: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class created:
    """The object is made if it isn't there, and filled by `table`."""

    table: Table


@dataclass(frozen=True, slots=True)
class zero:
    """The default of a plain number, whose 0 can't be told from its absence."""

    value: int


EMPTY = created({})
"""A struct that is always on the wire, if only as `{}`."""


def compile_defaults(table: Table) -> SetDefaults:
    """The function that applies the table in place."""
    constants = tuple((key, rule) for key, rule in table.items() if isinstance(rule, str | int))
    steps = tuple(
        (_only_if_present(key, rule), _step(key, rule))
        for key, rule in table.items()
        if not isinstance(rule, str | int)
    )

    def apply(obj: Object) -> None:
        for key, value in constants:
            current = obj.get(key)
            if not current and (current is None or current == ""):
                obj[key] = value
        # Most fields are absent from most objects: those should not even cost a call.
        for field, step in steps:
            if field is None or field in obj:
                step(obj)

    return apply


def _only_if_present(key: str, rule: Any) -> str | None:
    """The field without which a step has nothing to fill; None: it may make it."""
    return key.removesuffix("[]") if isinstance(rule, Mapping) and key != "" else None


def _step(key: str, rule: Any) -> SetDefaults:
    if key == "":
        functions = rule if isinstance(rule, tuple) else (rule,)
        return lambda obj: _call_each(functions, obj)
    if key.endswith("[]"):
        return _for_each(key.removesuffix("[]"), compile_defaults(rule))
    if isinstance(rule, created):
        return _create(key, compile_defaults(rule.table))
    if isinstance(rule, zero):
        return _replace_zero(key, rule.value)
    if isinstance(rule, Mapping):
        return _inside(key, compile_defaults(rule))
    return _computed(key, rule)


def _call_each(functions: tuple[SetDefaults, ...], obj: Object) -> None:
    for function in functions:
        function(obj)


def _for_each(key: str, apply: SetDefaults) -> SetDefaults:
    def step(obj: Object) -> None:
        for item in obj.get(key) or ():
            apply(item)

    return step


def _create(key: str, apply: SetDefaults) -> SetDefaults:
    def step(obj: Object) -> None:
        child = obj.get(key)
        if child is None:
            child = obj[key] = {}
        apply(child)

    return step


def _inside(key: str, apply: SetDefaults) -> SetDefaults:
    def step(obj: Object) -> None:
        child = obj.get(key)
        if child is not None:
            apply(child)

    return step


def _replace_zero(key: str, value: int) -> SetDefaults:
    def step(obj: Object) -> None:
        if not obj.get(key):
            obj[key] = value

    return step


def _computed(key: str, function: Callable[[Object], Any]) -> SetDefaults:
    def step(obj: Object) -> None:
        current = obj.get(key)
        if (current is None or current == "") and (value := function(obj)) is not None:
            obj[key] = value

    return step
