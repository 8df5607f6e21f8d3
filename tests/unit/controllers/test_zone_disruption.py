"""How fast nodes are given up when many are not ready."""

from datetime import UTC, datetime, timedelta
from typing import Any

from kaa.controllers.zone_disruption import Zones

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def node(number: int, zone: str = "") -> dict[str, Any]:
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    return {"metadata": {"name": f"n{number}", "labels": labels}}


def zones(ready: int, unready: int) -> Zones:
    made = Zones()
    made.note_all((node(i), i < ready) for i in range(ready + unready))
    return made


def waits(made: Zones, first: int, count: int) -> list[float | None]:
    turns = [made.turn(node(i), NOW) for i in range(first, first + count)]
    return [None if turn is None else (turn - NOW).total_seconds() for turn in turns]


def test_one_node_every_ten_seconds() -> None:
    """A zone that is mostly well gives up its nodes one after the other."""
    made = zones(ready=10, unready=3)
    assert waits(made, 10, 3) == [0, 10, 20]
    assert waits(made, 10, 3) == [0, 10, 20], "a turn stays reserved: who asks again does not go to the end"


def test_two_nodes_are_no_disruption() -> None:
    """Else no pod would ever leave a node of a cluster of three."""
    assert waits(zones(ready=1, unready=2), 1, 2) == [0, 10]


def test_a_small_zone_that_is_mostly_down_stands_still() -> None:
    """55 of 100, of at most fifty nodes."""
    assert waits(zones(ready=22, unready=28), 22, 2) == [None, None]
    assert waits(zones(ready=23, unready=27), 23, 2) == [0, 10]


def test_a_large_zone_that_is_mostly_down_goes_slowly() -> None:
    """One node in 100 seconds."""
    assert waits(zones(ready=10, unready=50), 10, 3) == [0, 100, 200]


def test_nothing_happens_when_nothing_is_ready() -> None:
    """It is the control plane that has lost its network, not every node."""
    made = zones(ready=0, unready=3)
    assert waits(made, 0, 3) == [None, None, None]
    made.note(node(2), ready=True)
    assert waits(made, 0, 2) == [0, 10]


def test_one_zone_of_two_may_be_down() -> None:
    """Its pods go where there are nodes, at the usual rate."""
    made = Zones()
    made.note_all([(node(0, "a"), True), *((node(i, "b"), False) for i in range(1, 5))])
    assert not made.all_down
    turn = made.turn(node(1, "b"), NOW)
    assert turn == NOW
    assert made.turn(node(2, "b"), NOW) == NOW + timedelta(seconds=10)


def test_excluded_and_deleted_nodes_do_not_count() -> None:
    """A label keeps a node out of it all."""
    made = zones(ready=1, unready=3)
    assert made.turn(node(1), NOW) is None
    excluded = node(2)
    excluded["metadata"]["labels"]["node.kubernetes.io/exclude-disruption"] = ""
    made.note(excluded, ready=False)
    made.forget("n3")
    assert made.turn(node(1), NOW) == NOW
