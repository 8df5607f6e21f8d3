"""The status that the kubelet writes for a pod."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from kaa.kubelet.container_statuses import Readings, StartError
from kaa.kubelet.pod_status import StatusFacts, pod_status
from kaa.lib.clock import parse_rfc3339

SCENARIOS = Path(__file__).parents[2] / "scenarios/kubelet/pod_status.yaml"
CASES = yaml.safe_load(SCENARIOS.read_text())
NOW = parse_rfc3339("2030-01-01T00:01:00Z")


def facts_of(case: dict[str, Any], make_pod: Any, make_runtime: Any) -> StatusFacts:
    seen = make_runtime(case.get("sandboxes", []), case.get("containers", []))
    ids = {c.name: c.id for c in reversed(seen.containers)}
    readings = Readings(
        start_errors={name: StartError(*pair) for name, pair in case.get("start_errors", {}).items()},
        ready=frozenset(ids[name] for name in case.get("ready", [])),
        started=frozenset(ids[name] for name in case.get("started", [])),
    )
    return StatusFacts(
        pod=make_pod(case["pod"], status=case.get("status")),
        runtime=seen,
        readings=readings,
        host_ips=("172.30.0.2",),
        now=NOW,
        has_stopped=case.get("has_stopped", False),
        failure=tuple(case["failure"]) if "failure" in case else None,
    )


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_scenarios(case: dict[str, Any], make_pod: Any, make_runtime: Any) -> None:
    """Each observed state has the listed phase, conditions and container states."""
    status = pod_status(facts_of(case, make_pod, make_runtime))
    assert contains(status, case["expect"]) == []
    for kind, expected in case.get("conditions", {}).items():
        found = next(c for c in status["conditions"] if c["type"] == kind)
        assert contains(found, expected) == []


def contains(actual: Any, expected: Any, path: str = "") -> list[str]:
    """The paths at which `actual` lacks what `expected` says; dicts may have more, lists not."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return [p for k, v in expected.items() for p in contains(actual.get(k), v, f"{path}.{k}")]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [
            p for i, (a, e) in enumerate(zip(actual, expected, strict=True)) for p in contains(a, e, f"{path}[{i}]")
        ]
    return [] if actual == expected else [f"{path}: {actual!r} is not {expected!r}"]


def test_status_is_a_fixed_point(make_pod: Any, make_runtime: Any) -> None:
    """Written and computed again later the status is the same, so nothing is patched while nothing happens."""
    for case in CASES:
        facts = facts_of(case, make_pod, make_runtime)
        first = pod_status(facts)
        pod = {**facts.pod, "status": first}
        again = StatusFacts(
            pod,
            facts.runtime,
            facts.readings,
            facts.host_ips,
            NOW + timedelta(hours=1),
            facts.has_stopped,
            facts.failure,
        )
        assert pod_status(again) == first, case["name"]


def test_foreign_conditions_are_kept(make_pod: Any, make_runtime: Any) -> None:
    """A condition of another controller's survives the kubelet's writes."""
    gate = {"type": "example.com/ready", "status": "True"}
    facts = facts_of({"pod": {}}, make_pod, make_runtime)
    status = pod_status(
        StatusFacts({**facts.pod, "status": {"conditions": [gate]}}, facts.runtime, Readings(), (), NOW)
    )
    assert gate in status["conditions"]


def test_a_termination_message_outlives_its_file(make_pod: Any, make_runtime: Any) -> None:
    """A finished pod's directory is taken away, and with it the file: what was read from it stays on record."""
    case = {
        "pod": {"restartPolicy": "Never", "containers": [{"name": "a"}]},
        "sandboxes": [{"id": "s0"}],
        "containers": [{"name": "a", "state": "exited", "code": 0}],
    }
    facts = facts_of(case, make_pod, make_runtime)
    (ended,) = facts.runtime.containers
    read = replace(facts, runtime=replace(facts.runtime, containers=(replace(ended, message="OK"),)))
    first = pod_status(read)
    assert first["containerStatuses"][0]["state"]["terminated"]["message"] == "OK"
    again = replace(facts, pod={**facts.pod, "status": first})
    assert pod_status(again) == first
