"""Answers that are remembered are those that plugins would give anew."""

import random

import numpy as np
import pytest
from tests.unit.scheduler.make import node, pod, snapshot_of

from kaa.scheduler.answers import Remembered
from kaa.scheduler.decision import decide, filtered
from kaa.scheduler.part import Part
from kaa.scheduler.plugins import PLUGINS

ZONES = ["a", "b", "c"]
TAINT = {"key": "slow", "effect": "PreferNoSchedule"}


def shapes():
    """One of every sort that plugins look at."""
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}
    weighted = {"weight": 3, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}}
    constraint = {**term, "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}
    hard = "requiredDuringSchedulingIgnoredDuringExecution"
    soft = "preferredDuringSchedulingIgnoredDuringExecution"
    return [
        {},
        {"cpu": "300m"},
        {"cpu": "1", "ports": [{"hostPort": 80, "protocol": "TCP"}]},
        {"labels": {"app": "web"}, "topologySpreadConstraints": [constraint]},
        {"affinity": {"podAntiAffinity": {hard: [{**term, "topologyKey": "kubernetes.io/hostname"}]}}},
        {"affinity": {"nodeAffinity": {soft: [weighted]}}, "tolerations": [TAINT | {"operator": "Exists"}]},
        {"requests": {"example.com/gpu": "1"}},
    ]


def random_node(rng, name):
    taints = [TAINT] if rng.random() < 0.3 else []
    room = {"example.com/gpu": "2"} if rng.random() < 0.3 else {}
    labels = {"zone": rng.choice(ZONES)}
    return node(name, cpu=str(rng.randrange(1, 5)), labels=labels, taints=taints, room=room)


@pytest.mark.parametrize("seed", range(10))
def test_remembered_answers_equal_fresh_ones(seed):
    """Whatever comes, goes and changes between decisions: else pods of a crowd would be placed by old facts."""
    rng = random.Random(seed)
    snapshot, remembered = snapshot_of(*(random_node(rng, f"n{i}") for i in range(20))), Remembered()
    kinds, bound = shapes(), []
    for step in range(300):
        wanted = pod(f"p{step}", **dict(rng.choice(kinds)))
        fresh = decide(wanted, snapshot, PLUGINS, random.Random(step))
        decision = decide(wanted, snapshot, PLUGINS, random.Random(step), remembered)
        assert decision == fresh
        compare(decision.trace, fresh.trace)
        if fresh.trace.feasible.any():
            snapshot.add_pod(wanted, decision.node_name)
            bound.append(wanted.key)
        change = rng.random()
        if change < 0.1:
            snapshot.set_node(random_node(rng, f"n{rng.randrange(25)}"))
        elif change < 0.15:
            snapshot.remove_node(f"n{rng.randrange(25)}")
        elif change < 0.4 and bound:
            snapshot.remove_pod(bound.pop(rng.randrange(len(bound))))
        elif change < 0.5:
            snapshot.nominate(pod(f"waits{step}", "500m"), f"n{rng.randrange(25)}")


def compare(trace, fresh):
    assert np.array_equal(trace.feasible, fresh.feasible)

    def said(refusals):
        found = {}
        for refusal in refusals:
            key = (refusal.plugin, refusal.reason, refusal.resolvable)
            found[key] = found.get(key, 0) | refusal.rows
        return {key: rows.tolist() for key, rows in found.items()}

    assert said(trace.refusals) == said(fresh.refusals)
    assert len(trace.scores) == len(fresh.scores)
    for scored, other in zip(trace.scores, fresh.scores, strict=True):
        assert (scored.plugin, scored.weight) == (other.plugin, other.weight)
        assert np.array_equal(scored.scores[trace.feasible], other.scores[trace.feasible]), scored.plugin


def test_a_part_is_a_snapshot_of_its_own():
    """What is tried on it does not reach the whole, and pods of its rows are there with all they hold."""
    whole = snapshot_of(node("a"), node("b"), node("c"))
    first = pod("first", "3", ports=[{"hostPort": 80, "protocol": "TCP"}])
    whole.add_pod(first, "b")
    part = Part(whole, [whole.row_of["b"], whole.row_of["c"]])
    wanted = pod("p", "2", ports=[{"hostPort": 80, "protocol": "TCP"}])
    assert names(filtered(wanted, part, PLUGINS).feasible, part) == {"c"}
    assert part.remove_pod(first.key)
    assert names(filtered(wanted, part, PLUGINS).feasible, part) == {"b", "c"}
    assert names(filtered(wanted, whole, PLUGINS).feasible, whole) == {"a", "c"}


def names(rows, snapshot):
    return {snapshot.names[row] for row in rows.nonzero()[0]}
