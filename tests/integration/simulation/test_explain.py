"""`Cluster.explain`: what `kaa explain` says, of the cluster that one has imported."""

from kaa import Cluster


def pod(name: str, cpu: str) -> dict[str, object]:
    container = {"name": "main", "image": "example/app:1", "resources": {"requests": {"cpu": cpu}}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}}


def test_a_placed_pod_and_one_that_fits_nowhere() -> None:
    """From the decisions that the running scheduler made; a restarted one knows only its own."""
    with Cluster(nodes=2, clock="virtual") as c:
        c.apply(pod("small", "1"))
        c.apply(pod("huge", "1000"))
        c.run_for(5)
        small, huge = c.explain("small"), c.explain("huge")
        assert small["node"] == c.get("pod", "small")["spec"]["nodeName"]
        assert [node["feasible"] for node in small["nodes"]] == [True, True]
        assert huge["message"].startswith("0/2 nodes are available: 2 Insufficient cpu.")
        assert "chosen" in str(small)
        assert "NodeResourcesFit: Insufficient cpu" in str(huge)
