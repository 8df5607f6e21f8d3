"""The history against a store that forgets nothing: the same past, as far as it reaches."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.api.errors import APIError
from kaa.api.kinds import builtin_catalog
from kaa.cluster.simulation.history import History
from kaa.lib.clock import WallClock
from kaa.store.log import Change, Contents, change_id
from kaa.store.memory import EMPTY

CATALOG = builtin_catalog()
BEGAN = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = ["a", "b", "c"]


class SteppingClock(WallClock):
    """A minute for each change."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = BEGAN

    def now(self) -> datetime:
        return self.moment


@dataclass
class Model:
    """Every state that there was, in full."""

    states: list[dict[str, str]]
    changes: list[tuple[str, str]]


def stored(name: str, value: str) -> bytes:
    metadata = {"name": name, "namespace": "default", "labels": {"value": value}}
    return orjson.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"v": value}})


def key(name: str) -> str:
    return f"/registry/core/configmaps/default/{name}"


def played(operations: list[tuple[str, str]], limit_bytes: int) -> tuple[History, Model, SteppingClock]:
    """Puts, and deletions where the value is "-" and there is something to delete."""
    clock = SteppingClock()
    history = History(clock, EMPTY, limit_bytes)
    created: dict[str, int] = {}
    model = Model([{}], [])
    for name, value in operations:
        if value == "-" and name not in created:
            continue
        clock.moment += timedelta(minutes=1)
        revision = len(model.states)
        state = dict(model.states[-1])
        if value == "-":
            verb = "delete"
            del created[name], state[name]
            change = Change(change_id(revision, 0), key(name), 0, 0, None)
        else:
            verb = "update" if name in created else "create"
            state[name] = value
            change = Change(
                change_id(revision, 0), key(name), created.setdefault(name, revision), 0, stored(name, value)
            )
        history.hear([change])
        model.states.append(state)
        model.changes.append((verb, name))
    return history, model, clock


OPERATIONS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["1", "2", "-"])), max_size=30)


@given(OPERATIONS, st.integers(min_value=0, max_value=2000))
def test_every_moment_that_it_reaches_is_as_it_was(operations: list[tuple[str, str]], limit_bytes: int) -> None:
    """By revision and by time, whatever has sunk into the floor; what lies before it is refused."""
    history, model, _ = played(operations, limit_bytes)
    for revision, state in enumerate(model.states):
        time = BEGAN + timedelta(minutes=revision, seconds=30)
        if revision < history.begins_at:
            with pytest.raises(APIError, match="too old"):
                history.at(revision, CATALOG)
            continue
        for moment in (revision, time):
            past = history.at(moment, CATALOG)
            assert {o["metadata"]["name"]: o["data"]["v"] for o in past.list("cm")} == state
            found = [o["metadata"]["name"] for o in past.list("cm", label_selector="value=1")]
            assert found == sorted(name for name, value in state.items() if value == "1")
            for name in NAMES:
                if name in state:
                    assert past.get("configmap", name)["data"]["v"] == state[name]
                else:
                    with pytest.raises(APIError, match="not found"):
                        past.get("configmap", name)


@given(OPERATIONS)
def test_every_change_is_told(operations: list[tuple[str, str]]) -> None:
    """In order, with its verb and time; of one name only its own."""
    history, model, _ = played(operations, 10**6)
    configmaps = CATALOG.named("ConfigMap")
    told = list(history.changes())
    assert [(change.verb, change.object["metadata"]["name"]) for change in told] == model.changes
    assert [change.time for change in told] == [BEGAN + timedelta(minutes=n + 1) for n in range(len(told))]
    assert list(history.changes(configmaps, "default")) == told
    assert list(history.changes(configmaps, "other")) == list(history.changes(CATALOG.named("Pod"))) == []
    assert list(history.changes(configmaps, name="a")) == [c for c in told if c.object["metadata"]["name"] == "a"]


@given(OPERATIONS, OPERATIONS)
def test_digests(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    """Two histories have one digest if and only if they are the same, however much of them has been kept."""
    first, model, _ = played(one, 10**6)
    second, other_model, _ = played(other, 100)
    assert (first.digest() == second.digest()) == (model == other_model)


def test_it_begins_with_what_a_store_holds() -> None:
    """Of a fork the beginning is the floor: what was before is not known."""
    changes = (
        Change(change_id(3, 0), key("a"), 3, 0, stored("a", "1")),
        Change(change_id(4, 0), key("b"), 4, 0, stored("b", "1")),
        Change(change_id(5, 0), key("b"), 0, 0, None),
        Change(change_id(6, 0), "compact_rev_key", 6, 0, b"4"),
    )
    history = History(SteppingClock(), Contents(2, {}, changes))
    assert (history.begins_at, history.revision) == (6, 6)
    assert [obj["metadata"]["name"] for obj in history.at(6, CATALOG).list("cm")] == ["a"]
    history.hear([Change(change_id(7, 0), key("a"), 0, 0, None)])
    (change,) = history.changes()
    assert (change.verb, change.object["data"]) == ("delete", {"v": "1"})
