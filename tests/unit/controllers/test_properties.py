"""What must hold of every row, whatever the world looks like.

Worlds are drawn from the objects of the row's own scenarios: some of them, in any order, each maybe with something
changed that a server allows. The list of rows is the explicit one: a new controller is tested once it is in it.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scenarios.test_controllers import FILES, OPTIONS
from tests.scenarios.world import NOW, World, told, whole

from kaa.api.objects import Object, copy_object, name_of, namespace_of
from kaa.controllers import all_controllers
from kaa.controllers.actions import ConfirmGone, ReadScale, RecordEvent, RequeueAfter
from kaa.controllers.controller import Controller, Key, key_of

ROWS = sorted(row.name for row in all_controllers(OPTIONS))
EXAMPLES = 40
ROUNDS = 25
"""Looks at every object that a world may need to come to rest; rolling updates take one for each pod."""

NO_WRITE = RequeueAfter | RecordEvent | ConfirmGone | ReadScale


def row_named(name: str) -> Controller:
    """A fresh one: some rows remember what they have seen."""
    return next(row for row in all_controllers(OPTIONS) if row.name == name)


@cache
def pool(name: str) -> list[Object]:
    """Every object of the row's scenarios."""
    path: Path = next(path for path in FILES if path.stem == name)
    cases = yaml.safe_load(path.read_text())["scenarios"]
    return [whole(obj) for case in cases for obj in case["observed"]]


def deleted(obj: Object) -> Object:
    obj["metadata"]["deletionTimestamp"] = "2030-01-01T00:05:00Z"
    obj["metadata"].setdefault("finalizers", ["example.com/hold"])
    return obj


def orphaned(obj: Object) -> Object:
    obj["metadata"].pop("ownerReferences", None)
    return obj


def unlabelled(obj: Object) -> Object:
    obj["metadata"].pop("labels", None)
    return obj


def replaced(obj: Object) -> Object:
    """Deleted, and made again under the same name."""
    obj["metadata"]["uid"] += "-again"
    return obj


def changed(obj: Object) -> Object:
    obj["metadata"]["generation"] += 1
    return obj


def fresh(obj: Object) -> Object:
    """As if nobody had written its status yet."""
    if obj["kind"] != "Node":  # a kubelet registers its node with one
        obj.pop("status", None)
    return obj


def ended(obj: Object) -> Object:
    if obj["kind"] == "Pod":
        obj["status"] = {**obj.get("status", {}), "phase": "Failed"}
    return obj


def resized(obj: Object) -> Object:
    if "replicas" in obj["spec"]:
        obj["spec"]["replicas"] = (obj["spec"]["replicas"] or 0) + 2
    return obj


def untouched(obj: Object) -> Object:
    return obj


CHANGES = (untouched, untouched, deleted, orphaned, unlabelled, replaced, changed, fresh, ended, resized)


def apply_change(obj: Object, change: Callable[[Object], Object]) -> Object:
    return change(copy_object(obj))


def worlds(name: str) -> st.SearchStrategy[list[Object]]:
    obj = st.builds(apply_change, st.sampled_from(pool(name)), st.sampled_from(CHANGES))
    return st.lists(obj, min_size=1, max_size=8, unique_by=lambda o: (o["kind"], namespace_of(o), name_of(o)))


def keys(row: Controller, world: World) -> list[Key]:
    return sorted(key_of(obj) for obj in world.list(row.kind))


def decisions(row: Controller, world: World) -> list[list[Any]]:
    """What the row would do about every object, told without doing it."""
    return [[told(action) for action in world.reconcile(row, *key)] for key in keys(row, world)]


def settle_once(row: Controller, world: World) -> int:
    """Looks at every object once, carrying out what is asked for as the runtime does; counts the writes."""
    writes = 0
    for key in keys(row, world):
        obj = world.get(row.kind, key[1], key[0])
        if obj is None:
            continue  # gone by what was done about another
        for action in row.reconcile(obj, world, NOW):
            if isinstance(action, ReadScale):
                world.play(iter([action]))  # type: ignore[arg-type]
            elif not isinstance(action, NO_WRITE):
                writes += 1
                try:
                    world.apply(action)
                except KeyError:
                    break  # NotFound: what is to be written is gone, and the reconcile ends
    return writes


@pytest.mark.parametrize("name", ROWS)
def test_a_world_comes_to_rest(name: str) -> None:
    """Fixed point: once things are as wanted, nothing is written any more."""

    @settings(max_examples=EXAMPLES)
    @given(worlds(name))
    def check(objects: list[Object]) -> None:
        row = row_named(name)
        world = World(objects, row.indexes)
        for _ in range(ROUNDS):
            if not settle_once(row, world):
                return
        pytest.fail(f"still not settled: {decisions(row, world)}")

    check()


@pytest.mark.parametrize("name", ROWS)
def test_the_order_of_what_is_known_does_not_matter(name: str) -> None:
    """A cache has no order that means anything."""

    @settings(max_examples=EXAMPLES)
    @given(worlds(name).flatmap(lambda objects: st.tuples(st.just(objects), st.permutations(objects))))
    def check(both: tuple[list[Object], list[Object]]) -> None:
        first, second = (decisions(row, World(objects, row.indexes)) for objects in both for row in [row_named(name)])
        assert first == second

    check()


@pytest.mark.parametrize("name", ROWS)
def test_asking_twice_changes_nothing(name: str) -> None:
    """Idempotence: the same question has the same answer, and to ask it touches nothing that was observed."""

    @settings(max_examples=EXAMPLES)
    @given(worlds(name))
    def check(objects: list[Object]) -> None:
        row = row_named(name)
        world = World(objects, row.indexes)
        before = copy_object({"/".join(key): obj for key, obj in world.objects.items()})
        first = decisions(row, world)
        assert {"/".join(key): obj for key, obj in world.objects.items()} == before
        assert decisions(row, world) == first

    check()
