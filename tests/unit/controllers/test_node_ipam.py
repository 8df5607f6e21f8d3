"""Ranges for nodes that come at the same time, and for nodes that come and go."""

from datetime import UTC, datetime
from typing import Any

from kaa.controllers import node_ipam

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Nodes:
    """A View of nodes, indexed by range."""

    def __init__(self) -> None:
        self.ranges: dict[str, str] = {}  # by node

    def get(self, kind: str, name: str, namespace: str = "") -> Any:
        raise AssertionError("nobody asks for single nodes")

    def list(self, kind: str, namespace: str | None = None, selector: Any = None) -> Any:
        raise AssertionError("nobody looks at all nodes")

    def owned(self, owner: Any, kind: str) -> Any:
        raise AssertionError("nobody owns nodes")

    def by_index(self, kind: str, index: str, key: str) -> Any:
        assert (kind, index) == ("Node", node_ipam.POD_CIDR)
        return [{"metadata": {"name": name}} for name, cidr in self.ranges.items() if cidr == key]


def node(name: str, cidr: str = "") -> dict[str, Any]:
    spec = {"podCIDR": cidr} if cidr else {}
    return {"metadata": {"name": name, "resourceVersion": "1"}, "spec": spec}


def test_ranges_under_way_are_not_given_twice() -> None:
    """Several workers choose before any write is seen; a node that is tried again gets the one it was promised."""
    view, row = Nodes(), node_ipam.controller("10.0.0.0/22")

    def chosen(name: str) -> str:
        return str(next(row.reconcile(node(name), view, NOW)).patch["spec"]["podCIDR"])

    assert [chosen(name) for name in ("a", "b", "a", "c")] == [f"10.0.{n}.0/24" for n in (0, 1, 0, 2)]
    view.ranges = {"a": "10.0.0.0/24", "b": "10.0.1.0/24"}
    for name, cidr in view.ranges.items():
        assert list(row.reconcile(node(name, cidr), view, NOW)) == []
    assert chosen("d") == "10.0.3.0/24"
    (event,) = row.reconcile(node("e"), view, NOW)
    assert event.reason == "CIDRNotAvailable"


def test_a_range_is_free_again_when_its_node_goes() -> None:
    """Also one that lies below those known to be taken."""
    view, row = Nodes(), node_ipam.controller("10.0.0.0/23")
    view.ranges = {"a": "10.0.0.0/24", "b": "10.0.1.0/24"}
    (event,) = row.reconcile(node("c"), view, NOW)
    assert event.reason == "CIDRNotAvailable"
    del view.ranges["a"]
    assert row.gone is not None
    assert list(row.gone(("", "a"), view, NOW)) == []
    assert next(row.reconcile(node("c"), view, NOW)).patch["spec"]["podCIDR"] == "10.0.0.0/24"
