"""How many replicas metrics ask for, and how fast an autoscaler follows them."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scenarios.world import NOW

from kaa.controllers.autoscaling_behavior import History, normalize
from kaa.controllers.autoscaling_metrics import (
    Groups,
    by_average,
    by_pods,
    by_value,
    group,
    requests_of,
)
from kaa.controllers.metrics_source import MetricsMissing

EXACT = (0.1, 0.1)


def hpa(current_max: int = 100, **behavior: Any) -> dict[str, Any]:
    return {"spec": {"minReplicas": 1, "maxReplicas": current_max, "behavior": behavior}}


def replicas(current: int, usage: dict[str, int], target: int, missing: int = 0, unready: int = 0) -> int:
    groups = Groups(list(usage), [f"u{i}" for i in range(unready)], [f"m{i}" for i in range(missing)])
    names = [*groups.measured, *groups.unready, *groups.missing]
    targets = dict.fromkeys(names, target)
    return by_pods(current, usage, targets, targets, groups, EXACT)


@pytest.mark.parametrize(
    ("current", "usage", "missing", "unready", "expected"),
    [
        (2, {"a": 200, "b": 200}, 0, 0, 4),  # twice too much
        (4, {"a": 50, "b": 50, "c": 50, "d": 50}, 0, 0, 2),  # half
        (2, {"a": 105, "b": 104}, 0, 0, 2),  # within the tolerance
        (3, {"a": 200, "b": 200}, 1, 0, 4),  # a missing one counts as using nothing when growing
        (3, {"a": 50, "b": 50}, 1, 0, 2),  # and as using its target when shrinking
        (3, {"a": 200}, 0, 2, 3),  # two that only start turn "more" into "less": nothing is done
        (3, {"a": 50, "b": 50}, 0, 1, 1),  # one that only starts does not hold back shrinking
    ],
)
def test_the_ratio_of_pods(current: int, usage: dict[str, int], missing: int, unready: int, expected: int) -> None:
    """Upstream's rules for what is not measured, each of which errs on the side of doing less."""
    assert replicas(current, usage, 100, missing, unready) == expected


def test_one_that_is_missing_may_use_all_that_it_asks_for() -> None:
    """Where the target is half of the request: two idle pods and a silent one stay three, not two."""
    targets, requests = dict.fromkeys("abm", 50), dict.fromkeys("abm", 100)
    groups = Groups(["a", "b"], [], ["m"])
    assert by_pods(3, {"a": 20, "b": 20}, targets, targets, groups, EXACT) == 2
    assert by_pods(3, {"a": 20, "b": 20}, targets, requests, groups, EXACT) == 3


def test_nothing_to_go_by() -> None:
    """No pods at all, or none whose measurement counts: in upstream's words."""
    with pytest.raises(MetricsMissing, match="no pods returned by selector while calculating replica count"):
        by_pods(1, {}, {}, {}, Groups(), EXACT)
    with pytest.raises(MetricsMissing, match="did not receive metrics for targeted pods"):
        by_pods(1, {}, {"a": 1}, {"a": 1}, Groups([], ["a"], []), EXACT)


def test_numbers_that_are_not_of_pods() -> None:
    """A value for all is a ratio; one that replicas share is divided."""
    assert by_value(2, 2, value=300, target=100, tolerances=EXACT) == 6
    assert by_value(2, 2, value=105, target=100, tolerances=EXACT) == 2
    assert by_average(2, value=1000, target=100, tolerances=EXACT) == 10
    assert by_average(10, value=1000, target=100, tolerances=EXACT) == 10


def test_pods_that_do_not_count() -> None:
    """Those on their way out; and a pod that starts has no usual CPU yet."""

    def pod(name: str, ready: str = "True", **metadata: Any) -> dict[str, Any]:
        condition = {"type": "Ready", "status": ready, "lastTransitionTime": "2030-01-01T00:09:10Z"}
        status = {"phase": "Running", "startTime": "2030-01-01T00:09:00Z", "conditions": [condition]}
        return {"metadata": {"name": name, **metadata}, "spec": {}, "status": status}

    pods = [pod("a"), pod("b", "False"), pod("c"), pod("d", deletionTimestamp="2030-01-01T00:09:00Z")]
    found = group(pods, {"a": 1, "b": 1, "d": 1}, NOW, is_cpu=True)
    assert (found.measured, found.unready, found.missing) == (["a"], ["b"], ["c"])
    assert group(pods, {"a": 1, "b": 1}, NOW, is_cpu=False).measured == ["a", "b"]


def test_a_container_without_a_request_has_no_utilization() -> None:
    """The message names it: somebody must set it."""
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}
    with pytest.raises(MetricsMissing, match="missing request for cpu in container c of Pod p"):
        requests_of([pod], "cpu", "")


def test_growing_is_limited_by_policies() -> None:
    """By default four pods or twice as many in fifteen seconds, whichever is more."""
    assert normalize(hpa(), 1, 50, History(), NOW).replicas == 5
    assert normalize(hpa(), 10, 50, History(), NOW).replicas == 20
    history = History()
    history.changes.append((NOW - timedelta(seconds=5), 10))
    limited = normalize(hpa(), 20, 50, history, NOW)
    assert limited.replicas == 20, "there were ten at the beginning of the period"
    assert limited.limit is not None
    assert limited.limit[0] == "ScaleUpLimit"
    assert normalize(hpa(12), 10, 50, History(), NOW).limit[0] == "TooManyReplicas"  # type: ignore[index]
    assert normalize(hpa(scaleUp={"selectPolicy": "Disabled"}), 10, 50, History(), NOW).replicas == 10


def test_without_a_behavior_it_doubles_or_comes_to_four() -> None:
    """The limit that was before there were behaviors holds where none is set."""
    plain = {"spec": {"minReplicas": 1, "maxReplicas": 100}}
    assert [normalize(plain, current, 50, History(), NOW).replicas for current in (1, 2, 3, 10)] == [4, 4, 6, 20]


def test_a_new_process_does_not_shrink_at_once() -> None:
    """It knows of no peak in the last five minutes, and takes the size that it finds for one."""
    history = History()
    assert normalize(hpa(), 10, 2, history, NOW).replicas == 10
    assert normalize(hpa(), 10, 2, history, NOW + timedelta(seconds=301)).replicas == 2


def test_shrinking_waits_for_the_window() -> None:
    """Five minutes by default: the most that was recommended in it counts."""
    history = History()
    history.recommendations.append((NOW - timedelta(seconds=100), 8))
    limited = normalize(hpa(), 10, 2, history, NOW)
    assert (limited.replicas, limited.able[0]) == (8, "ScaleDownStabilized")
    later = NOW + timedelta(seconds=401)
    assert normalize(hpa(), 10, 2, history, later).replicas == 2
    slow = hpa(
        scaleDown={"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}
    )
    assert normalize(slow, 10, 2, History(), NOW).replicas == 9


@given(st.integers(1, 100), st.integers(1, 200), st.lists(st.integers(1, 200), max_size=5))
def test_never_beyond_the_bounds_nor_in_the_wrong_direction(current: int, desired: int, recent: list[int]) -> None:
    """Whatever was recommended lately."""
    history = History()
    history.recommendations.extend((NOW - timedelta(seconds=30), r) for r in recent)
    found = normalize(hpa(), current, desired, history, NOW).replicas
    assert 1 <= found <= 100
    assert (found - current) * (desired - current) >= 0
