"""ReplicaSet, and ReplicationController before it: as many pods of its template as it asks for.

Observed: the pods it holds (see `claims.py`), neither finished nor being deleted. Wanted: `spec.replicas` of them.
Missing pods are created, at most BURST at a time; of a surplus those go first that are the least loss: not yet on a
node, then not running, then not ready, then the cheaper by annotation, then where most of the same workload's pods
share a node, then the shortest ready, the most restarted, the youngest.
"""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from kaa.api.errors import APIError
from kaa.api.objects import (
    Object,
    annotations_of,
    condition,
    controller_of,
    is_being_deleted,
    labels_of,
    namespace_of,
)
from kaa.controllers.actions import Announcement, CreateAll, DeleteAll, RequeueAfter, UpdateStatus
from kaa.controllers.claims import claim, orphans
from kaa.controllers.controller import Actions, Controller, View, owned
from kaa.controllers.pods import (
    is_active,
    is_ready,
    is_terminal,
    phase_of,
    pod_from_template,
    ready_since,
    seconds_until_available,
)
from kaa.lib.clock import parse_rfc3339, rfc3339

BURST = 500
"""Pods created or deleted in one reconcile at most, as upstream's."""

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
PHASE_ORDER = {"Pending": 0, "Unknown": 1, "Running": 2}


def reconcile(rs: Object, view: View, now: datetime) -> Actions:
    claimed = claim(rs, "Pod", view)
    yield from claimed.settle()
    held = [pod for pod in claimed.held if not is_terminal(pod)]
    pods = [pod for pod in held if is_active(pod)]
    failure: tuple[str, APIError] | None = None
    if not is_being_deleted(rs):
        missing = replicas_of(rs) - len(pods)
        if missing > 0:
            refused = yield CreateAll(new_pods(rs, min(missing, BURST)), creation(rs))
            failure = ("FailedCreate", refused) if refused is not None else None
        elif missing < 0:
            related = related_pods(rs, view)
            refused = yield DeleteAll(tuple(surplus(pods, related, min(-missing, BURST), now)), deletion(rs))
            failure = ("FailedDelete", refused) if refused is not None else None
    status = status_of(rs, held, failure, now)
    if status != rs.get("status", {}):
        yield UpdateStatus(rs, status)
    if (delay := next_availability(rs, pods, now)) is not None:
        yield RequeueAfter(delay)


def replicas_of(rs: Object) -> int:
    replicas: int | None = rs["spec"].get("replicas")
    return 1 if replicas is None else replicas


def min_ready_seconds(rs: Object) -> int:
    seconds: int = rs["spec"].get("minReadySeconds") or 0
    return seconds


def new_pods(rs: Object, count: int) -> tuple[Object, ...]:
    return tuple(pod_from_template(rs, rs["spec"]["template"]) for _ in range(count))


def creation(rs: Object) -> Announcement:
    return Announcement(rs, "SuccessfulCreate", "Created pod: {name}", "FailedCreate", "Error creating: {error}")


def deletion(rs: Object) -> Announcement:
    return Announcement(rs, "SuccessfulDelete", "Deleted pod: {name}", "FailedDelete", "Error deleting: {error}")


def related_pods(rs: Object, view: View) -> list[Object]:
    """Active pods of every ReplicaSet with the same controller: a Deployment's rollout spreads over all of them."""
    owner = controller_of(rs)
    siblings = [rs]
    if owner is not None:
        candidates = view.list("ReplicaSet", namespace_of(rs))
        siblings = [sibling for sibling in candidates if (controller_of(sibling) or {}).get("uid") == owner["uid"]]
    return [pod for sibling in siblings for pod in view.owned(sibling, "Pod") if is_active(pod)]


def surplus(pods: Iterable[Object], related: Iterable[Object], count: int, now: datetime) -> list[Object]:
    """The `count` pods whose deletion is the least loss, in the order of the module's docstring."""
    if count <= 0:
        return []
    crowding = Counter(pod["spec"].get("nodeName", "") for pod in related)

    def loss(pod: Object) -> tuple[Any, ...]:
        node = pod["spec"].get("nodeName", "")
        since = ready_since(pod)
        return (
            bool(node),
            PHASE_ORDER.get(phase_of(pod), 1),
            is_ready(pod),
            deletion_cost(pod),
            -crowding[node],
            age_class(since, now) if since else 0,
            -restarts_of(pod),
            age_class(parse_rfc3339(pod["metadata"]["creationTimestamp"]), now),
            pod["metadata"].get("uid", ""),
        )

    return sorted(pods, key=loss)[:count]


def age_class(since: datetime, now: datetime) -> int:
    """Ages on a logarithmic scale: among pods of about the same age the choice is not bound to which was last."""
    return int(math.log2(max(1.0, (now - since).total_seconds())))


def deletion_cost(pod: Object) -> int:
    try:
        return int(annotations_of(pod).get(DELETION_COST, "0"))
    except ValueError:  # admission refuses such a value; one that got in before counts as none
        return 0


def restarts_of(pod: Object) -> int:
    return max((c.get("restartCount", 0) for c in pod.get("status", {}).get("containerStatuses") or ()), default=0)


def status_of(rs: Object, held: list[Object], failure: tuple[str, APIError] | None, now: datetime) -> Object:
    """`held` are the pods as observed, before this reconcile's own creations and deletions."""
    pods = [pod for pod in held if is_active(pod)]
    template_labels = (rs["spec"]["template"].get("metadata", {}).get("labels") or {}).items()
    counts = {
        "fullyLabeledReplicas": sum(template_labels <= labels_of(pod).items() for pod in pods),
        "readyReplicas": sum(map(is_ready, pods)),
        "availableReplicas": sum(seconds_until_available(pod, min_ready_seconds(rs), now) == 0 for pod in pods),
    }
    status: Object = {"replicas": len(pods)}
    status |= {field: count for field, count in counts.items() if count}
    if rs["kind"] == "ReplicaSet":
        # Present even when 0: readers tell "none" from "a controller too old to count them" by it.
        status["terminatingReplicas"] = sum(is_being_deleted(pod) for pod in held)
    status["observedGeneration"] = rs["metadata"].get("generation", 0)
    if conditions := conditions_of(rs, failure, now):
        status["conditions"] = conditions
    return status


def conditions_of(rs: Object, failure: tuple[str, APIError] | None, now: datetime) -> list[Object]:
    observed = rs.get("status", {}).get("conditions") or []
    others = [c for c in observed if c["type"] != "ReplicaFailure"]
    if failure is None:
        return others
    reason, error = failure
    known = condition(observed, "ReplicaFailure")
    if known is not None and known.get("reason") == reason:
        return list(observed)
    fresh = {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": rfc3339(now),
        "reason": reason,
        "message": error.message,
    }
    return [*others, fresh]


def next_availability(rs: Object, pods: list[Object], now: datetime) -> float | None:
    """Seconds until the next ready pod has been ready for long enough; None when time alone changes nothing."""
    delays = [seconds_until_available(pod, min_ready_seconds(rs), now) for pod in pods]
    return min((delay for delay in delays if delay), default=None)


def row(name: str, kind: str, component: str) -> Controller:
    return Controller(
        name=name,
        component=component,
        kind=kind,
        watches=(owned("Pod", by=kind),),
        indexes=(orphans("Pod"),),
        reconcile=reconcile,
    )


CONTROLLERS = (
    row("replicaset", "ReplicaSet", "replicaset-controller"),
    row("replicationcontroller", "ReplicationController", "replication-controller"),
)
