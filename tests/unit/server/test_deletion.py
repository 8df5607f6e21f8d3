"""What a DELETE means, for every state that an object can be in."""

from datetime import UTC, datetime

import pytest

from kaa.api.errors import APIError
from kaa.api.kinds import builtin_catalog
from kaa.server.deletion import DeleteOptions, Mark, Pending, Remove, decide, may_be_removed

NOW = datetime(2030, 1, 1, tzinfo=UTC)
CATALOG = builtin_catalog()
CONFIG_MAP, POD, NAMESPACE = (CATALOG.named(kind) for kind in ("ConfigMap", "Pod", "Namespace"))


def config_map(**metadata):
    return {"metadata": {"name": "a", "uid": "u", "resourceVersion": "7", **metadata}}


def pod(**metadata):
    return {
        **config_map(generation=1, **metadata),
        "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30},
        "status": {"phase": "Running"},
    }


MARKED = {"deletionTimestamp": "2030-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}


def test_most_objects_go_at_once():
    """No grace, no finalizers: nothing to wait for."""
    assert decide(config_map(), CONFIG_MAP, DeleteOptions(), NOW) == Remove()


def test_finalizers_keep_an_object():
    """It is marked with the time and grace 0, and its finalizers stay."""
    decision = decide(config_map(finalizers=["x"]), CONFIG_MAP, DeleteOptions(), NOW)
    assert isinstance(decision, Mark)
    assert decision.object["metadata"] == {
        "name": "a",
        "uid": "u",
        "resourceVersion": "7",
        "finalizers": ["x"],
        "deletionTimestamp": "2030-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 0,
    }


@pytest.mark.parametrize(
    ("policy", "before", "after"),
    [
        ("Orphan", [], ["orphan"]),
        ("Foreground", ["x", "orphan"], ["x", "foregroundDeletion"]),
        ("Background", ["x", "foregroundDeletion"], ["x"]),
        ("", ["orphan"], ["orphan"]),
    ],
)
def test_the_policy_becomes_a_finalizer(policy, before, after):
    """The garbage collector sees the policy in the object; a later request may change it."""
    decision = decide(config_map(finalizers=before), CONFIG_MAP, DeleteOptions(propagation=policy), NOW)
    assert isinstance(decision, Mark)
    assert decision.object["metadata"]["finalizers"] == after


def test_a_running_pod_is_given_its_time():
    """Marked for the end of its grace period; its generation counts, for the kubelet must act."""
    decision = decide(pod(), POD, DeleteOptions(), NOW)
    assert isinstance(decision, Mark)
    assert decision.object["metadata"]["deletionTimestamp"] == "2030-01-01T00:00:30Z"
    assert decision.object["metadata"]["deletionGracePeriodSeconds"] == 30
    assert decision.object["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    ("grace", "expected"),
    [(None, Pending()), (30, Pending()), (40, Pending()), (0, Remove())],
)
def test_the_time_is_never_lengthened(grace, expected):
    """A second DELETE may only hurry a pod; grace 0 is the kubelet's word that it is over."""
    assert decide(pod(**MARKED), POD, DeleteOptions(grace_seconds=grace), NOW) == expected


def test_the_time_may_be_shortened():
    """Counted from when the first DELETE came."""
    decision = decide(pod(**MARKED), POD, DeleteOptions(grace_seconds=10), NOW)
    assert isinstance(decision, Mark)
    assert decision.object["metadata"]["deletionTimestamp"] == "2030-01-01T00:00:10Z"


def test_a_pod_without_a_node_goes_at_once():
    """Nobody would ever say that it is over."""
    waiting = {**pod(), "spec": {"terminationGracePeriodSeconds": 30}}
    assert decide(waiting, POD, DeleteOptions(grace_seconds=60), NOW) == Remove()


def test_a_request_may_give_a_pod_more_time_than_its_author():
    """Also to a pod whose author would have given it none."""
    hasty = pod()
    hasty["spec"]["terminationGracePeriodSeconds"] = 0
    decision = decide(hasty, POD, DeleteOptions(grace_seconds=60), NOW)
    assert isinstance(decision, Mark)
    assert decision.object["metadata"]["deletionGracePeriodSeconds"] == 60
    assert decide(hasty, POD, DeleteOptions(), NOW) == Remove()


def test_a_namespace_waits_for_its_contents():
    """It stays Terminating for as long as spec.finalizers says that there may be something in it."""
    namespace = {**config_map(), "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    decision = decide(namespace, NAMESPACE, DeleteOptions(), NOW)
    assert isinstance(decision, Mark)
    assert decision.object["status"] == {"phase": "Terminating"}
    assert not may_be_removed(decision.object, NAMESPACE)
    decision.object["spec"] = {}
    assert may_be_removed(decision.object, NAMESPACE)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (DeleteOptions(uid="v"), "Precondition failed: UID in precondition: v, UID in object meta: u"),
        (
            DeleteOptions(resource_version="6"),
            "Precondition failed: ResourceVersion in precondition: 6, ResourceVersion in object meta: 7",
        ),
    ],
)
def test_preconditions(options, text):
    """A client that means another object or another state is told so."""
    with pytest.raises(APIError) as refused:
        decide(config_map(), CONFIG_MAP, options, NOW)
    assert refused.value.reason == "Conflict"
    assert refused.value.message.endswith(text)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"propagationPolicy": "Sideways"}, 'propagationPolicy: Unsupported value: "Sideways"'),
        ({"propagationPolicy": "Orphan", "orphanDependents": True}, "cannot be both set"),
        ({"dryRun": ["Some"]}, 'dryRun: Unsupported value: "Some": supported values: "All"'),
    ],
)
def test_options_that_mean_nothing(options, text):
    """Refused before anything is read."""
    with pytest.raises(APIError) as refused:
        DeleteOptions.of(options)
    assert refused.value.reason == "Invalid"
    assert text in refused.value.message
