"""What must hold of every row, whatever the world looks like (`worlds.py`).

The list of rows is the explicit one: a new controller is tested once it is in it.
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scenarios.world import World, told
from tests.unit.controllers.worlds import ROWS, Run, keys, row_named, without_rivals, worlds

from kaa.api.objects import Object, copy_object
from kaa.controllers.controller import Controller

EXAMPLES = 40
SEEDS = st.integers(0, 2**32)


def decisions(row: Controller, world: World) -> list[list[Any]]:
    """What the row would do about every object, told without doing it."""
    return [[told(action) for action in world.reconcile(row, *key)] for key in keys(row, world)]


@pytest.mark.parametrize("name", ROWS)
def test_a_world_comes_to_rest(name: str) -> None:
    """Fixed point: once things are as wanted, nothing is written any more, until something is due."""

    @settings(max_examples=EXAMPLES)
    @given(worlds(name), SEEDS)
    def check(objects: list[Object], seed: int) -> None:
        run = Run(name, objects, seed=seed)
        assert run.settles(), f"still not settled: {decisions(run.row, run.world)}"

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
def test_the_order_of_work_does_not_matter(name: str) -> None:
    """Changes come in any order, and several are worked on at once: the world comes to the same in the end."""

    @settings(max_examples=EXAMPLES)
    @given(worlds(name), SEEDS)
    def check(objects: list[Object], seed: int) -> None:
        objects = without_rivals(name, objects)
        one, other = Run(name, objects), Run(name, objects, seed=seed)
        assert one.settles()
        assert other.settles()
        assert other.left() == one.left()

    check()


@pytest.mark.parametrize("name", ROWS)
def test_crashes_do_not_matter(name: str) -> None:
    """A process that dies between two writes, and is started again, goes on to where it would have come anyway."""

    @settings(max_examples=EXAMPLES)
    @given(worlds(name), st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple))
    def check(objects: list[Object], lives: tuple[int, ...]) -> None:
        objects = without_rivals(name, objects)
        unharmed, harmed = Run(name, objects), Run(name, objects, lives=lives)
        assert unharmed.settles()
        assert harmed.settles()
        assert harmed.left() == unharmed.left()

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
