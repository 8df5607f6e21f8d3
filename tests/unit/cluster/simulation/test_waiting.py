"""Conditions of `wait`: which objects they hold for."""

from typing import Any

import pytest

from kaa.cluster.simulation.waiting import Condition, predicate_of, split_jsonpath, value_at

READY = {"type": "Ready", "status": "True"}
STALLED = {"type": "Stalled", "status": "False"}
POD = {"metadata": {"name": "a"}, "status": {"phase": "Running", "n": 3, "ok": True, "conditions": [READY, STALLED]}}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("Ready", True),
        ("Ready=true", True),
        ("Ready=False", False),
        ("condition=Ready", True),
        ("condition=Stalled", False),
        ("condition=Stalled=False", True),
        ("Unknown", False),
        ("create", True),
        ("delete", False),
        ("jsonpath={.status.phase}=Running", True),
        ("jsonpath={.status.phase}=Failed", False),
        ("jsonpath={.status.phase}", True),
        ("jsonpath={.status.reason}", False),
        ("jsonpath={.status.n}=3", True),
        ("jsonpath={.status.ok}=true", True),
        ("jsonpath={.status.conditions[0].type}=Ready", True),
        ("jsonpath={.status.conditions[-1].type}=Stalled", True),
        ("jsonpath={.status.conditions[7].type}", False),
        ("jsonpath={.metadata.name.first}", False),
        (lambda pod: pod["status"]["phase"] == "Running", True),
        (lambda pod: pod["status"]["podIP"], False),
        (lambda pod: pod["status"]["conditions"][9], False),
    ],
)
def test_conditions(condition: Condition, holds: bool) -> None:
    """kubectl's forms, and functions for which what is not there yet is not yet so."""
    assert predicate_of(condition)(POD) is holds


@pytest.mark.parametrize("condition", ["Ready", "create", "jsonpath={.a}", lambda obj: True])
def test_an_object_that_is_not_there(condition: Condition) -> None:
    """Nothing is so of it but that it is gone."""
    assert predicate_of(condition)(None) is False
    assert predicate_of("delete")(None) is True
    assert predicate_of("delete")(POD) is False


def test_a_predicates_own_mistakes_are_raised() -> None:
    """Only what is missing in the object counts as not yet."""
    with pytest.raises(ZeroDivisionError):
        predicate_of(lambda obj: 1 / 0)(POD)


def test_a_coroutine_function_is_no_condition() -> None:
    """A coroutine that nobody awaits is true: the wait would be over at once."""

    async def is_ready(obj: Any) -> bool:
        return False

    with pytest.raises(TypeError, match="plain function"):
        predicate_of(is_ready)(POD)


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("{.a.b}", ["a", "b"]),
        ("{$.a}", ["a"]),
        ("{.a['b.c'].d}", ["a", "b.c", "d"]),
        (r"{.metadata.annotations.example\.com/x}", ["metadata", "annotations", "example.com/x"]),
        ("{.a[0][-1].b}", ["a", 0, -1, "b"]),
    ],
)
def test_paths(path: str, steps: list[Any]) -> None:
    """Fields, quoted ones, and indexes."""
    assert split_jsonpath(path) == (steps, None)
    assert split_jsonpath(f"{path}=x=y") == (steps, "x=y")


@pytest.mark.parametrize("path", ["", ".a", "{.a", "{.a[*]}", "{.a[?(@.b)]}", "{..a}"])
def test_paths_that_are_none(path: str) -> None:
    """What is not supported is said, not guessed at."""
    with pytest.raises(ValueError, match="jsonpath"):
        split_jsonpath(path)


@pytest.mark.parametrize(
    ("path", "value"), [(["a", "b"], 1), (["a", "c"], None), (["x", 0], None), (["l", 1], "second")]
)
def test_value_at(path: list[Any], value: Any) -> None:
    """None where the path leads nowhere."""
    assert value_at({"a": {"b": 1}, "l": ["first", "second"]}, path) == value
