"""Questions that several controllers ask of a pod, and a pod made from a template."""

from datetime import datetime, timedelta

from kaa.api.objects import Object, condition, copy_object, is_being_deleted, name_of, namespace_of, owner_reference
from kaa.lib.clock import parse_rfc3339

TERMINAL_PHASES = ("Succeeded", "Failed")


def node_name_of(pod: Object) -> str:
    """Of the node that it is bound to, or ""."""
    name: str = pod["spec"].get("nodeName", "")
    return name


def phase_of(pod: Object) -> str:
    phase: str = pod.get("status", {}).get("phase", "Pending")
    return phase


def is_terminal(pod: Object) -> bool:
    return phase_of(pod) in TERMINAL_PHASES


def is_active(pod: Object) -> bool:
    """Counts towards a workload's replicas: neither finished nor on its way out."""
    return not is_terminal(pod) and not is_being_deleted(pod)


def ready_condition(pod: Object) -> Object | None:
    return condition(pod.get("status", {}).get("conditions"), "Ready")


def is_ready(pod: Object) -> bool:
    ready = ready_condition(pod)
    return ready is not None and ready.get("status") == "True"


def ready_since(pod: Object) -> datetime | None:
    """Since when the pod has been ready; None if it is not."""
    ready = ready_condition(pod)
    if ready is None or ready.get("status") != "True" or not ready.get("lastTransitionTime"):
        return None
    return parse_rfc3339(ready["lastTransitionTime"])


def seconds_until_available(pod: Object, min_ready_seconds: int, now: datetime) -> float | None:
    """0 if the pod is available; None if only a change of the pod can make it so."""
    if not is_ready(pod):
        return None
    if min_ready_seconds == 0:
        return 0.0
    since = ready_since(pod)
    if since is None:
        return None
    return max(0.0, (since + timedelta(seconds=min_ready_seconds) - now).total_seconds())


def pod_from_template(owner: Object, template: Object) -> Object:
    """A pod of `owner`'s, which the server names `<owner>-<suffix>`."""
    fresh = copy_object(template)
    metadata: Object = {"generateName": f"{name_of(owner)}-", "namespace": namespace_of(owner)}
    for field in ("labels", "annotations", "finalizers"):
        if value := fresh.get("metadata", {}).get(field):
            metadata[field] = value
    metadata["ownerReferences"] = [owner_reference(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": fresh.get("spec", {})}


def finished_at(pod: Object) -> datetime:
    """When the pod ended, as well as it can be told: its last container's end, else when it stopped being ready."""
    status = pod.get("status", {})
    ends = [
        terminated["finishedAt"]
        for container in status.get("containerStatuses") or ()
        if (terminated := (container.get("state") or {}).get("terminated")) and terminated.get("finishedAt")
    ]
    if ends:
        return max(map(parse_rfc3339, ends))
    ready = ready_condition(pod)
    if ready is not None and ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return parse_rfc3339(ready["lastTransitionTime"])
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp"):
        grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
        return parse_rfc3339(metadata["deletionTimestamp"]) - grace
    return parse_rfc3339(metadata["creationTimestamp"])
