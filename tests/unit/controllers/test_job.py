"""A Job's books: whatever happens and whoever dies in between, every pod is counted exactly once."""

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scenarios.world import NOW, World

from kaa.api.objects import is_being_deleted
from kaa.controllers.actions import RequeueAfter
from kaa.controllers.job import CONTROLLER
from kaa.controllers.job_failures import match_policy
from kaa.controllers.job_indexes import format_indexes, matched_success_rule, parse_indexes
from kaa.controllers.job_tally import TRACKING, is_tracked
from kaa.controllers.pods import phase_of
from kaa.lib.clock import rfc3339

ENDS = {"Pending": ["Running"], "Running": ["Succeeded", "Succeeded", "Failed"]}
STEPS = 400


@given(st.sets(st.integers(0, 60)))
def test_indexes_are_written_so_that_they_can_be_read(indexes: set[int]) -> None:
    """The status is all that is left of pods that are gone."""
    assert parse_indexes(format_indexes(indexes)) == indexes


def test_runs_of_indexes_are_written_as_upstream_does() -> None:
    """Two neighbours are named, three are a range."""
    assert format_indexes([5, 0, 2, 3, 4, 8, 9]) == "0,2-5,8,9"


@pytest.mark.parametrize(
    ("rule", "succeeded", "expected"),
    [
        ({"succeededIndexes": "0-2", "succeededCount": 2}, {0, 2}, 0),
        ({"succeededIndexes": "0-2", "succeededCount": 2}, {0, 5, 6}, None),
        ({"succeededIndexes": "0-2"}, {0, 1}, None),
        ({"succeededCount": 2}, {7, 9}, 0),
    ],
)
def test_success_rules(rule: dict[str, Any], succeeded: set[int], expected: int | None) -> None:
    """So many of those: a part that is missing means all of them, or any."""
    assert matched_success_rule({"spec": {"successPolicy": {"rules": [rule]}}}, succeeded) == expected


def test_the_first_rule_that_matches_counts() -> None:
    """Exit codes of one container, then a condition; a pod that nothing matches counts as it does without rules."""
    rules = [
        {"action": "Ignore", "onExitCodes": {"containerName": "side", "operator": "In", "values": [1]}},
        {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [7]}},
        {"action": "Count", "onPodConditions": [{"type": "DisruptionTarget"}]},
    ]
    job = {"spec": {"podFailurePolicy": {"rules": rules}}}

    def action(name: str, code: int, *conditions: str) -> str:
        statuses = [{"name": name, "state": {"terminated": {"exitCode": code}}}]
        found = [{"type": kind, "status": "True"} for kind in conditions]
        status = {"phase": "Failed", "containerStatuses": statuses, "conditions": found}
        return match_policy(job, {"metadata": {"name": "p"}, "status": status}).action

    assert action("side", 1) == "Ignore"
    assert action("main", 1) == "FailJob"
    assert action("main", 7, "DisruptionTarget") == "Count"
    assert action("main", 0) == "Count"


POD: dict[str, Any] = {
    "metadata": {"name": "p", "uid": "u", "finalizers": [TRACKING], "labels": {"job": "work"}},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("metadata", "status", "matters"),
    [
        ({"resourceVersion": "2"}, {"hostIP": "10.0.0.1"}, False),
        ({}, {"containerStatuses": [{"name": "c", "restartCount": 0}]}, False),
        ({}, {"containerStatuses": [{"name": "c", "restartCount": 1}]}, True),
        ({}, {"conditions": [{"type": "Ready", "status": "True"}]}, True),
        ({}, {"phase": "Failed"}, True),
        ({"finalizers": []}, {}, True),
        ({"labels": {}}, {}, True),
        ({"deletionTimestamp": rfc3339(NOW)}, {}, True),
        ({"uid": "another"}, {}, True),
    ],
)
def test_what_of_a_pod_matters_to_its_job(metadata: dict[str, Any], status: dict[str, Any], matters: bool) -> None:
    """A job is not looked at for what it never reads."""
    changed = {"metadata": {**POD["metadata"], **metadata}, "status": {**POD["status"], **status}}
    assert CONTROLLER.watches[0].when(POD, changed) == matters


class History:
    """A world in which pods live and end, and in which the controller may die after any of its actions.

    It is called as the runtime calls it: for changes that its row says concern it, and when it has asked to be.
    """

    def __init__(self, seed: int, spec: dict[str, Any]) -> None:
        self.rng = random.Random(seed)
        template = {"metadata": {"labels": {"job": "work"}}, "spec": {"restartPolicy": "Never", "containers": []}}
        selector = {"matchLabels": {"job": "work"}}
        job = {"kind": "Job", "metadata": {"name": "work"}}
        job["spec"] = {"backoffLimit": 1000, "selector": selector, "template": template, **spec}
        self.world = World([job], CONTROLLER.indexes)
        self.now = NOW
        self.ended: dict[str, set[str]] = {"Succeeded": set(), "Failed": set()}

    @property
    def job(self) -> dict[str, Any]:
        return self.world.get("Job", "work", "default")  # type: ignore[return-value]

    @property
    def pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.world.list("Pod")
        return found

    @property
    def is_finished(self) -> bool:
        kinds = {c["type"] for c in self.job.get("status", {}).get("conditions") or ()}
        return bool(kinds & {"Complete", "Failed"})

    def run(self) -> None:
        seen: dict[Any, Any] = {}
        for _ in range(STEPS):
            if self.is_called(seen):
                seen = dict(self.world.objects)
                actions = self.world.reconcile(CONTROLLER, "default", "work", self.now)
                done = self.rng.randint(0, len(actions))
                for action in actions[:done]:
                    self.world.apply(action)
                if done < len(actions) or any(isinstance(action, RequeueAfter) for action in actions):
                    seen = {}
            self.check()
            if self.is_finished and not any(map(is_tracked, self.pods)):
                return
            self.now += timedelta(seconds=self.rng.choice([1, 700]))
            for pod in self.pods:
                if self.rng.random() < 0.5:
                    self.live(pod)
        pytest.fail(f"not finished: {self.job.get('status')}")

    def is_called(self, seen: dict[Any, Any]) -> bool:
        whens, now = {"Job": CONTROLLER.when, "Pod": CONTROLLER.watches[0].when}, self.world.objects
        changed = [key for key in {**seen, **now} if seen.get(key) is not now.get(key)]
        return any(whens[key[0]](seen.get(key), now.get(key)) for key in changed)

    def live(self, pod: dict[str, Any]) -> None:
        phase = phase_of(pod)
        if phase in ENDS:
            after = self.rng.choice(ENDS[phase])
            if after in self.ended:
                self.ended[after].add(pod["metadata"]["uid"])
            ended = {"terminated": {"exitCode": 1, "finishedAt": rfc3339(self.now)}}
            status = {"phase": after, "containerStatuses": [{"name": "c", "state": ended}]}
            self.world.objects["Pod", "default", pod["metadata"]["name"]] = {**pod, "status": status}

    def check(self) -> None:
        status, spec = self.job.get("status", {}), self.job["spec"]
        active = [p for p in self.pods if phase_of(p) in ENDS and not is_being_deleted(p)]
        assert len(active) <= spec["parallelism"]
        assert status.get("succeeded", 0) <= len(self.ended["Succeeded"])
        assert status.get("failed", 0) <= len(self.ended["Failed"])


@pytest.mark.parametrize("seed", range(40))
def test_every_end_is_counted_once(seed: int) -> None:
    """Also when the controller dies between any two of its writes, again and again."""
    history = History(seed, {"parallelism": 3, "completions": 6})
    history.run()
    status = history.job["status"]
    assert status["succeeded"] == len(history.ended["Succeeded"]) >= 6
    assert status.get("failed", 0) == len(history.ended["Failed"])
    assert status["uncountedTerminatedPods"] == {}


@pytest.mark.parametrize("seed", range(40))
def test_every_index_succeeds_once(seed: int) -> None:
    """However often each was tried."""
    spec = {"parallelism": 3, "completions": 6, "completionMode": "Indexed", "backoffLimitPerIndex": 100}
    history = History(seed, spec)
    history.run()
    status = history.job["status"]
    assert (status["completedIndexes"], status["failedIndexes"], status["succeeded"]) == ("0-5", "", 6)
    assert len(history.ended["Succeeded"]) == 6, "no index ran again after its success"
    assert status.get("failed", 0) == len(history.ended["Failed"])
