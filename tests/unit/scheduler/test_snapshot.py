"""The columns stay true whatever comes and goes, and a pod's requests are what upstream's rules make them."""

import random

import numpy as np
from tests.unit.scheduler.make import node, pod, snapshot_of

from kaa.api.selectors import parse_label_selector
from kaa.scheduler.derived import Derived, PodsThat
from kaa.scheduler.pod_info import requests_of
from kaa.scheduler.snapshot import CHANGES_KEPT

HARD = "requiredDuringSchedulingIgnoredDuringExecution"


def random_pod(rng):
    labels = {"app": rng.choice(["web", "db"])}
    ports = [{"hostPort": rng.randrange(1, 4), "protocol": "TCP"}] if rng.random() < 0.3 else []
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": rng.choice(["web", "db"])}}}
    rule = {"affinity": {rng.choice(["podAffinity", "podAntiAffinity"]): {HARD: [term]}}} if rng.random() < 0.3 else {}
    gpu = {"example.com/gpu": "1"} if rng.random() < 0.1 else {}
    cpu = f"{rng.randrange(1000)}m"
    return pod(f"p{rng.randrange(100)}", cpu, labels=labels, ports=ports, requests=gpu, **rule)


def test_incremental_columns_equal_fresh_ones():
    """After any history, a snapshot equals one that is built anew from what is there."""
    rng = random.Random(5)
    web = PodsThat(parse_label_selector("app=web"), frozenset({"default"}))
    kept = snapshot_of()
    kept.domains("zone"), kept.count_of(web), kept.derived("seen", Seen)
    nodes, pods, nominated = {}, {}, {}
    for step in range(4000):
        name = f"n{rng.randrange(40)}"
        match rng.randrange(5):
            case 0:
                taints = [{"key": f"t{rng.randrange(3)}", "effect": "NoSchedule"}] if rng.random() < 0.3 else []
                nodes[name] = node(
                    name, cpu=str(rng.randrange(1, 9)), labels={"zone": rng.choice("abc")}, taints=taints
                )
                kept.set_node(nodes[name])
            case 1:
                nodes.pop(name, None)
                kept.remove_node(name)
                nominated = {key: entry for key, entry in nominated.items() if entry[1] != name}
            case 2:
                info = random_pod(rng)
                nominated.pop(info.key, None)
                pods[info.key] = (info, name)
                kept.add_pod(info, name)
            case 3:
                info = random_pod(rng)
                if info.key not in pods:
                    kept.nominate(info, name)
                    nominated.pop(info.key, None)
                    if name in nodes:
                        nominated[info.key] = (info, name)
            case _:
                key = ("default", f"p{rng.randrange(100)}")
                assert kept.remove_pod(key) == (pods.pop(key, None) is not None)
        if step % 10 == 0:
            ask_for_columns(kept)
        if step % 100 == 0:
            with kept.set_aside(lambda other: rng.random() < 0.5):
                pass
            compare(kept, nodes, pods, nominated, web)


class Seen(Derived):
    """How many pods each row has, as a plugin would count them."""

    def __init__(self, size):
        self.pods = np.zeros(size, np.int64)

    def grow(self, size):
        self.pods = np.concatenate([self.pods, np.zeros(size - len(self.pods), np.int64)])

    def add_pod(self, pod, row):
        self.pods[row] += 1

    def remove_pod(self, pod, row):
        self.pods[row] -= 1


def ask_for_columns(snapshot):
    for rule in snapshot.rules.about(pod("p", labels={"app": "web"})):
        snapshot.rules.column(rule, snapshot.size)


def compare(kept, nodes, pods, nominated, web):
    fresh = snapshot_of(*nodes.values())
    for info, name in pods.values():
        fresh.add_pod(info, name)
    for info, name in nominated.values():
        fresh.nominate(info, name)
    assert kept.row_of.keys() == fresh.row_of.keys()
    assert {key: kept.names[row] for key, (_, row) in kept.nominated.items()} == {
        key: name for key, (_, name) in nominated.items()
    }
    for name, row in kept.row_of.items():
        other = fresh.row_of[name]
        assert kept.names[row] == name
        for column in ("present", "nonzero", "pod_count", "pod_limit"):
            assert np.array_equal(getattr(kept, column)[..., row], getattr(fresh, column)[..., other]), (column, name)
        for column in ("allocatable", "requested"):
            assert of_resources(kept, column, row) == of_resources(fresh, column, other), (column, name)
        assert {t for t, rows in kept.taints.items() if rows[row]} == {
            t for t, rows in fresh.taints.items() if rows[other]
        }
        assert kept.on_row.get(row, {}).keys() == fresh.on_row.get(other, {}).keys()
        assert kept.count_of(web)[row] == fresh.count_of(web)[other]
        assert kept.derived("seen", Seen).pods[row] == fresh.derived("seen", Seen).pods[other]
        assert of_rules(kept, row) == of_rules(fresh, other)
        assert same_domain(kept, row) == same_domain(fresh, other)
    assert {p: sum(map(len, rows.values())) for p, rows in kept.ports.items()} == {
        p: sum(map(len, rows.values())) for p, rows in fresh.ports.items()
    }


def of_resources(snapshot, column, row):
    amounts = {name: int(getattr(snapshot, column)[index, row]) for name, index in snapshot.resources.items()}
    return {name: amount for name, amount in amounts.items() if amount}


def of_rules(snapshot, row):
    """How many pods of the row have each rule that may mean a pod of either sort."""
    found = {rule for app in ("web", "db") for rule in snapshot.rules.about(pod("p", labels={"app": app}))}
    counts = {rule: int(snapshot.rules.column(rule, snapshot.size)[row]) for rule in found}
    return {rule: count for rule, count in counts.items() if count}


def same_domain(snapshot, row):
    domains = snapshot.domains("zone")
    return {snapshot.names[r] for r in snapshot.row_of.values() if domains.column[r] == domains.column[row]}


def container(cpu, **more):
    return {"resources": {"requests": {"cpu": cpu}}, **more}


def test_init_containers_and_sidecars():
    """Init containers run before: the peak counts. Sidecars stay, and count with those after them and the rest."""
    spec = {"containers": [container("1"), container("500m")], "initContainers": [container("2")]}
    assert requests_of(spec) == {"cpu": 2000}
    sidecar = container("700m", restartPolicy="Always")
    assert requests_of({**spec, "initContainers": [container("2"), sidecar]}) == {"cpu": 2200}
    assert requests_of({**spec, "initContainers": [sidecar, container("2")]}) == {"cpu": 2700}


def test_overhead_and_requests_of_the_whole_pod():
    """Pod-level requests replace the sum; overhead comes on top of either."""
    spec = {"containers": [container("1")], "overhead": {"cpu": "100m"}}
    assert requests_of(spec) == {"cpu": 1100}
    assert requests_of({**spec, "resources": {"requests": {"cpu": "3"}}}) == {"cpu": 3100}


def test_changed_rows_are_told():
    """Since a mark, until they are forgotten: then nobody may think that nothing changed."""
    snapshot = snapshot_of(node("a"), node("b"))
    mark = snapshot.changes
    assert snapshot.changed_since(mark) == set()
    snapshot.add_pod(pod("p"), "b")
    snapshot.nominate(pod("q"), "a")
    assert snapshot.changed_since(mark) == {snapshot.row_of["a"], snapshot.row_of["b"]}
    for _ in range(CHANGES_KEPT):
        snapshot.add_pod(pod("p"), "b")
    assert snapshot.changed_since(mark) is None
    assert snapshot.changed_since(snapshot.changes) == set()


def test_pods_that_are_alike_share_a_shape():
    """Thousands of one template are parsed once and decided alike; whatever decides makes another shape."""
    shape = pod("a", "1", labels={"app": "web"}).shape
    assert pod("b", "1", labels={"app": "web"}).shape is shape
    others = [
        pod("c", "2", labels={"app": "web"}),
        pod("c", "1", labels={"app": "db"}),
        pod("c", "1", labels={"app": "web"}, priority=1),
        pod("c", "1", labels={"app": "web"}, nodeSelector={"zone": "a"}),
        pod("c", "1", labels={"app": "web"}, ports=[{"hostPort": 80, "protocol": "TCP"}]),
        pod("c", "1", labels={"app": "web"}, volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "d"}}]),
    ]
    assert all(other.shape is not shape for other in others)
    token = {"name": "kube-api-access-x7k2p", "projected": {"sources": []}}
    assert pod("d", "1", labels={"app": "web"}, volumes=[token]).shape is shape


def test_a_pod_that_starts_takes_no_other_room():
    """Its time is kept, for preemption, and nothing is asked about the node anew."""
    kept = snapshot_of(node("n1"))
    kept.add_pod(pod("p", "100m"), "n1")
    before, requested = kept.changes, kept.requested.copy()
    kept.pod_started(("default", "p"), "2030-01-01T00:00:00Z")
    started, row = kept.pods["default", "p"]
    assert kept.on_row[row]["default", "p"] is started
    assert started.started_at == "2030-01-01T00:00:00Z"
    assert kept.changes == before
    assert np.array_equal(kept.requested, requested)
    assert kept.remove_pod(("default", "p"))
    assert not kept.requested.any()
