"""Whether a node takes a pod that was bound to it."""

from typing import Any

import pytest

from kaa.kubelet.admission import refusal

NODE = {"metadata": {"labels": {"zone": "a"}}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"}}}


def with_port(make_pod: Any, **port: Any) -> Any:
    return make_pod({"containers": [{"name": "a", "ports": [{"containerPort": 80, **port}]}]})


@pytest.mark.parametrize(
    ("wanted", "taken", "refused"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, True),
        ({"hostPort": 80, "hostIP": "127.0.0.1"}, {"hostPort": 80, "hostIP": "0.0.0.0"}, True),
        ({"hostPort": 80, "hostIP": "127.0.0.1"}, {"hostPort": 80, "hostIP": "10.0.0.1"}, False),
        ({"hostPort": 80, "protocol": "UDP"}, {"hostPort": 80, "protocol": "TCP"}, False),
        ({"hostPort": 81}, {"hostPort": 80}, False),
        ({}, {}, False),
    ],
)
def test_a_port_of_the_node_belongs_to_one_pod(
    make_pod: Any, wanted: dict[str, Any], taken: dict[str, Any], refused: bool
) -> None:
    """A pod that never met the scheduler fails at once: its controller makes another, rather than that it hangs."""
    found = refusal(with_port(make_pod, **wanted), NODE, [with_port(make_pod, **taken)])
    assert (found is not None and found.reason == "NodePorts") == refused


def test_what_other_pods_request_is_taken(make_pod: Any) -> None:
    """The message names what is short, as `kubectl describe` shows it."""
    pod = make_pod({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1500m"}}}]})
    assert refusal(pod, NODE, []) is None
    found = refusal(pod, NODE, [pod])
    assert found is not None
    assert (found.reason, found.message.partition(": ")[2]) == (
        "OutOfcpu",
        "Node didn't have enough resource: cpu, requested: 1500, used: 1500, capacity: 2000",
    )


def test_a_node_selector_holds_for_pods_bound_by_hand(make_pod: Any) -> None:
    """The scheduler would not have chosen this node."""
    found = refusal(make_pod({"nodeSelector": {"zone": "b"}}), NODE, [])
    assert found is not None
    assert found.reason == "NodeAffinity"
