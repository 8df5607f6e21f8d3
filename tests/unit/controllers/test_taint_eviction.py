"""What becomes of a pod's eviction when its node recovers."""

from typing import Any

from tests.scenarios.world import NOW, World, told, whole

from kaa.controllers.taint_eviction import controller

UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2030-01-01T00:09:00Z"}
PATIENT = {"key": UNREACHABLE["key"], "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}


def node(*taints: dict[str, str]) -> dict[str, Any]:
    return whole({"kind": "Node", "metadata": {"name": "n"}, "spec": {"taints": list(taints)}})


def pod(phase: str = "Running") -> dict[str, Any]:
    spec = {"nodeName": "n", "tolerations": [PATIENT]}
    return whole({"kind": "Pod", "metadata": {"name": "a"}, "spec": spec, "status": {"phase": phase}})


def looks(*worlds: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """What one controller does with one world after the other."""
    row = controller()
    return [
        [told(action) for action in World(objects, row.indexes).reconcile(row, "default", "a", NOW)]
        for objects in worlds
    ]


def test_an_eviction_that_is_off_is_told_once() -> None:
    """`kubectl describe pod` shows that the pod was about to go, and why it is still there."""
    waits, recovered, later = looks([node(UNREACHABLE), pod()], [node(), pod()], [node(), pod()])
    assert [action["requeueAfter"] for action in waits] == [240.0]
    (event,) = recovered
    assert (event["event"], event["message"]) == ("TaintManagerEviction", "Cancelling deletion of Pod default/a")
    assert later == []


def test_nothing_is_told_of_pods_that_were_not_to_go() -> None:
    """Nor of one that has ended meanwhile, or is another of the same name."""
    assert looks([node(), pod()]) == [[]]
    assert looks([node(UNREACHABLE), pod()], [node(), pod("Succeeded")], [node(), pod()])[1:] == [[], []]
    assert looks([node(UNREACHABLE), pod()], [node()], [node(), pod()])[1:] == [[], []]
