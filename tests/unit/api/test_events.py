"""Events: the old sort is taken as it comes, the new one has to say what happened, and stays as it was."""

from typing import Any

import pytest

from kaa.api.kinds import builtin_catalog
from kaa.api.objects import Object
from kaa.api.validation import validate

CATALOG = builtin_catalog()
CORE, NEW = CATALOG.for_kind("v1", "Event"), CATALOG.for_kind("events.k8s.io/v1", "Event")


def event(**fields: Any) -> Object:
    return {"metadata": {"name": "e", "namespace": "a"}, **fields}


GOOD = event(
    regarding={"namespace": "a"},
    eventTime="2030-01-01T00:00:00.000000Z",
    type="Normal",
    reason="Did",
    action="Do",
    reportingController="example.com/c",
    reportingInstance="c-1",
)


def problems(resource: Any, new: Object, old: Object | None = None) -> list[str]:
    return [str(error) for error in validate(resource, new, old)]


@pytest.mark.parametrize(
    ("resource", "obj", "expected"),
    [
        (NEW, GOOD, []),
        (CORE, event(involvedObject={"namespace": "a"}), []),
        (
            CORE,
            event(involvedObject={"namespace": "b"}),
            ['involvedObject.namespace: Invalid value: "b": does not match event.namespace'],
        ),
        (
            CORE,
            event(involvedObject={"namespace": "a"}, eventTime="2030-01-01T00:00:00.000000Z", reportingComponent="c"),
            ["reportingInstance: Required value", "action: Required value", "reason: Required value"],
        ),
        (
            NEW,
            event(regarding={"namespace": "a"}),
            ["eventTime: Required value", 'type: Invalid value: "": has invalid value: '],
        ),
        (NEW, GOOD | {"note": "x" * 1025}, ['message: Invalid value: "": can have at most 1024 characters']),
        (NEW, GOOD | {"deprecatedCount": 2}, ['count: Invalid value: "": needs to be unset']),
        (
            NEW,
            GOOD | {"series": {"count": 1}},
            ['series.count: Invalid value: "": should be at least 2', "series.lastObservedTime: Required value"],
        ),
    ],
)
def test_what_an_event_says(resource: Any, obj: Object, expected: list[str]) -> None:
    """Upstream's rules, and its names of fields."""
    assert problems(resource, obj) == expected


def test_what_changes() -> None:
    """Only the series, of the new sort; the old may be rewritten."""
    series = {"count": 2, "lastObservedTime": "2030-01-01T00:00:01.000000Z"}
    assert problems(NEW, GOOD | {"series": series}, GOOD) == []
    assert problems(NEW, GOOD | {"note": "other"}, GOOD) == ['message: Invalid value: "other": field is immutable']
    old = event(involvedObject={"namespace": "a"}, message="m", count=1)
    assert problems(CORE, old | {"message": "n", "count": 2}, old) == []
