"""Topology spread constraints for pods that have none: a configuration's, or the system's.

They spread the pods of one service or workload, so what they select is read from there: all Services that select the
pod, and its ReplicaSet, StatefulSet or ReplicationController. A pod of none of these is not spread.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kaa.api.objects import Object, name_of, namespace_of
from kaa.api.selectors import EVERYTHING, Requirement, Selector, selector_of
from kaa.scheduler.derived import Derived
from kaa.scheduler.pod_info import PodInfo, SpreadConstraint
from kaa.scheduler.snapshot import Snapshot, View

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
SERVICE = "Service"

SYSTEM = (
    SpreadConstraint(HOSTNAME, max_skew=3, hard=False, selector=EVERYTHING),
    SpreadConstraint(ZONE, max_skew=5, hard=False, selector=EVERYTHING),
)
"""Their selectors are those of each pod's owners."""

OWNERS = {
    ("v1", "ReplicationController"): "ReplicationController",
    ("apps/v1", "ReplicaSet"): "ReplicaSet",
    ("apps/v1", "StatefulSet"): "StatefulSet",
}
"""The kinds of workloads that are looked at, as the view names them."""

READS = (SERVICE, *OWNERS.values())


def constraints_of(args: Mapping[str, Any]) -> Sequence[SpreadConstraint]:
    """PodTopologySpreadArgs."""
    if args.get("defaultingType", "System") == "System":
        return SYSTEM
    return [
        SpreadConstraint(
            constraint["topologyKey"],
            constraint["maxSkew"],
            hard=constraint["whenUnsatisfiable"] == "DoNotSchedule",
            selector=EVERYTHING,
            min_domains=constraint.get("minDomains") or 1,
            honour_affinity=constraint.get("nodeAffinityPolicy", "Honor") == "Honor",
            honour_taints=constraint.get("nodeTaintsPolicy", "Ignore") == "Honor",
        )
        for constraint in args.get("defaultConstraints") or ()
    ]


def for_pod(constraints: Sequence[SpreadConstraint], pod: PodInfo, snapshot: Snapshot) -> list[SpreadConstraint]:
    if not constraints:
        return []
    selector = selector_of_owners(pod, snapshot)
    return [] if selector.matches_everything else [replace(c, selector=selector) for c in constraints]


def selector_of_owners(pod: PodInfo, snapshot: Snapshot) -> Selector:
    labels: dict[str, str] = {}
    for selector in services_of(snapshot).selecting(pod):
        labels |= selector
    more: tuple[Requirement, ...] = ()
    if (workload := workload_of(pod, snapshot.view)) is not None:
        selector = workload["spec"].get("selector")
        if workload["kind"] == "ReplicationController":
            labels |= selector or {}
        else:
            more = selector_of(selector).requirements or ()
    return Selector((*(Requirement(key, "=", (value,)) for key, value in sorted(labels.items())), *more))


def workload_of(pod: PodInfo, view: View) -> Object | None:
    owner = pod.owner
    kind = OWNERS.get((owner.api_version, owner.kind)) if owner is not None else None
    return view.get(kind, owner.name, pod.namespace) if owner is not None and kind is not None else None


class Services(Derived):
    """The selectors of all Services that have one, by namespace."""

    def __init__(self, view: View) -> None:
        self._selectors: dict[str, dict[str, Mapping[str, str]]] = {}
        for service in view.list(SERVICE):
            self._put(service)

    def selecting(self, pod: PodInfo) -> Iterator[Mapping[str, str]]:
        for selector in self._selectors.get(pod.namespace, {}).values():
            if selector.items() <= pod.labels.items():
                yield selector

    def object_changed(self, kind: str, old: Object | None, new: Object | None) -> None:
        if kind == SERVICE:
            if old is not None:
                self._selectors.get(namespace_of(old), {}).pop(name_of(old), None)
            if new is not None:
                self._put(new)

    def _put(self, service: Object) -> None:
        if selector := service["spec"].get("selector"):
            self._selectors.setdefault(namespace_of(service), {})[name_of(service)] = selector


def services_of(snapshot: Snapshot) -> Services:
    return snapshot.derived(SERVICE, lambda size: Services(snapshot.view))
