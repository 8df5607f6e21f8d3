"""The columns stay true whatever comes and goes, and a pod's requests are what upstream's rules make them."""

import random

import numpy as np
from tests.unit.scheduler.make import node, pod, snapshot_of

from kaa.api.selectors import parse_label_selector
from kaa.scheduler.derived import PodsThat
from kaa.scheduler.pod_info import requests_of


def test_incremental_columns_equal_fresh_ones():
    """After any history, a snapshot equals one that is built anew from what is there."""
    rng = random.Random(5)
    web = PodsThat(parse_label_selector("app=web"), frozenset({"default"}))
    kept = snapshot_of()
    kept.domains("zone"), kept.count_of(web)
    nodes, pods = {}, {}
    for step in range(3000):
        name = f"n{rng.randrange(40)}"
        match rng.randrange(4):
            case 0:
                taints = [{"key": f"t{rng.randrange(3)}", "effect": "NoSchedule"}] if rng.random() < 0.3 else []
                nodes[name] = node(
                    name, cpu=str(rng.randrange(1, 9)), labels={"zone": rng.choice("abc")}, taints=taints
                )
                kept.set_node(nodes[name])
            case 1:
                nodes.pop(name, None)
                kept.remove_node(name)
            case 2:
                labels = {"app": rng.choice(["web", "db"])}
                port = [{"hostPort": rng.randrange(1, 4), "protocol": "TCP"}] if rng.random() < 0.3 else []
                info = pod(f"p{rng.randrange(100)}", f"{rng.randrange(1000)}m", labels=labels, ports=port)
                pods[info.key] = (info, name)
                kept.add_pod(info, name)
            case _:
                key = ("default", f"p{rng.randrange(100)}")
                assert kept.remove_pod(key) == (pods.pop(key, None) is not None)
        if step % 100 == 0:
            compare(kept, nodes, pods, web)


def compare(kept, nodes, pods, web):
    fresh = snapshot_of(*nodes.values())
    for info, name in pods.values():
        fresh.add_pod(info, name)
    assert kept.row_of.keys() == fresh.row_of.keys()
    for name, row in kept.row_of.items():
        other = fresh.row_of[name]
        assert kept.names[row] == name
        for column in ("present", "allocatable", "requested", "nonzero", "pod_count", "pod_limit"):
            assert np.array_equal(getattr(kept, column)[..., row], getattr(fresh, column)[..., other]), (column, name)
        assert {t for t, rows in kept.taints.items() if rows[row]} == {
            t for t, rows in fresh.taints.items() if rows[other]
        }
        assert kept.count_of(web)[row] == fresh.count_of(web)[other]
        assert same_domain(kept, row) == same_domain(fresh, other)
    assert {p: sum(map(len, rows.values())) for p, rows in kept.ports.items()} == {
        p: sum(map(len, rows.values())) for p, rows in fresh.ports.items()
    }


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
