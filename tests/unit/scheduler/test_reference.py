"""The same decisions as the plain reference, on clusters made by chance: each plugin alone, and all together."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.unit.scheduler import reference
from tests.unit.scheduler.reference.cluster import Cluster, Pod, labels
from tests.unit.scheduler.reference.generate import make_cluster

from kaa.scheduler.decision import Trace, explain, filtered
from kaa.scheduler.plugins import FACTORIES, PLUGINS
from kaa.scheduler.pod_info import pod_info
from kaa.scheduler.snapshot import Snapshot

SEEDS = range(300)


class Objects:
    """The cluster's other objects, as the informers' view would have them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        return self._cluster.find(kind, name, namespace)

    def list(self, kind: str, namespace: str | None = None) -> list[dict[str, Any]]:
        return list(self._cluster.all_of(kind))


def snapshot_of(cluster: Cluster) -> Snapshot:
    snapshot = Snapshot(Objects(cluster))
    snapshot.namespace_labels.update(cluster.namespaces)
    for node in cluster.nodes:
        snapshot.set_node(node)
    for pod in cluster.pods:
        snapshot.add_pod(pod_info(pod), pod["spec"]["nodeName"])
    return snapshot


def cases(seed: int) -> Iterator[tuple[Cluster, Snapshot, Pod]]:
    cluster, pods = make_cluster(seed)
    snapshot = snapshot_of(cluster)
    for pod in pods:
        yield cluster, snapshot, pod


def names(snapshot: Snapshot, rows: np.ndarray) -> set[str]:
    return {snapshot.names[row] for row in np.flatnonzero(rows)}


def by_node(trace: Trace) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for refusal in trace.refusals:
        for row in np.flatnonzero(refusal.rows):
            found.setdefault(trace.names[row], []).append(refusal.reason)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_each_plugin_alone_rejects_the_same_nodes_for_the_same_reasons(seed: int) -> None:
    """A wrong reason would mislead people, and preemption."""
    for cluster, snapshot, pod in cases(seed):
        for plugin in reference.ALL_FILTERS:
            if reference.is_hopeless(pod, cluster):
                continue  # upstream asks no filter then; the next test does
            row = FACTORIES[plugin]({})
            rejected: dict[str, set[str]] = {}
            for rejection in row.reject(pod_info(pod), snapshot):  # type: ignore[misc]
                for name in names(snapshot, rejection.rows & snapshot.present):
                    rejected.setdefault(name, set()).add(rejection.reason)
            expected = {name: set(texts) for name, texts in reference.reasons(plugin, pod, cluster).items()}
            assert rejected == expected, (plugin, pod["metadata"]["name"])


@pytest.mark.parametrize("seed", SEEDS)
def test_each_plugin_alone_gives_the_same_scores(seed: int) -> None:
    """To the last digit: scores are whole numbers, and ties are decided by chance."""
    for cluster, snapshot, pod in cases(seed):
        if reference.is_hopeless(pod, cluster):
            continue
        for nodes in (cluster.nodes, reference.feasible(pod, cluster)):
            if not nodes:
                continue
            rows = snapshot.none()
            rows[[snapshot.row_of[node["metadata"]["name"]] for node in nodes]] = True
            for plugin in reference.SCORES:
                if plugin == "VolumeBinding" and reference.ignores_volumes(pod, nodes, cluster):
                    continue  # nodes that it rejects have no score
                assert scores_of(plugin, pod, snapshot, rows) == reference.scores(plugin, pod, nodes, cluster), plugin


def scores_of(plugin: str, pod: Pod, snapshot: Snapshot, rows: np.ndarray) -> dict[str, float]:
    row = FACTORIES[plugin]({})
    scores = row.score(pod_info(pod), snapshot, rows)  # type: ignore[misc]
    return {name: 0 if scores is None else float(scores[snapshot.row_of[name]]) for name in names(snapshot, rows)}


@pytest.mark.parametrize("seed", SEEDS)
def test_all_together_leave_the_same_nodes_and_say_the_same(seed: int) -> None:
    """The sentence that people read counts every node once, for the first plugin that rejects it."""
    for cluster, snapshot, pod in cases(seed):
        trace = filtered(pod_info(pod), snapshot, PLUGINS)
        assert names(snapshot, trace.feasible) == {n["metadata"]["name"] for n in reference.feasible(pod, cluster)}
        if not trace.feasible.any():
            assert explain(trace) == reference.sentence(pod, cluster)


def test_weights_are_the_documented_ones() -> None:
    """The scores of one pod are weighed against each other."""
    assert {plugin.name: plugin.weight for plugin in PLUGINS if plugin.score is not None} == reference.WEIGHTS


def test_the_clusters_are_worth_it() -> None:
    """Every plugin rejects some node and not others, and tells some nodes apart by score; or it would not be tested."""
    rejecting, scoring = set(), set()
    for seed in SEEDS:
        for cluster, _, pod in cases(seed):
            for plugin in reference.ALL_FILTERS:
                if 0 < len(reference.reasons(plugin, pod, cluster)) < len(cluster.nodes):
                    rejecting.add(plugin)
            for plugin in reference.SCORES:
                if len(set(reference.scores(plugin, pod, cluster.nodes, cluster).values())) > 1:
                    scoring.add(plugin)
            assert all(labels(node) is not None for node in cluster.nodes)
        if len(rejecting) == len(reference.ALL_FILTERS) - 1 and len(scoring) == len(reference.SCORES):
            break
    assert reference.ALL_FILTERS.keys() - rejecting == {"NodeName"}  # a waiting pod names no node
    assert scoring == reference.SCORES.keys()
