"""Every controller against its scenario file: objects observed, actions expected.

An expected action need not say everything: what it says must hold. Each scenario is also a test of two properties: a
settled world yields no more actions, and the order in which objects are known does not matter.
"""

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.scenarios.world import NOW, World, told

from kaa.controllers import Options, all_controllers
from kaa.controllers.actions import ConfirmGone, ConfirmLiving, ConfirmNone, RecordEvent, RequeueAfter


class Authority:
    """Writes what it was asked for, instead of a certificate."""

    def sign(self, request_pem: bytes, usages: tuple[str, ...], seconds: int, now: datetime) -> bytes:
        return f"{len(request_pem)} bytes for {', '.join(usages)}, {seconds} s".encode()


class NoDirectories:
    """Volumes here have none."""

    async def make(self, node: str, volume: str) -> None: ...

    async def remove(self, node: str, volume: str) -> None: ...


OPTIONS = Options(
    root_ca_pem="the CA",
    cluster_cidr="10.244.0.0/22",
    sign_token=lambda claims: f"token of {claims['sub']}",
    authority=Authority(),
    local_volumes=lambda node: f"/nodes/{node}/volumes",
    local_directories=NoDirectories(),
)
FILES = sorted((Path(__file__).parent / "controllers").glob("*.yaml"))
ROUNDS = 10
"""Reconciles that a world may need to settle when nothing else happens in it."""


def cases() -> list[Any]:
    return [
        pytest.param(path.stem, case, id=f"{path.stem}: {case['name']}")
        for path in FILES
        for case in yaml.safe_load(path.read_text())["scenarios"]
    ]


def controller_named(name: str) -> Any:
    return next(row for row in all_controllers(OPTIONS) if row.name == name)


def run(
    name: str, case: dict[str, Any], objects: list[dict[str, Any]]
) -> tuple[Any, World, list[Any], tuple[str, str]]:
    controller = controller_named(name)
    world = World(objects, controller.indexes)
    namespace, _, object_name = case["reconcile"].rpartition("/")
    now = NOW
    if seconds := case.get("seenSecondsBefore"):
        world.reconcile(controller, namespace, object_name, NOW - timedelta(seconds=seconds))
    return controller, world, world.reconcile(controller, namespace, object_name, now), (namespace, object_name)


@pytest.mark.parametrize(("name", "case"), cases())
def test_the_actions_are_as_the_scenario_says(name: str, case: dict[str, Any]) -> None:
    """What a controller does with a situation, in its order."""
    _, _, actions, _ = run(name, case, case["observed"])
    found = [told(action) for action in actions]
    assert len(found) == len(case["actions"]), found
    for action, expected in zip(found, case["actions"], strict=True):
        assert holds(action, expected), f"expected {expected}\nfound {action}"


@pytest.mark.parametrize(("name", "case"), cases())
def test_a_settled_world_yields_no_action(name: str, case: dict[str, Any]) -> None:
    """Carrying the actions out, again and again, comes to an end: else a controller works for ever."""
    controller, world, actions, key = run(name, case, case["observed"])
    for _ in range(ROUNDS):
        for action in actions:
            world.apply(action)
        if world.get(controller.kind, key[1], key[0]) is None and controller.gone is None:
            return
        actions = world.reconcile(controller, *key)
        if not [
            action
            for action in actions
            if not isinstance(action, ConfirmGone | ConfirmLiving | ConfirmNone | RequeueAfter | RecordEvent)
        ]:
            return
    pytest.fail(f"still not settled: {[told(action) for action in actions]}")


@pytest.mark.parametrize(("name", "case"), cases())
def test_the_order_of_what_is_known_does_not_matter(name: str, case: dict[str, Any]) -> None:
    """A cache has no order that means anything: decisions must not follow it."""
    wanted = [told(action) for action in run(name, case, case["observed"])[2]]
    for seed in range(5):
        objects = list(case["observed"])
        random.Random(seed).shuffle(objects)
        assert [told(action) for action in run(name, case, objects)[2]] == wanted


def test_every_controller_has_scenarios() -> None:
    """A new controller comes with its file."""
    assert {path.stem for path in FILES} == {row.name for row in all_controllers(OPTIONS)}


def holds(found: Any, expected: Any) -> bool:
    """Whether `found` has everything that `expected` says; lists must agree in length."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(key in found and holds(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(holds, found, expected))
    return bool(found == expected)
