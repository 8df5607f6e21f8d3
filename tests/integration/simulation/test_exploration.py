"""Exploration: hundreds of histories, each judged at every change; and what is said of one that goes wrong."""

import os
import re
from collections.abc import Iterator

import pytest
from tests.integration.simulation import scenarios
from tests.integration.simulation.scenarios import pod_template, workload

from kaa.api.objects import labels_of, name_of
from kaa.cluster.simulation.everyday import AsyncCluster
from kaa.cluster.simulation.exploration import (
    Scenario,
    Violated,
    explore,
    main,
    play,
    replay_command,
    scenario,
    scenarios_of,
)
from kaa.cluster.simulation.invariants import Moment, invariant

SEEDS = int(os.environ.get("KAA_SEEDS", "50"))
"""Histories of each scenario."""

BLOCK = 10
"""Seeds a test, so that tests share the processors."""

ALL = scenarios_of(scenarios.__name__)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
@pytest.mark.parametrize("explored", ALL, ids=lambda found: found.run.__name__)
def test_every_history_is_as_it_should_be(explored: Scenario, first: int) -> None:
    """Whatever fails, in whatever order things happen: every invariant holds at every change. 500 histories in all."""
    report = explore(explored, range(first, first + BLOCK))
    assert report.histories == BLOCK  # another seed is another history
    assert report.changes > 100 * BLOCK


def test_at_least_five_hundred_histories_are_explored() -> None:
    assert len(ALL) * SEEDS >= 500


@invariant("Pod")
def no_third_pod(moment: Moment) -> Iterator[str]:
    """Wrong on purpose."""
    pods = [pod for pod in moment.objects.list("Pod", "default") if labels_of(pod).get("app") == "web"]
    if moment.created and moment.new is not None and len(pods) == 3:
        yield f"{name_of(moment.new)} is the third pod"


@invariant()
def nothing_is_left(moment: Moment) -> Iterator[str]:
    """Wrong on purpose, at the end."""
    if left := [name_of(pod) for pod in moment.objects.list("Pod")]:
        yield f"{len(left)} pods are left"


@scenario(nodes=1, invariants=[no_third_pod])
async def three_pods(c: AsyncCluster) -> None:
    c.faults.pause("kube-scheduler", after=0.5, for_=1)
    await c.apply(workload("Deployment", "web", pod_template("web"), replicas=3))
    await c.run_for(20)


@scenario(nodes=1, invariants=[nothing_is_left])
async def a_pod_is_left(c: AsyncCluster) -> None:
    await c.apply(workload("Deployment", "web", pod_template("web"), replicas=1))


@scenario(nodes=1, invariants=[])
async def an_assertion_fails(c: AsyncCluster) -> None:
    assert await c.list("pod"), "there is no pod"


def test_a_violation_tells_what_and_how_to_see_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    """The seed, what is wrong, at which revision, the faults, the last changes, and a command that plays it again."""
    with pytest.raises(Violated) as violated:
        explore(three_pods, range(3, 9))
    text = str(violated.value)
    assert text.startswith(
        "seed 3 of tests.integration.simulation.test_exploration:three_pods\nno_third_pod, at revision "
    )
    assert re.search(r"default/|web-[a-z0-9]+-[a-z0-9]+ is the third pod", text)
    assert "create Pod default/web-" in text
    command = replay_command(three_pods.path, 3)
    assert text.endswith(f"to play it again: {command}")
    revision = re.search(r"at revision (\d+)", text)
    assert revision is not None
    assert main(command.split()[3:]) == 1
    replayed = capsys.readouterr().out
    assert f"no_third_pod, at revision {revision[1]} " in replayed
    assert re.search(rf"^{revision[1]} .* create /registry/core/pods/default/web-", replayed, re.MULTILINE)


def test_the_end_is_judged_when_the_cluster_rests() -> None:
    """An invariant without kinds is asked when nothing more happens."""
    assert "nothing_is_left" in play(a_pod_is_left, 1).problem


def test_what_a_scenario_asserts_counts() -> None:
    """Any exception of the scenario's own is a history gone wrong, with its seed."""
    assert play(an_assertion_fails, 1).problem.startswith("AssertionError: there is no pod")


def test_several_processes_share_the_seeds() -> None:
    """Every seed is played once, and gives the same history in whichever process."""
    report = explore(scenarios.quota, range(12), processes=2)
    assert report.seeds == 12
    assert report.histories == 12
    assert report.changes == sum(play(scenarios.quota, seed).changes for seed in range(12))
