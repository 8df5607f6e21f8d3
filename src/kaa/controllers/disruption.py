"""PodDisruptionBudget: how many of its pods may be evicted now.

Observed: the pods that it selects, and the size that their controllers are to have. Wanted: a status in which
`disruptionsAllowed` is what is healthy beyond what must be. An eviction takes one off and names its pod in
`disruptedPods` until the pod is seen to go; one that did not go within two minutes is healthy again.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from kaa.api.objects import (
    Object,
    condition,
    controller_of,
    is_being_deleted,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from kaa.api.selectors import selector_of
from kaa.controllers.actions import RecordEvent, RequeueAfter, UpdateStatus
from kaa.controllers.controller import Actions, Controller, Key, View, Watch, key_of
from kaa.controllers.deployment_rollout import resolve, size_of
from kaa.controllers.pods import is_ready
from kaa.lib.clock import parse_rfc3339, rfc3339

DELETION_SECONDS = 120.0
"""How long an eviction may take to show as a deletion, as upstream's."""

SIZED = ("ReplicaSet", "StatefulSet", "ReplicationController", "Deployment")
"""Kinds whose `spec.replicas` says how many pods there are to be. Others' pods count for a plain minAvailable only."""


class Uncountable(Exception):
    """Why the number of pods that there should be is not known."""


def reconcile(budget: Object, view: View, now: datetime) -> Actions:
    selector = selector_of(budget["spec"].get("selector"))
    pods = sorted(view.list("Pod", namespace_of(budget), selector), key=name_of)
    if not pods:
        yield RecordEvent(budget, "Normal", "NoPods", "No matching pods found")
    disrupted, overdue, wait = disrupted_pods(budget, pods, now)
    for pod in overdue:
        message = f"Pod was expected by PDB {namespace_of(budget)}/{name_of(budget)} to be deleted but it wasn't"
        yield RecordEvent(pod, "Warning", "NotDeleted", message)
    try:
        expected, desired = expectations(budget, pods, view)
    except Uncountable as reason:
        yield RecordEvent(budget, "Warning", "CalculateExpectedPodCountFailed", str(reason))
        status = failed_status(budget, str(reason), now)
    else:
        healthy = sum(is_ready(p) and not is_being_deleted(p) and name_of(p) not in disrupted for p in pods)
        status = status_of(budget, expected, desired, healthy, disrupted, now)
    if status != budget.get("status", {}):
        yield UpdateStatus(budget, status)
    if wait is not None:
        yield RequeueAfter(wait)


def disrupted_pods(
    budget: Object, pods: Iterable[Object], now: datetime
) -> tuple[dict[str, str], list[Object], float | None]:
    """(those that are still to go, and since when; those that did not; seconds until one more has had its time)."""
    waiting, overdue, waits = {}, [], []
    since = budget.get("status", {}).get("disruptedPods") or {}
    for pod in pods:
        if name_of(pod) not in since or is_being_deleted(pod):
            continue
        left = (parse_rfc3339(since[name_of(pod)]) + timedelta(seconds=DELETION_SECONDS) - now).total_seconds()
        if left > 0:
            waiting[name_of(pod)] = since[name_of(pod)]
            waits.append(left)
        else:
            overdue.append(pod)
    return waiting, overdue, min(waits, default=None)


def expectations(budget: Object, pods: list[Object], view: View) -> tuple[int, int]:
    """(pods that there should be, healthy ones that there must be). Raises Uncountable."""
    minimum, maximum = budget["spec"].get("minAvailable"), budget["spec"].get("maxUnavailable")
    if maximum is not None:
        expected = expected_scale(pods, view)
        return expected, max(0, expected - resolve(maximum, expected, round_up=True))
    if isinstance(minimum, int):
        return len(pods), minimum
    expected = expected_scale(pods, view)
    return expected, 0 if minimum is None else resolve(minimum, expected, round_up=True)


def expected_scale(pods: Iterable[Object], view: View) -> int:
    """The sum over the pods' controllers; pods of nobody do not count."""
    controllers: dict[str, int] = {}
    for pod in pods:
        ref = controller_of(pod)
        if ref is None or ref["uid"] in controllers:
            continue
        owner = view.get(ref["kind"], ref["name"], namespace_of(pod)) if ref["kind"] in SIZED else None
        if owner is None or uid_of(owner) != ref["uid"]:
            raise Uncountable(f'found no controllers for pod "{name_of(pod)}"')
        above = controller_of(owner)
        if above is not None and above["kind"] in SIZED:
            owner = view.get(above["kind"], above["name"], namespace_of(pod)) or owner
        controllers[ref["uid"]] = 0
        controllers[uid_of(owner)] = size_of(owner)
    return sum(controllers.values())


def status_of(
    budget: Object, expected: int, desired: int, healthy: int, disrupted: dict[str, str], now: datetime
) -> Object:
    allowed = max(0, healthy - desired) if expected > 0 else 0
    status: Object = {
        "conditions": conditions_of(
            budget, "SufficientPods" if allowed else "InsufficientPods", bool(allowed), "", now
        ),
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": budget["metadata"].get("generation", 0),
    }
    return status | ({"disruptedPods": disrupted} if disrupted else {})


def failed_status(budget: Object, message: str, now: datetime) -> Object:
    """Nothing may be evicted while one does not know."""
    conditions = conditions_of(budget, "SyncFailed", False, message, now)
    return {**budget.get("status", {}), "disruptionsAllowed": 0, "conditions": conditions}


def conditions_of(budget: Object, reason: str, allowed: bool, message: str, now: datetime) -> list[Object]:
    known = condition(budget.get("status", {}).get("conditions"), "DisruptionAllowed")
    status = "True" if allowed else "False"
    same = known is not None and known["status"] == status
    return [
        {
            "type": "DisruptionAllowed",
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": known["lastTransitionTime"] if known is not None and same else rfc3339(now),
            "observedGeneration": budget["metadata"].get("generation", 0),
        }
    ]


def budgets_of(pod: Object, view: View) -> Iterator[Key]:
    for budget in view.list("PodDisruptionBudget", namespace_of(pod)):
        if selector_of(budget["spec"].get("selector")).matches(labels_of(pod)):
            yield key_of(budget)


def budgets_in_namespace(workload: Object, view: View) -> Iterator[Key]:
    for budget in view.list("PodDisruptionBudget", namespace_of(workload)):
        yield key_of(budget)


def size_changed(old: Object | None, new: Object | None) -> bool:
    return old is None or new is None or size_of(old) != size_of(new)


CONTROLLER = Controller(
    name="disruption",
    kind="PodDisruptionBudget",
    watches=(Watch("Pod", budgets_of), *(Watch(kind, budgets_in_namespace, when=size_changed) for kind in SIZED)),
    reconcile=reconcile,
)
