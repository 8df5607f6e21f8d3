"""How a Deployment takes it when its new ReplicaSet is refused."""

import pytest
from tests.scenarios.world import NOW, World, whole

from kaa.api.errors import APIError, Cause
from kaa.controllers.actions import Create, RecordEvent, UpdateStatus
from kaa.controllers.deployment import CONTROLLER
from kaa.controllers.executor import slow_start

TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}
DEPLOYMENT = whole(
    {
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": TEMPLATE,
            "progressDeadlineSeconds": 600,
        },
    }
)


def answers(world, refusal, deployment=DEPLOYMENT):
    """The actions of a reconcile whose Create is refused; it must end by raising the refusal, to be tried again."""
    actions = CONTROLLER.reconcile(deployment, world, NOW)
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
    event, update = found
    assert isinstance(update, UpdateStatus)
    (condition,) = update.status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "ReplicaSetCreateError")
    name = created["metadata"]["name"]
    assert condition["message"] == f'Failed to create new replica set "{name}": exceeded quota: q'
    assert event == RecordEvent(DEPLOYMENT, "Warning", "ReplicaSetCreateError", condition["message"])


def test_a_refused_set_shows_in_an_event_alone_where_no_deadline_runs() -> None:
    """Without progressDeadlineSeconds there is no Progressing condition to say it."""
    patient = {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "progressDeadlineSeconds": 2**31 - 1}}
    _, found = answers(World([patient], CONTROLLER.indexes), APIError("Forbidden", "exceeded quota: q"), patient)
    assert [(type(action), action.reason) for action in found] == [(RecordEvent, "ReplicaSetCreateError")]


def test_nothing_is_said_of_a_namespace_that_is_going() -> None:
    """All that is to be made in it fails from then on."""
    causes = [Cause("NamespaceTerminating", "namespace default is being terminated", "metadata.namespace")]
    _, found = answers(World([DEPLOYMENT], CONTROLLER.indexes), APIError("Forbidden", "is forbidden", causes=causes))
    assert found == []


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
