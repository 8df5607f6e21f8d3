"""Resizing a running pod in place: the decisions."""

from dataclasses import replace
from typing import Any

import pytest

from kaa.kubelet.admission import resize_refusal
from kaa.kubelet.pod_actions import Facts, KillContainer, ResizeContainer, ResizeSandbox, StartContainer, pod_actions
from kaa.kubelet.resize import changes, recorded_resources, sandbox_resources, with_resources
from kaa.kubelet.resources import container_limits

LARGE = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "64Mi"}}
SMALL = {"requests": {"cpu": "250m"}, "limits": {"cpu": "500m", "memory": "32Mi"}}


def container(resources: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "a", "image": "busybox", "resources": resources, **more}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (SMALL, SMALL, {}),
        (
            SMALL,
            LARGE,
            {"cpu_shares": 512, "cpu_quota": 100_000, "cpu_period": 100_000, "memory_limit_in_bytes": 64 << 20},
        ),
        (LARGE, {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}, {"memory_limit_in_bytes": -1}),
        ({}, {"limits": {"memory": "32Mi"}}, {"memory_limit_in_bytes": 32 << 20}),
        ({"requests": {"memory": "1Mi"}}, {"requests": {"memory": "2Mi"}}, {}),
        ({"requests": {"cpu": "2m"}}, {"requests": {"cpu": "1m"}}, {}),
    ],
)
def test_the_runtime_is_told_what_differs(before: Any, after: Any, told: dict[str, int]) -> None:
    """A limit that is gone is taken away; requests of memory, and shares below the least, change no cgroup."""
    assert changes(container(after), container_limits(container(before))) == told


def test_a_limit_that_was_taken_away_is_no_limit() -> None:
    """-1 is how the runtime was told; it must not be told again and again."""
    assert changes(container({}), {"cpu_shares": 2, "cpu_quota": -1, "memory_limit_in_bytes": -1}) == {}


def test_a_runtime_that_does_not_tell_has_done_as_told() -> None:
    """CRI lets it leave the resources out: they cannot be compared then."""
    assert changes(container(LARGE), {}) == {}


def resized(make_pod: Any, make_runtime: Any, wanted: dict[str, Any], **more: Any) -> Facts:
    """A pod that runs with SMALL resources, and is granted others."""
    seen = make_runtime([{"id": "s0"}], [{"name": "a", "state": "running"}])
    running = replace(seen.containers[0], resources=container_limits(container(SMALL)))
    pod = make_pod({"containers": [container(wanted, **more)]})
    before = make_pod({"containers": [container(SMALL)]})
    return Facts(pod, replace(seen, containers=(running,)), sandbox_linux=sandbox_resources(before))


def test_a_container_changes_while_its_pod_has_room(make_pod: Any, make_runtime: Any) -> None:
    """The pod's cgroup opens first and closes last, whether it grows or shrinks: no limit is ever in the way."""
    first, change, last = pod_actions(resized(make_pod, make_runtime, LARGE))
    assert first == ResizeSandbox(
        "s0", {"cpu_shares": 512, "cpu_period": 100_000, "cpu_quota": -1, "memory_limit_in_bytes": -1}
    )
    assert isinstance(change, ResizeContainer)
    assert (change.id, change.linux["memory_limit_in_bytes"]) == ("a-0", 64 << 20)
    assert last == ResizeSandbox(
        "s0", {"cpu_shares": 512, "cpu_period": 100_000, "cpu_quota": 100_000, "memory_limit_in_bytes": 64 << 20}
    )


def test_nothing_is_done_when_all_is_as_granted(make_pod: Any, make_runtime: Any) -> None:
    """The settled state."""
    assert pod_actions(resized(make_pod, make_runtime, SMALL)) == []


@pytest.mark.parametrize(("resource", "restarts"), [("memory", True), ("cpu", False)])
def test_a_container_may_ask_to_be_restarted(make_pod: Any, make_runtime: Any, resource: str, restarts: bool) -> None:
    """By resource: here only memory changes."""
    wanted = {**SMALL, "limits": {"cpu": "500m", "memory": "64Mi"}}
    policy = [{"resourceName": resource, "restartPolicy": "RestartContainer"}]
    actions = pod_actions(resized(make_pod, make_runtime, wanted, resizePolicy=policy))
    kinds = [type(action) for action in actions[1:-1]]
    assert kinds == ([KillContainer, StartContainer] if restarts else [ResizeContainer])


def test_what_was_granted_is_read_from_the_status(make_pod: Any) -> None:
    """A kubelet that starts anew goes on from there; containers that never ran have what they ask for."""
    status = {
        "containerStatuses": [
            {"name": "a", "allocatedResources": SMALL["requests"], "resources": SMALL},
            {"name": "b"},
        ]
    }
    pod = make_pod({"containers": [container(LARGE), {"name": "b", "resources": LARGE}]}, status=status)
    granted = recorded_resources(pod)
    assert granted == {"a": SMALL, "b": LARGE}
    assert [c["resources"] for c in with_resources(pod, granted)["spec"]["containers"]] == [SMALL, LARGE]
    assert pod["spec"]["containers"][0]["resources"] == LARGE, "the pod itself stays as it is"


def test_a_pod_waits_for_room_or_can_never_have_it(make_pod: Any) -> None:
    """Deferred is looked at again when another pod goes; infeasible never fits this node."""
    node = {"status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "10"}}}
    pod = make_pod({"containers": [container({"requests": {"cpu": "600m"}})]})
    assert resize_refusal(pod, node, []) is None
    deferred = resize_refusal(pod, node, [pod])
    assert deferred is not None
    assert (deferred.reason, deferred.message) == (
        "Deferred",
        "Node didn't have enough resource: cpu, requested: 600, used: 600, capacity: 1000",
    )
    never = resize_refusal(make_pod({"containers": [container({"requests": {"cpu": "2"}})]}), node, [])
    assert never is not None
    assert (never.reason, never.message) == (
        "Infeasible",
        "Node didn't have enough capacity: cpu, requested: 2000, capacity: 1000",
    )
