"""Which nodes a DaemonSet's pods are for, without looking at every node at every change of a pod.

Of each node the few facts that count are kept (labels and taints), and for each set what followed from them. A change
of a node is noted as it comes in, and only that node is judged anew. Both are forgotten with the process; the first
set that is looked at fills the table from the cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kaa.api.objects import Object, labels_of, name_of
from kaa.controllers.controller import Key, View, key_of
from kaa.controllers.node_matching import is_wanted, untolerated

TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
"""Taints that every daemon pod tolerates: daemons are part of what a node needs to become well."""
TOLERATED_ON_HOST_NETWORK = (("node.kubernetes.io/network-unavailable", "NoSchedule"),)


@dataclass(frozen=True, slots=True)
class Placement:
    """Whether a pod is to be made on the node, and whether one that is there may stay."""

    runs: bool
    stays: bool


EVERYWHERE = Placement(runs=True, stays=True)
WHERE_IT_IS = Placement(runs=False, stays=True)
NOWHERE = Placement(runs=False, stays=False)

Placements = Mapping[str, Placement]
"""By the node's name."""


def placement_of(daemon_set: Object, node: Object) -> Placement:
    spec = daemon_set["spec"]["template"]["spec"]
    if spec.get("nodeName") not in (None, "", name_of(node)) or not is_wanted(spec, node):
        return NOWHERE
    tolerations = tolerations_of(spec)
    if not untolerated(tolerations, node, ("NoSchedule", "NoExecute")):
        return EVERYWHERE
    return NOWHERE if untolerated(tolerations, node, ("NoExecute",)) else WHERE_IT_IS


def tolerations_of(spec: Object) -> list[Object]:
    given: list[Object] = list(spec.get("tolerations") or ())
    always = TOLERATED + (TOLERATED_ON_HOST_NETWORK if spec.get("hostNetwork") else ())
    added = ({"key": key, "operator": "Exists", "effect": effect} for key, effect in always)
    return [*given, *(toleration for toleration in added if toleration not in given)]


def facts_of(node: Object) -> Object:
    """The node as far as a placement depends on it."""
    metadata = {"name": name_of(node), "labels": labels_of(node)}
    return {"metadata": metadata, "spec": {"taints": node["spec"].get("taints") or []}}


@dataclass(slots=True)
class Judged:
    """Of one set, at one generation: every node, but for those that have changed since."""

    generation: int
    placements: dict[str, Placement] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)


class KnownNodes:
    def __init__(self) -> None:
        self._facts: dict[str, Object] | None = None
        self._judged: dict[Key, Judged] = {}

    def note(self, old: Object | None, new: Object | None) -> bool:
        """A node has changed: whether that can make a difference. Heartbeats, which are many, cannot."""
        facts = facts_of(new) if new is not None else None
        if old is not None and facts_of(old) == facts:
            return False
        name = name_of(new or old or {"metadata": {}})
        if self._facts is not None:
            if facts is None:
                self._facts.pop(name, None)
            else:
                self._facts[name] = facts
        for judged in self._judged.values():
            judged.changed.add(name)
        return True

    def forget(self, key: Key) -> None:
        """The set is gone."""
        self._judged.pop(key, None)

    def placements(self, daemon_set: Object, view: View) -> Placements:
        if self._facts is None:
            self._facts = {name_of(node): facts_of(node) for node in view.list("Node")}
        generation = daemon_set["metadata"].get("generation", 0)
        judged = self._judged.get(key_of(daemon_set))
        if judged is None or judged.generation != generation:
            judged = self._judged[key_of(daemon_set)] = Judged(generation, changed=set(self._facts))
        for name in judged.changed:
            node = self._facts.get(name)
            if node is None:
                judged.placements.pop(name, None)
            else:
                judged.placements[name] = placement_of(daemon_set, node)
        judged.changed.clear()
        return judged.placements
