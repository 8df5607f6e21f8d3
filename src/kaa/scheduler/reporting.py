"""What people are told of a pod that got no node: its PodScheduled condition and an event."""

from kaa.api.objects import Object, condition
from kaa.scheduler.pod_info import PodInfo

UNSCHEDULABLE = "Unschedulable"
SCHEDULER_ERROR = "SchedulerError"
"""Reasons of the condition: no node will do, or something did not work."""


def unscheduled_condition(pod: Object, reason: str, message: str, now: str) -> Object | None:
    """The PodScheduled condition to write; None if the pod says so already."""
    known = condition(pod.get("status", {}).get("conditions"), "PodScheduled") or {}
    fresh = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    if fresh.items() <= known.items():
        return None
    moment = known.get("lastTransitionTime") if known.get("status") == "False" else None
    return {**fresh, "lastTransitionTime": moment or now}


def unscheduled_status(pod: Object, reason: str, message: str, nominated: str | None, now: str) -> Object:
    """What of the pod's status is to be patched; `nominated` is the node, "" for none any more, None for no change."""
    status: Object = {}
    if (fresh := unscheduled_condition(pod, reason, message, now)) is not None:
        status["conditions"] = [fresh]
    if nominated is not None and nominated != (pod.get("status", {}).get("nominatedNodeName") or ""):
        status["nominatedNodeName"] = nominated or None
    return status


def reference(pod: PodInfo) -> Object:
    """What an event says of the pod that it is about."""
    metadata = {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
