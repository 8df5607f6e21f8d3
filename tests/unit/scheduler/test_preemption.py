"""Whom a pod takes off which node."""

import random
from dataclasses import replace

import pytest
from tests.unit.scheduler.make import node, pod, snapshot_of

from kaa.api.objects import namespace_of
from kaa.scheduler.decision import decide, filtered, wide_plugins
from kaa.scheduler.dry_run import NO_VICTIMS, trials
from kaa.scheduler.plugins import PLUGINS, default_preemption
from kaa.scheduler.preemption import importance
from kaa.scheduler.snapshot import Snapshot


class Budgets:
    """A view that has nothing but disruption budgets."""

    def __init__(self, *budgets):
        self.budgets = list(budgets)

    def get(self, kind, name, namespace=""):
        return None

    def list(self, kind, namespace=None):
        found = self.budgets if kind == "PodDisruptionBudget" else []
        return [budget for budget in found if namespace in (None, namespace_of(budget))]


def budget(app, allowed):
    return {
        "metadata": {"name": app, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": allowed},
    }


def nomination(wanted, snapshot):
    decision = decide(wanted, snapshot, PLUGINS, random.Random(1))
    found = decision.nomination
    return found.node_name, [victim.name for victim in found.victims]


def put(snapshot, node_name, name, cpu, priority=0, started="2030-01-01T00:00:00Z", **more):
    snapshot.add_pod(replace(pod(name, cpu, priority=priority, **more), started_at=started), node_name)


def test_as_few_and_unimportant_as_possible():
    """The pods that fit beside the newcomer stay, the most important ones first."""
    snapshot = snapshot_of(node("n", cpu="1"))
    put(snapshot, "n", "a", "300m", priority=3)
    put(snapshot, "n", "b", "300m", priority=2)
    put(snapshot, "n", "c", "300m", priority=1)
    assert nomination(pod("p", "400m", priority=10), snapshot) == ("n", ["c"])
    assert nomination(pod("p", "500m", priority=10), snapshot) == ("n", ["b", "c"])
    assert nomination(pod("p", "700m", priority=3), snapshot) == ("n", ["b", "c"])
    assert nomination(pod("p", "900m", priority=3), snapshot) == ("", [])


def test_of_equal_pods_the_one_that_has_run_longest_stays():
    """What it has done so far would be lost."""
    snapshot = snapshot_of(node("n", cpu="1"))
    put(snapshot, "n", "old", "500m", started="2029-01-01T00:00:00Z")
    put(snapshot, "n", "new", "500m", started="2030-01-01T00:00:00Z")
    assert nomination(pod("p", "500m", priority=1), snapshot) == ("n", ["new"])


@pytest.mark.parametrize(
    ("there", "best"),
    [
        ({"a": [("800m", 5)], "b": [("800m", 4)]}, "b"),  # the least important most important victim
        ({"a": [("400m", 5), ("400m", 5)], "b": [("400m", 5), ("400m", 1)]}, "b"),  # the least sum
        ({"a": [("400m", 5), ("400m", 5)], "b": [("800m", 5)]}, "b"),  # the fewest
        ({"a": [("800m", 5, "2029-01-01T00:00:00Z")], "b": [("800m", 5, "2030-01-01T00:00:00Z")]}, "b"),  # the latest
    ],
)
def test_the_best_node(there, best):
    """In this order of criteria, as upstream documents them."""
    snapshot = snapshot_of(node("a", cpu="1"), node("b", cpu="1"))
    for name, pods in there.items():
        for index, (cpu, priority, *started) in enumerate(pods):
            put(snapshot, name, f"{name}{index}", cpu, priority, *started)
    assert nomination(pod("p", "1", priority=10), snapshot)[0] == best


def test_budgets_are_respected_as_far_as_possible():
    """Another node rather than a violated budget, even with more important victims; on one node, other pods first."""
    snapshot = Snapshot(Budgets(budget("web", 0)))
    snapshot.set_node(node("a", cpu="1"))
    snapshot.set_node(node("b", cpu="1"))
    put(snapshot, "a", "web", "800m", priority=1, labels={"app": "web"})
    put(snapshot, "b", "db", "800m", priority=5, labels={"app": "db"})
    assert nomination(pod("p", "800m", priority=10), snapshot) == ("b", ["db"])
    assert nomination(pod("p", "800m", priority=5), snapshot) == ("a", ["web"])

    snapshot = Snapshot(Budgets(budget("web", 0)))
    snapshot.set_node(node("a", cpu="1"))
    put(snapshot, "a", "web", "500m", priority=1, labels={"app": "web"})
    put(snapshot, "a", "db", "500m", priority=5, labels={"app": "db"})
    assert nomination(pod("p", "500m", priority=10), snapshot) == ("a", ["db"])


def test_what_a_budget_allows_is_spent_in_order():
    """Of three pods of which one may go, two are violations."""
    snapshot = Snapshot(Budgets(budget("web", 1)))
    for name, cpu in (("a", "900m"), ("b", "900m")):
        snapshot.set_node(node(name, cpu=cpu))
    for index in range(3):
        put(snapshot, "a", f"web{index}", "300m", labels={"app": "web"})
    put(snapshot, "b", "other", "900m", priority=9)
    assert nomination(pod("p", "900m", priority=10), snapshot)[0] == "b"


def test_affinity_between_pods_is_tried_node_by_node():
    """A victim that others are kept away by may be a reason for another node; the snapshot is as before afterwards."""
    snapshot = snapshot_of(node("a", cpu="1", labels={"zone": "a"}), node("b", cpu="1", labels={"zone": "a"}))
    hard = "requiredDuringSchedulingIgnoredDuringExecution"
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}
    put(snapshot, "a", "web", "100m", priority=5, labels={"app": "web"})
    put(snapshot, "b", "other", "900m", priority=1)
    before = sorted(snapshot.pods), snapshot.requested.tolist()
    wanted = pod("p", "500m", priority=10, affinity={"podAntiAffinity": {hard: [term]}})
    assert nomination(wanted, snapshot) == ("a", ["web"])
    assert (sorted(snapshot.pods), snapshot.requested.tolist()) == before


def test_the_message():
    """For people: why preemption does not help either."""
    snapshot = snapshot_of(node("small", cpu="1"), node("full", cpu="2"), node("cordoned", unschedulable=True))
    put(snapshot, "full", "important", "1500m", priority=20)
    found = decide(pod("p", "1500m", priority=10), snapshot, PLUGINS, random.Random(1))
    assert found.message.endswith(
        "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, "
        "2 Preemption is not helpful for scheduling."
    )
    never = pod("p", "1500m", priority=10, preemptionPolicy="Never")
    found = decide(never, snapshot, PLUGINS, random.Random(1))
    assert found.message.endswith("preemption: not eligible due to preemptionPolicy=Never.")


def test_nobody_is_evicted_while_a_victim_still_leaves():
    """A second victim for the same pod would be one too many."""
    snapshot = snapshot_of(node("n", cpu="1"))
    put(snapshot, "n", "a", "600m")
    put(snapshot, "n", "b", "400m")
    snapshot.add_pod(replace(snapshot.pods["default", "a"][0], terminating=True), "n")
    wanted = replace(pod("p", "600m", priority=10), nominated_node_name="n")
    found = decide(wanted, snapshot, PLUGINS, random.Random(1))
    assert found.nomination.node_name is None
    assert found.message.endswith("preemption: not eligible due to a terminating pod on the nominated node.")


def random_cluster(rng):
    snapshot = snapshot_of(*(node(f"n{i}", cpu=str(rng.randrange(1, 4)), pods=rng.randrange(2, 6)) for i in range(8)))
    for index in range(30):
        ports = [{"hostPort": rng.randrange(1, 3), "protocol": "TCP"}] if rng.random() < 0.2 else None
        cpu, priority = f"{rng.randrange(1, 12) * 100}m", rng.randrange(4)
        put(snapshot, f"n{rng.randrange(8)}", f"p{index}", cpu, priority, ports=ports)
    return snapshot


@pytest.mark.parametrize("seed", range(60))
def test_trying_many_nodes_at_once_is_trying_each(seed):
    """The fast way and the plain one: take all off, put back one by one whatever fits."""
    rng = random.Random(seed)
    snapshot = random_cluster(rng)
    ports = [{"hostPort": 1, "protocol": "TCP"}] if rng.random() < 0.5 else None
    wanted = pod("p", f"{rng.randrange(1, 20) * 100}m", priority=2, ports=ports)
    assert not wide_plugins(wanted, snapshot, PLUGINS)
    rows = sorted(snapshot.row_of.values())

    def order(pods):
        return sorted(pods, key=importance)

    for trial in trials(wanted, snapshot, PLUGINS, [], rows, order):
        assert (trial.reason if not trial.victims else "", trial.victims) == plain(wanted, snapshot, trial.row, order)


def plain(wanted, snapshot, row, order):
    lesser = order([other for other in snapshot.on_row.get(row, {}).values() if other.priority < wanted.priority])
    name = snapshot.names[row]
    for other in lesser:
        snapshot.remove_pod(other.key)
    trace = filtered(wanted, snapshot, PLUGINS)
    victims, reason = [], NO_VICTIMS
    if lesser and not trace.feasible[row]:
        reason = ", ".join(r.reason for r in trace.refusals if r.rows[row])
    for other in lesser:
        snapshot.add_pod(other, name)
        if trace.feasible[row] and not filtered(wanted, snapshot, PLUGINS).feasible[row]:
            snapshot.remove_pod(other.key)
            victims.append(other)
    for other in victims:
        snapshot.add_pod(other, name)
    return ("" if victims else reason), tuple(victims)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_remembered_of_nodes_is_true(seed):
    """Many pods in need, one after the other, get what each would get if it were the first."""
    rng = random.Random(seed)
    snapshot = random_cluster(rng)
    others = tuple(plugin for plugin in PLUGINS if plugin.name != "DefaultPreemption")
    remembering = (*others, default_preemption.make({}))
    for index in range(20):
        wanted = pod(f"need{index}", rng.choice(["500m", "1", "1500m"]), priority=rng.choice([2, 5]))
        fresh = (*others, default_preemption.make({}))
        decision = decide(wanted, snapshot, remembering, random.Random(1))
        again = decide(wanted, snapshot, fresh, random.Random(1))
        assert type(decision) is type(again)
        if hasattr(decision, "nomination"):
            assert decision.message == again.message
            assert bool(decision.nomination.node_name) == bool(again.nomination.node_name)
            if decision.nomination.node_name:
                assert best_rank(decision) == best_rank(again)
                snapshot.nominate(wanted, decision.nomination.node_name)
                for victim in decision.nomination.victims:
                    if rng.random() < 0.5:
                        snapshot.remove_pod(victim.key)
        else:
            snapshot.add_pod(wanted, decision.node_name)


def best_rank(decision):
    """All that the best candidate is chosen by, but which of equal nodes it is."""
    victims = decision.nomination.victims
    return victims[0].priority, sum(v.priority for v in victims), len(victims)
