"""Values that break things: numbers beyond their type, strings of every odd kind, and objects made of them.

`objects_of(definition)` makes objects whose fields have the types that the schema says and values that nobody wants;
so they get past decoding, to defaults, rules, columns and admission.
"""

import copy
import os
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from kaa.api.schema import Definition, builtin_schema

EXAMPLES = os.environ.get("KAA_FUZZ_EXAMPLES")
BOUNDED = settings(
    max_examples=int(EXAMPLES or "40"),
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
"""The same requests each time. `KAA_FUZZ_EXAMPLES=2000` looks harder, at new ones each time."""

MAX_DEPTH = 5
"""Levels of nested types in a made-up object; deeper fields are left out."""

ODD_STRINGS = [
    "",
    " ",
    "0",
    "-1",
    "a",
    "A_b",
    "a" * 64,
    "a" * 300,
    "..",
    "../..",
    "a/b",
    "a:b",
    "*",
    "%s",
    "%2e%2e",
    "\0",
    "\ud7ff",
    "é",
    "\U0001f4a5",
    "1e999999999",
    "9" * 5000,
    "10.0.0.300",
    "::1",
    "10.0.0.0/8",
    "fe80::/10",
    "http://[",
    "1970-01-01T00:00:00Z",
    "99999-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "* * * * *",
    "@every 0s",
    "100%",
    "-5%",
    "default",
    "kubernetes.io/x",
    "١٢",
    "²",
]
"""Arabic and superscript digits are digits to some functions and not to others."""
STRINGS = st.one_of(st.sampled_from(ODD_STRINGS), st.text(max_size=8))

INTEGERS = st.sampled_from([0, 1, -1, 2, 10, 80, 65535, 65536, 2**31 - 1, -(2**31)])
LARGE_INTEGERS = st.one_of(INTEGERS, st.sampled_from([2**31, 2**53, 2**63 - 1, -(2**63)]))
QUANTITIES = st.sampled_from(["0", "-1", "1", "1m", "0.0000000000001", "1Ei", "999999999999Ei", "1e18", "100n", "10Gi"])
TIMES = st.sampled_from(["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", None])
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), LARGE_INTEGERS, st.floats(allow_nan=False, allow_infinity=False), STRINGS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(STRINGS, inner, max_size=3)),
    max_leaves=8,
)
ODD = st.one_of(
    STRINGS, LARGE_INTEGERS, QUANTITIES, st.sampled_from([None, True, [], {}, [None], [{}], {"a": "b"}]), ANYTHING
)
"""What stands in a good object's place, whatever was there."""

_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": STRINGS,
    "bool": st.booleans(),
    "bytes": st.sampled_from(["", "AA==", "aGVsbG8="]),
    "int32": INTEGERS,
    "uint32": st.sampled_from([0, 1, 2**31]),
    "int64": LARGE_INTEGERS,
    "float64": st.sampled_from([0.0, -1.5, 1e300]),
    "time": TIMES,
    "microtime": TIMES,
    "quantity": QUANTITIES,
    "intorstring": st.one_of(INTEGERS, STRINGS),
    "raw": st.dictionaries(STRINGS, ANYTHING, max_size=2),
    "fieldsv1": st.dictionaries(STRINGS, ANYTHING, max_size=2),
    "strings": st.lists(STRINGS, max_size=2),
}


@st.composite
def objects_of(draw: st.DrawFn, definition: Definition, depth: int = 0) -> dict[str, Any]:
    """An object with some of the type's fields; those that are required are there more often than not."""
    obj: dict[str, Any] = {}
    for field in definition.fields.values():
        if depth == 0 and field.name in ("apiVersion", "kind", "metadata", "status"):
            continue
        is_wanted = draw(st.integers(0, 9)) < (9 if field.required or depth == 0 else 3)
        if is_wanted and (depth < MAX_DEPTH or not builtin_schema().is_type(field.element)):
            obj[field.name] = draw(_values_of(field.type, depth))
    return obj


def _values_of(type_: str, depth: int) -> st.SearchStrategy[Any]:
    if type_.startswith("*"):
        return _values_of(type_[1:], depth)
    if type_.startswith("[]"):
        return st.lists(_values_of(type_[2:], depth), max_size=2)
    if type_.startswith("map[string]"):
        return st.dictionaries(STRINGS, _values_of(type_.removeprefix("map[string]"), depth), max_size=2)
    if builtin_schema().is_type(type_):
        return st.deferred(lambda: objects_of(builtin_schema().definition(type_), depth + 1))
    return _SCALARS.get(type_.partition(":")[0], ANYTHING)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def replaced(value: dict[str, Any], path: tuple[Any, ...], odd: Any) -> dict[str, Any]:
    changed = copy.deepcopy(value)
    container: Any = changed
    for key in path[:-1]:
        container = container[key]
    container[path[-1]] = odd
    return changed
