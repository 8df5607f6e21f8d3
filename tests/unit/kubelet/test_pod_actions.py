"""What the kubelet does next for a pod."""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from kaa.kubelet.pod_actions import Facts, Health, pod_actions, stop_waves
from kaa.lib.clock import parse_rfc3339

SCENARIOS = Path(__file__).parents[2] / "scenarios/kubelet/pod_actions.yaml"
CASES = yaml.safe_load(SCENARIOS.read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_scenarios(case: dict[str, Any], make_pod: Any, make_runtime: Any) -> None:
    """Each observed state leads to exactly the listed actions, in order."""
    pod = make_pod(case["pod"], status=case.get("status"))
    if case.get("deleted"):
        pod["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    seen = make_runtime(case.get("sandboxes", []), case.get("containers", []))
    ids = {c.name: c.id for c in reversed(seen.containers)}
    health = Health(
        started=frozenset(ids[name] for name in case.get("started", [])),
        failed={ids[name]: probe for name, probe in case.get("failed", {}).items()},
    )
    not_before = {name: parse_rfc3339(at) for name, at in case.get("not_before", {}).items()}
    actions = pod_actions(Facts(pod, seen, health, not_before))
    assert [{type(action).__name__: _plain(asdict(action))} for action in actions] == case["actions"]


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: v.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(v, datetime) else v for k, v in fields.items()}


def test_sidecars_stop_last_and_in_reverse(make_pod: Any, make_runtime: Any) -> None:
    """App containers are stopped while their sidecars still serve them."""
    pod = make_pod(
        {
            "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "t", "restartPolicy": "Always"}],
            "containers": [{"name": "a"}, {"name": "b"}],
        }
    )
    running = [{"name": name, "state": "running"} for name in ("s", "t", "a", "b")]
    seen = make_runtime([{"id": "s0"}], running)
    assert [[c.name for c in wave] for wave in stop_waves(pod, list(seen.containers))] == [["a", "b"], ["t"], ["s"]]
