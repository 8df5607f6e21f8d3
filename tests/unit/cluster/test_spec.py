"""What a cluster is on this machine: names, addresses, ports that don't collide."""

import ipaddress
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaa.cluster import spec
from kaa.cluster.requirements import PACKAGES, check, missing_packages
from kaa.cluster.spec import MAX_CLUSTERS, ClusterError, ClusterSpec


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAA_HOME", str(tmp_path))


def test_a_second_cluster_takes_nothing_of_the_first() -> None:
    """Index, port, links and ranges are each cluster's own; the first one's survive in its file."""
    mirrors = {"registry.example.com": "http://127.0.0.1:5000"}
    first = spec.create("one", api_port=None, node_count=1, isolated=True, registry_mirrors=mirrors)
    second = spec.create("two", api_port=None, node_count=2, isolated=False)
    assert spec.load("one") == first
    assert first.index != second.index
    assert first.api_port != second.api_port
    assert first.bridge != second.bridge
    assert [node.name for node in second.nodes] == ["two-node-1", "two-node-2"]


@given(st.sets(st.integers(0, MAX_CLUSTERS - 1), min_size=2, max_size=2))
def test_no_two_clusters_ranges_overlap(indexes: set[int]) -> None:
    """Pods, services and nodes of two clusters share the host's routing table."""
    ranges = [
        ipaddress.ip_network(text)
        for index in indexes
        for s in [ClusterSpec("x", index, 6443)]
        for text in (s.pod_cidr, s.service_cidr, s.network)
    ]
    assert not any(a.overlaps(b) for i, a in enumerate(ranges) for b in ranges[i + 1 :])


@pytest.mark.parametrize("name", ["Dev", "a_b", "-a", "", "../x", "a" * 41])
def test_bad_names_are_refused(name: str) -> None:
    """The name becomes a path, a cgroup and a host name."""
    with pytest.raises(ClusterError, match="is not a cluster name"):
        spec.create(name, api_port=None, node_count=1, isolated=True)


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    """And nothing is left of the cluster that could not be made."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=f"port {port} on 127.0.0.1 is in use.*--api-port"):
            spec.create("one", api_port=port, node_count=1, isolated=True)
    assert spec.load_all() == []


def test_an_unknown_cluster_is_answered_with_those_there_are() -> None:
    """The usual mistake is a forgotten --name."""
    spec.create("one", api_port=None, node_count=1, isolated=True)
    with pytest.raises(ClusterError, match=r'no cluster "dev" \(clusters here: one\)'):
        spec.load("dev")


def test_missing_programs_are_named_by_their_packages() -> None:
    """A person installs packages, not programs."""
    assert missing_packages(lambda program: None) == list(PACKAGES.values())
    assert missing_packages(lambda program: f"/usr/bin/{program}") == []
    with pytest.raises(ClusterError, match="missing system packages: runc; install them with: apt-get install -y runc"):
        check(0, ["runc"])
    with pytest.raises(ClusterError, match="needs root"):
        check(1000, [])


def test_simulated_nodes() -> None:
    """Few have a kubelet each, many are light; thousands have a pod range that real nodes cannot have."""
    few = spec.create("few", api_port=None, node_count=1, isolated=True, simulated_nodes=3)
    assert few.simulated_kubelets
    assert few.node_names == ("few-node-1", "few-simulated-1", "few-simulated-2", "few-simulated-3")
    assert few.pod_cidr.endswith(".0.0/16")
    many = spec.create("many", api_port=None, node_count=0, isolated=True, simulated_nodes=5000)
    assert not many.simulated_kubelets
    assert many.pod_cidr == "100.64.0.0/10"
    assert spec.load("many") == many
    for nodes, simulated, kubelets, hint in (
        (0, 0, None, "at least one"),
        (1, 5000, None, "--nodes 0"),
        (0, 5000, True, "light"),
        (0, 50_000, None, "up to 10000"),
    ):
        with pytest.raises(spec.ClusterError, match=hint):
            spec.create(
                "bad",
                api_port=None,
                node_count=nodes,
                isolated=True,
                simulated_nodes=simulated,
                simulated_kubelets=kubelets,
            )
