"""GangScheduling: the pods of a PodGroup with a gang policy get their nodes together, or none of them does.

A pod is not tried before `minCount` pods of its group are there. One that has a node waits (`permit`), and holds its
place, until so many have; the last lets the others go. As soon as too few can still be placed, those that wait are
given up, so that two gangs do not hold each other's places for ever.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kaa.api.objects import Object, namespace_of
from kaa.scheduler.cluster_events import ClusterEvent, Event
from kaa.scheduler.derived import Derived
from kaa.scheduler.framework import Context, Placement, Plugin, Refused
from kaa.scheduler.permits import Waiter
from kaa.scheduler.pod_info import Key, PodInfo
from kaa.scheduler.snapshot import Snapshot, View

NAME = "GangScheduling"
GROUP = "scheduling.k8s.io/v1beta1/PodGroup"
INDEX = "schedulingGroup"
WAIT_SECONDS = 300.0


def group_of(pod: PodInfo) -> Key | None:
    """(namespace, name) of the pod's PodGroup."""
    name = pod.scheduling_group.get("podGroupName")
    return (pod.namespace, name) if name else None


def group_keys(pod: Object) -> Iterable[str]:
    """For the index of pods by group."""
    name = (pod["spec"].get("schedulingGroup") or {}).get("podGroupName")
    return (index_key((namespace_of(pod), name)),) if name else ()


def index_key(group: Key) -> str:
    return "/".join(group)


def min_count(group: Key, view: View) -> int | None:
    """How many must be placed together; None: the group is not there, or is no gang."""
    found = view.get(GROUP, group[1], group[0])
    gang = found["spec"]["schedulingPolicy"].get("gang") if found is not None else None
    return None if gang is None else gang["minCount"]


class Placed(Derived):
    """The pods of each group that have a place, waiting or bound."""

    def __init__(self) -> None:
        self._pods: dict[Key, set[Key]] = {}

    def count(self, group: Key) -> int:
        return len(self._pods.get(group, ()))

    def add_pod(self, pod: PodInfo, row: int) -> None:
        if (group := group_of(pod)) is not None:
            self._pods.setdefault(group, set()).add(pod.key)

    def remove_pod(self, pod: PodInfo, row: int) -> None:
        if (group := group_of(pod)) is not None and (pods := self._pods.get(group)) is not None:
            pods.discard(pod.key)
            if not pods:
                del self._pods[group]


def placed_of(snapshot: Snapshot) -> Placed:
    return snapshot.derived(NAME, lambda size: Placed())


def enqueue(pod: PodInfo, view: View) -> str | None:
    group = group_of(pod)
    if group is None:
        return None
    if view.get(GROUP, group[1], group[0]) is None:
        return f'waiting for pods\'s pod group "{group[1]}" to appear in scheduling queue'
    least = min_count(group, view)
    if least is not None and view.count_by_index("Pod", INDEX, index_key(group)) < least:
        return "waiting for minCount pods from a gang to appear in scheduling queue"
    return None


def waiters(group: Key, context: Context) -> Iterator[Waiter]:
    return (waiter for waiter in context.permits if group_of(waiter.placement.pod) == group)


class Gangs:
    """`missed` are the pods of each gang that found no node when they were last tried."""

    def __init__(self) -> None:
        self._missed: dict[Key, set[Key]] = {}

    def permit(self, placement: Placement) -> float | None:
        group, view = group_of(placement.pod), placement.context.view
        least = min_count(group, view) if group is not None else None
        if group is None or least is None:
            return None
        self._missed.get(group, set()).discard(placement.pod.key)
        if placed_of(placement.snapshot).count(group) >= least:
            self._missed.pop(group, None)
            for waiter in waiters(group, placement.context):
                waiter.allow(NAME)
            return None
        if self._left(group, view) < least:
            raise Refused(f"minCount ({least}) cannot be satisfied")
        return WAIT_SECONDS

    def unplaced(self, pod: PodInfo, context: Context) -> None:
        group = group_of(pod)
        least = min_count(group, context.view) if group is not None else None
        if group is None or least is None:
            return
        self._missed.setdefault(group, set()).add(pod.key)
        left = self._left(group, context.view)
        if left >= least:
            return
        waiting = list(waiters(group, context))
        for waiter in waiting:
            remaining = f"{len(waiting)} scheduled, {max(0, left - len(waiting))} remaining"
            waiter.refuse(NAME, f"minCount ({least}) cannot be satisfied: {remaining}")

    def _left(self, group: Key, view: View) -> int:
        """How many of the group's pods have a node, or may find one. Those that are gone are forgotten."""
        missed = self._missed.get(group, set())
        missed -= {key for key in missed if view.get("Pod", key[1], key[0]) is None}
        if not missed:
            self._missed.pop(group, None)
        return view.count_by_index("Pod", INDEX, index_key(group)) - len(missed)

    def is_found(self, pod: PodInfo, event: Event) -> bool:
        """One that was missed has a node now: the others may try again."""
        other = event.pod
        return other is not None and is_of_its_group(pod, event) and other.key in self._missed.get(_key(pod), ())


def _key(pod: PodInfo) -> Key:
    return pod.namespace, pod.scheduling_group.get("podGroupName", "")


def is_of_its_group(pod: PodInfo, event: Event) -> bool:
    return event.pod is not None and group_of(event.pod) is not None and group_of(event.pod) == group_of(pod)


def is_its_group(pod: PodInfo, event: Event) -> bool:
    found = event.new
    return found is not None and (namespace_of(found), found["metadata"]["name"]) == group_of(pod)


def make(args: Mapping[str, Any]) -> Plugin:
    gangs = Gangs()
    return Plugin(
        name=NAME,
        enqueue=enqueue,
        permit=gangs.permit,
        unplaced=gangs.unplaced,
        optional=(GROUP,),
        indexes={("Pod", INDEX): group_keys},
        helped_by={
            ClusterEvent.POD_WAITING: is_of_its_group,
            ClusterEvent.POD_BOUND: gangs.is_found,
            GROUP: is_its_group,
        },
    )
