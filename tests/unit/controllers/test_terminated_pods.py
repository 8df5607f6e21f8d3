"""Which pods that have ended go when there are too many."""

from typing import Any

from tests.scenarios.world import whole

from kaa.controllers.terminated_pods import surplus


def pod(name: str, created: str, reason: str = "") -> dict[str, Any]:
    metadata = {"name": name, "creationTimestamp": f"2030-01-01T00:00:{created}Z"}
    return whole({"kind": "Pod", "metadata": metadata, "status": {"phase": "Failed", "reason": reason}})


def test_evicted_ones_go_first_then_the_oldest() -> None:
    """Evicted pods come in masses and tell little; others are somebody's results."""
    pods = [pod("new", "30"), pod("old", "10"), pod("evicted", "40", "Evicted"), pod("middle", "20")]
    assert [p["metadata"]["name"] for p in surplus(pods, 1)] == ["evicted", "old", "middle"]
    assert surplus(pods, 4) == []
