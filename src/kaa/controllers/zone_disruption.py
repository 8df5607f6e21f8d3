"""How fast the pods of nodes that are not ready may be driven away: zone by zone, and not at all if nothing is ready.

When many nodes fall silent at once it is more likely the network than the nodes, and moving all of their pods would
make it worse. So each zone has a rate at which its nodes may be given the taint that evicts:

    zone                                            a node every
    most nodes are ready, or none is                10 s
    more than half are not (and more than two)      100 s; never, if it has 50 nodes or fewer
    no node of any zone is ready                    never, and taints that evict are taken off again

Every node that waits has its turn reserved, so a thousand of them need not ask again and again whose turn it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kaa.api.objects import Object, labels_of, name_of

SECONDS_PER_NODE = 10.0
SLOW_SECONDS_PER_NODE = 100.0
UNHEALTHY_FRACTION = 0.55
LARGE_ZONE = 50
"""As upstream's --node-eviction-rate, --secondary-node-eviction-rate, --unhealthy-zone-threshold and
--large-cluster-size-threshold."""

FEW_UNREADY = 2
"""So many nodes that are not ready are no disruption of a zone, however few it has."""

NOT_COUNTED = "node.kubernetes.io/exclude-disruption"
ZONE_LABELS = ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone")
REGION_LABELS = ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region")


def zone_of(node: Object) -> tuple[str, str]:
    """(region, zone)"""
    labels = labels_of(node)
    region, zone = (next((labels[key] for key in keys if key in labels), "") for keys in (REGION_LABELS, ZONE_LABELS))
    return region, zone


@dataclass(slots=True)
class Zone:
    """The nodes of one zone: whether each is ready, and when those that wait have their turns."""

    ready: dict[str, bool] = field(default_factory=dict)
    pace: float | None = SECONDS_PER_NODE  # None: nobody's turn comes
    turns: dict[str, datetime] = field(default_factory=dict)
    last_turn: datetime | None = None

    @property
    def is_down(self) -> bool:
        return not any(self.ready.values())

    def seconds_per_node(self) -> float | None:
        unready = len(self.ready) - sum(self.ready.values())
        if self.is_down or unready <= FEW_UNREADY or unready / len(self.ready) < UNHEALTHY_FRACTION:
            return SECONDS_PER_NODE
        return SLOW_SECONDS_PER_NODE if len(self.ready) > LARGE_ZONE else None

    def turn(self, name: str, now: datetime) -> datetime | None:
        """When the node's turn is: kept until `Zones.settle`, unless the pace changes."""
        if (pace := self.seconds_per_node()) != self.pace:
            self.pace, self.last_turn = pace, None
            self.turns.clear()
        if pace is None:
            return None
        if name not in self.turns:
            earliest = now if self.last_turn is None else self.last_turn + timedelta(seconds=pace)
            self.last_turn = self.turns[name] = max(now, earliest)
        return self.turns[name]


class Zones:
    """All nodes, as their reconciles have last seen them."""

    def __init__(self) -> None:
        self._zones: dict[tuple[str, str], Zone] = {}
        self._zone_of: dict[str, tuple[str, str]] = {}

    def note(self, node: Object, *, ready: bool) -> None:
        name, zone = name_of(node), zone_of(node)
        if self._zone_of.get(name, zone) != zone or NOT_COUNTED in labels_of(node):
            self.forget(name)
        if NOT_COUNTED not in labels_of(node):
            self._zone_of[name] = zone
            self._zones.setdefault(zone, Zone()).ready[name] = ready

    @property
    def is_empty(self) -> bool:
        return not self._zones

    def note_all(self, nodes: Iterable[tuple[Object, bool]]) -> None:
        for node, ready in nodes:
            self.note(node, ready=ready)

    def forget(self, name: str) -> None:
        """The node is gone."""
        key = self._zone_of.pop(name, None)
        if key is not None:
            zone = self._zones[key]
            zone.ready.pop(name, None)
            zone.turns.pop(name, None)
            if not zone.ready:
                del self._zones[key]

    def settle(self, node: Object) -> None:
        """The node waits for nothing: it is ready, or has its taint."""
        if (zone := self._zones.get(zone_of(node))) is not None:
            zone.turns.pop(name_of(node), None)

    @property
    def all_down(self) -> bool:
        return all(zone.is_down for zone in self._zones.values())

    def turn(self, node: Object, now: datetime) -> datetime | None:
        """When the node may be given a taint that evicts; None: not as things are."""
        if self.all_down:
            return None
        return self._zones.setdefault(zone_of(node), Zone()).turn(name_of(node), now)
