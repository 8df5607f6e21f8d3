"""Taint eviction: a pod leaves a node whose NoExecute taints it does not tolerate, or not for ever.

Observed: a bound pod, and its node's NoExecute taints. A taint that no toleration of the pod's matches ends it at once;
otherwise the shortest `tolerationSeconds` among those that match counts, from the time that the latest of these taints
was added. Finished pods are left alone. When what a pod was to go for is over before it went, an event says so.
"""

from datetime import datetime, timedelta

from kaa.api.objects import Object, is_being_deleted, name_of, namespace_of
from kaa.controllers.actions import Delete, Patch, RecordEvent, RequeueAfter
from kaa.controllers.controller import (
    Actions,
    Controller,
    Key,
    View,
    Watch,
    differs,
    key_of,
    pods_by_node,
    pods_on_node,
)
from kaa.controllers.node_matching import tolerates
from kaa.controllers.pods import is_terminal, node_name_of
from kaa.lib.clock import parse_rfc3339, rfc3339

GONE_ON_THE_WAY = frozenset({"NotFound", "Conflict"})


def controller() -> Controller:
    waiting: dict[Key, None] = {}  # pods that are to go, but not yet

    def reconcile(pod: Object, view: View, now: datetime) -> Actions:
        waited = key_of(pod) in waiting
        waiting.pop(key_of(pod), None)
        node = view.get("Node", pod["spec"].get("nodeName", ""))
        if node is None or is_terminal(pod) or is_being_deleted(pod):
            return
        due = eviction_time(pod, no_execute_taints(node), now)
        if due is None:
            if waited:
                yield tell(pod, "Cancelling deletion of")
        elif due > now:
            waiting[key_of(pod)] = None
            yield RequeueAfter((due - now).total_seconds())
        else:
            yield tell(pod, "Marking for deletion")
            yield Patch(pod, disruption(pod, now), "merge", "status", GONE_ON_THE_WAY)
            yield Delete(pod)

    def gone(key: Key, view: View, now: datetime) -> Actions:
        waiting.pop(key, None)
        yield from ()

    return Controller(
        name="taint-eviction",
        kind="Pod",
        when=differs(node_name_of, tolerations_of),
        watches=(Watch("Node", pods_on_node, when=taints_changed),),
        indexes=(pods_by_node(),),
        reconcile=reconcile,
        gone=gone,
    )


def tell(pod: Object, what: str) -> RecordEvent:
    return RecordEvent(pod, "Normal", "TaintManagerEviction", f"{what} Pod {namespace_of(pod)}/{name_of(pod)}")


def no_execute_taints(node: Object) -> list[Object]:
    return [taint for taint in node["spec"].get("taints") or () if taint["effect"] == "NoExecute"]


def eviction_time(pod: Object, taints: list[Object], now: datetime) -> datetime | None:
    """None: the pod may stay for ever."""
    if not taints:
        return None
    limits: list[int] = []
    for taint in taints:
        matching = [t for t in pod["spec"].get("tolerations") or () if tolerates(t, taint)]
        if not matching:
            return now
        limits += [t["tolerationSeconds"] for t in matching if t.get("tolerationSeconds") is not None]
    if not limits:
        return None
    added = max((parse_rfc3339(taint["timeAdded"]) for taint in taints if taint.get("timeAdded")), default=now)
    return added + timedelta(seconds=max(0, min(limits)))


def disruption(pod: Object, now: datetime) -> Object:
    """A merge patch of the status that says why the pod ends: a Job tells such an end from the pod's own failure."""
    target = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
        "lastTransitionTime": rfc3339(now),
    }
    conditions = [c for c in pod.get("status", {}).get("conditions") or () if c["type"] != "DisruptionTarget"]
    return {
        "metadata": {"resourceVersion": pod["metadata"]["resourceVersion"]},
        "status": {"conditions": [*conditions, target]},
    }


def tolerations_of(pod: Object) -> object:
    return pod["spec"].get("tolerations")


def taints_changed(old: Object | None, new: Object | None) -> bool:
    if new is None:
        return False
    return no_execute_taints(new) != (no_execute_taints(old) if old is not None else [])
