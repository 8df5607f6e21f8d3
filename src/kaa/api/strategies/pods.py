"""Pods: their first status, their quality of service, and how long they take to end."""

from collections.abc import Iterator, Mapping

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


GATED: Object = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
    "lastProbeTime": None,
    "lastTransitionTime": None,
}


def prepare_pod_for_create(pod: Object) -> None:
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod["spec"])}
    if pod["spec"].get("schedulingGates"):
        pod["status"]["conditions"] = [dict(GATED)]
    for rule in rules_about_pods(pod["spec"]):
        fix_label_keys(rule, pod["metadata"].get("labels") or {})


def rules_about_pods(spec: Object) -> Iterator[Object]:
    """All affinity terms and topology spread constraints."""
    affinity = spec.get("affinity") or {}
    for rules in (affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}):
        yield from rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for entry in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield entry["podAffinityTerm"]
    yield from spec.get("topologySpreadConstraints") or ()


LABEL_KEYS = (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))


def fix_label_keys(rule: Object, labels: Mapping[str, str]) -> None:
    """The values that the pod's labels have now are written into the rule's selector: they count from now on."""
    selector = rule.get("labelSelector")
    if selector is None:  # selects nothing, whatever is added
        return
    fixed = [
        {"key": key, "operator": operator, "values": [labels[key]]}
        for field, operator in LABEL_KEYS
        for key in rule.get(field) or ()
        if key in labels
    ]
    if fixed:
        selector["matchExpressions"] = [*(selector.get("matchExpressions") or ()), *fixed]


def pod_grace_seconds(pod: Object) -> int | None:
    """What its author allowed; None for a pod that runs nowhere or has ended: nothing is left to wait for."""
    if not pod["spec"].get("nodeName") or (pod.get("status") or {}).get("phase") in ENDED:
        return None
    seconds: int = pod["spec"].get("terminationGracePeriodSeconds", 0)
    return seconds if seconds >= 0 else 1  # below zero means as soon as may be, which is not at once
