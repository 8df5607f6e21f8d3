"""Durations, and which changes are heartbeats."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from kaa.cluster.simulation.history import Step
from kaa.cluster.simulation.timing import is_heartbeat, seconds_of

NODE: dict[str, Any] = {
    "metadata": {"name": "n", "managedFields": [{"time": "1"}]},
    "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "1"}]},
}


def step(key: str, verb: str = "update", stored: Any = None, before: Any = None) -> Step:
    return Step(1, datetime(2030, 1, 1, tzinfo=UTC), verb, key, orjson.dumps(stored or {}), orjson.dumps(before or {}))


def test_seconds_of() -> None:
    """All parts add up; a plain number is seconds."""
    assert seconds_of(1.5) == 1.5
    assert seconds_of(timedelta(minutes=1), days=1, hours=1, minutes=1, seconds=1) == 86400 + 3600 + 121


def test_leases_and_events_are_heartbeats() -> None:
    """They go on for ever, or tell of what is counted anyway."""
    assert is_heartbeat(step("/registry/coordination.k8s.io/leases/kube-node-lease/n", "create"))
    assert is_heartbeat(step("/registry/core/events/default/e", "delete"))
    assert not is_heartbeat(step("/registry/core/pods/default/p"))


def test_a_node_that_only_says_that_it_is_alive() -> None:
    """Newer heartbeat times alone are one; a condition that changes is none."""
    key = "/registry/core/nodes/n"
    later = copy.deepcopy(NODE)
    later["metadata"]["managedFields"] = [{"time": "2"}]
    later["status"]["conditions"][0]["lastHeartbeatTime"] = "2"
    assert is_heartbeat(step(key, stored=later, before=NODE))
    later["status"]["conditions"][0]["status"] = "False"
    assert not is_heartbeat(step(key, stored=later, before=NODE))
    assert not is_heartbeat(step(key, "create", NODE))


@pytest.mark.parametrize("wrong", ["1h", None])
def test_what_is_no_duration(wrong: Any) -> None:
    """Text is not guessed at."""
    with pytest.raises(TypeError):
        seconds_of(wrong)
