"""Pods: their first status, their quality of service, and how long they take to end."""

from kaa.api.objects import Object
from kaa.api.quantity import parse_quantity

COMPUTE = ("cpu", "memory")
"""The resources that decide about the quality of service."""

ENDED = ("Succeeded", "Failed")


def compute_amounts(resources: Object | None, field: str) -> dict[str, int]:
    """The amounts above zero of `limits` or `requests`, in nano units."""
    amounts = (resources or {}).get(field) or {}
    parsed = {name: parse_quantity(amounts[name]).nanos for name in COMPUTE if name in amounts}
    return {name: nanos for name, nanos in parsed.items() if nanos > 0}


def qos_class(spec: Object) -> str:
    """Guaranteed: every container limits CPU and memory and requests just that. BestEffort: nothing is said at all."""
    containers = (spec.get("containers") or []) + (spec.get("initContainers") or [])
    asking = [spec] if spec.get("resources") else containers  # resources of the pod as a whole decide alone
    requests = [compute_amounts(c.get("resources"), "requests") for c in asking]
    limits = [compute_amounts(c.get("resources"), "limits") for c in asking]
    if not any(requests) and not any(limits):
        return "BestEffort"
    guaranteed = all(
        len(limit) == len(COMPUTE) and request == limit for request, limit in zip(requests, limits, strict=True)
    )
    return "Guaranteed" if guaranteed else "Burstable"


def prepare_pod_for_create(pod: Object) -> None:
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod["spec"])}


def pod_grace_seconds(pod: Object) -> int | None:
    """What its author allowed; None for a pod that runs nowhere or has ended: nothing is left to wait for."""
    if not pod["spec"].get("nodeName") or (pod.get("status") or {}).get("phase") in ENDED:
        return None
    seconds: int = pod["spec"].get("terminationGracePeriodSeconds", 0)
    return seconds if seconds >= 0 else 1  # below zero means as soon as may be, which is not at once
