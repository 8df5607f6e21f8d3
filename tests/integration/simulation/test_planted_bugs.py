"""Exploration finds what is wrong: every invariant fails when its bug is planted, and the failure plays again."""

import os
import subprocess
import sys

import pytest
from tests.integration.simulation import planted

from kaa.cluster.simulation.exploration import Scenario, Violated, explore, main, replay_command
from kaa.cluster.simulation.invariants import Invariant
from kaa.cluster.simulation.standard_invariants import (
    STANDARD,
    UNAMBIGUOUS,
    bound_once,
    ended_is_ended,
    forbidden_jobs_do_not_overlap,
    jobs_are_done,
    jobs_only_progress,
    never_above_completions,
    never_above_max_surge,
    never_above_parallelism,
    never_above_replicas,
    never_below_max_unavailable,
    never_overcommitted,
    no_orphans,
    no_pod_is_lost,
    nothing_is_stuck,
    one_daemon_a_node,
    one_pod_an_index,
    one_pod_an_ordinal,
    ordinals_in_order,
    quota_never_exceeded,
    services_lead_to_their_pods,
)

SEEDS = 20
"""Within so many histories each bug shows; most do in the first."""

BUGS: tuple[tuple[Scenario, Invariant], ...] = (
    (planted.surges_one_too_many, never_above_max_surge),
    (planted.takes_one_too_many, never_below_max_unavailable),
    (planted.makes_one_too_many, never_above_replicas),
    (planted.does_not_see_pods_go, no_pod_is_lost),
    (planted.replaces_what_still_runs, one_pod_an_ordinal),
    (planted.makes_two_of_an_ordinal, one_pod_an_ordinal),
    (planted.makes_all_ordinals_at_once, ordinals_in_order),
    (planted.surges_daemons, one_daemon_a_node),
    (planted.runs_too_many_at_once, never_above_parallelism),
    (planted.runs_one_too_often, never_above_completions),
    (planted.forgets_what_it_counted, jobs_only_progress),
    (planted.keeps_its_finalizers, jobs_are_done),
    (planted.two_lead, one_pod_an_index),
    (planted.starts_what_is_forbidden, forbidden_jobs_do_not_overlap),
    (planted.collects_no_pods, no_orphans),
    (planted.empties_no_namespace, nothing_is_stuck),
    (planted.does_not_see_pods_behind_services, services_lead_to_their_pods),
    (planted.races_past_a_quota, quota_never_exceeded),
    (planted.takes_refusals_for_done, no_pod_is_lost),
    (planted.binds_without_looking, never_overcommitted),
    (planted.binds_a_second_time, bound_once),
    (planted.revives_what_has_ended, ended_is_ended),
)


def test_every_invariant_has_a_bug() -> None:
    """One that nothing breaks might be one that nothing can break."""
    assert {row.name for _, row in BUGS} == {row.name for row in (*STANDARD, *UNAMBIGUOUS)}


def found_in(bug: Scenario) -> tuple[int, str]:
    """The seed, and what exploration says."""
    with pytest.raises(Violated) as violated:
        explore(bug, range(SEEDS))
    text = str(violated.value)
    seed = int(text.split()[1])
    assert text.endswith(f"\nto play it again: {replay_command(bug.path, seed)}")
    return seed, text


@pytest.mark.parametrize(
    ("bug", "broken"), BUGS, ids=lambda value: value.run.__name__ if isinstance(value, Scenario) else value.name
)
def test_exploration_finds_the_bug(bug: Scenario, broken: Invariant, capsys: pytest.CaptureFixture[str]) -> None:
    """By that very invariant; and the command that it prints plays the same history to the same end."""
    seed, text = found_in(bug)
    _, problem = text.split("\n", 1)
    problem = problem.rpartition("\nto play it again: ")[0]
    assert problem.startswith(f"{broken.name}, at revision ")
    assert main(replay_command(bug.path, seed).split()[3:]) == 1
    assert capsys.readouterr().out.endswith(f"{problem}\n")


def test_a_failure_is_the_same_in_any_process_byte_for_byte() -> None:
    """The printed command as one would type it, with other hashes of strings: each change and each word is the same."""
    seed, text = found_in(planted.races_past_a_quota)
    command = replay_command(planted.races_past_a_quota.path, seed).split()[1:]
    played = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run([sys.executable, *command], env=environment, capture_output=True, timeout=120, check=False)
        assert run.returncode == 1
        assert run.stderr == b""
        played.append(run.stdout)
    assert played[0] == played[1]
    _, problem = text.rpartition("\nto play it again: ")[0].split("\n", 1)
    assert played[0].endswith(f"{problem}\n".encode())
