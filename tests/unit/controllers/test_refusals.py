"""How a Deployment takes it when its new ReplicaSet is refused."""

import pytest
from tests.scenarios.world import NOW, World, whole

from kaa.api.errors import APIError
from kaa.controllers.actions import Create, UpdateStatus
from kaa.controllers.deployment import CONTROLLER
from kaa.controllers.executor import slow_start

TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}
DEPLOYMENT = whole(
    {
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE},
    }
)


def answers(world, refusal):
    """The actions of a reconcile whose Create is refused; it must end by raising the refusal, to be tried again."""
    actions = CONTROLLER.reconcile(DEPLOYMENT, world, NOW)
    create = next(actions)
    assert isinstance(create, Create)
    found = []

    def play():
        found.append(actions.send(refusal))
        found.extend(actions)

    with pytest.raises(APIError) as raised:
        play()
    assert raised.value is refusal
    return create.obj, found


def test_a_refused_set_shows_in_the_conditions() -> None:
    """A quota that is used up: `kubectl describe deployment` says it."""
    created, found = answers(World([DEPLOYMENT], CONTROLLER.indexes), APIError("Forbidden", "exceeded quota: q"))
    (update,) = found
    assert isinstance(update, UpdateStatus)
    (condition,) = update.status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "ReplicaSetCreateError")
    name = created["metadata"]["name"]
    assert condition["message"] == f'Failed to create new replica set "{name}": exceeded quota: q'


def test_a_taken_name_is_hashed_again() -> None:
    """Two templates with one hash: the next name has another."""
    taken = APIError("AlreadyExists", "taken")
    created, found = answers(World([DEPLOYMENT], CONTROLLER.indexes), taken)
    assert found == [], "it may be our own set, which the cache has not seen yet"
    stranger = {"kind": "ReplicaSet", "metadata": {"name": created["metadata"]["name"]}, "spec": {"template": TEMPLATE}}
    _, found = answers(World([DEPLOYMENT, stranger], CONTROLLER.indexes), taken)
    assert [action.status["collisionCount"] for action in found] == [1]


def test_slow_start_doubles() -> None:
    """A refusal that holds for all is met once or twice, not five hundred times."""
    assert list(slow_start(20)) == [1, 2, 4, 8, 5]
    assert list(slow_start(0)) == []
