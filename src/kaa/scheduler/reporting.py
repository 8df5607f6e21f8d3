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


def reference(pod: PodInfo) -> Object:
    """What an event says of the pod that it is about."""
    metadata = {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
