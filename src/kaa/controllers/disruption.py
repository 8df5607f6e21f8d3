"""PodDisruptionBudget: how many of its pods may be evicted now.

Observed: the pods that it selects, and the size that their controllers are to have. Wanted: a status in which
`disruptionsAllowed` is what is healthy beyond what must be. An eviction takes one off and names its pod in
`disruptedPods` until the pod is seen to go; one that did not go within two minutes is healthy again, and no longer
marked as the target of a disruption (a row of its own, over pods).
"""

from collections.abc import Generator, Iterable, Iterator
from datetime import datetime, timedelta

from kaa.api.errors import APIError
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
from kaa.controllers.actions import Action, ReadScale, RecordEvent, RequeueAfter, UpdateStatus
from kaa.controllers.controller import Actions, Controller, Key, View, Watch, either, key_of
from kaa.controllers.deployment_rollout import resolve, size_of
from kaa.controllers.pods import is_ready, is_terminal
from kaa.lib.clock import parse_rfc3339, rfc3339

DELETION_SECONDS = 120.0
"""How long an eviction may take to show as a deletion, as upstream's."""

SIZED = ("ReplicaSet", "StatefulSet", "ReplicationController", "Deployment")
"""Kinds in a cache whose `spec.replicas` says how many pods there are to be. Others are asked for their scale."""

UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of "
    "the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please "
    'set ".spec.minAvailable" field of the PDB to an integer value.'
)
BY_KUBELET = "TerminationByKubelet"


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
        expected, desired = yield from expectations(budget, pods, view)
    except Uncountable as reason:
        message = f"Failed to calculate the number of expected pods: {reason}"
        yield RecordEvent(budget, "Warning", "CalculateExpectedPodCountFailed", message)
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


def expectations(budget: Object, pods: list[Object], view: View) -> Generator[Action, APIError | None, tuple[int, int]]:
    """(pods that there should be, healthy ones that there must be). Raises Uncountable."""
    minimum, maximum = budget["spec"].get("minAvailable"), budget["spec"].get("maxUnavailable")
    if isinstance(minimum, int) and maximum is None:
        return len(pods), minimum
    if not all(map(controller_of, pods)):
        yield RecordEvent(
            budget, "Warning", "UnmanagedPods", UNMANAGED.format(selector_of(budget["spec"].get("selector")))
        )
    expected = yield from expected_scale(pods, view)
    if maximum is not None:
        return expected, max(0, expected - resolve(maximum, expected, round_up=True))
    return expected, 0 if minimum is None else resolve(minimum, expected, round_up=True)


def expected_scale(pods: Iterable[Object], view: View) -> Generator[Action, APIError | None, int]:
    """The sum over the pods' controllers; pods of nobody do not count."""
    sizes: dict[str, int] = {}
    seen: set[str] = set()
    for pod in pods:
        ref = controller_of(pod)
        if ref is None or ref["uid"] in seen:
            continue
        seen.add(ref["uid"])
        owner = sized_owner(ref, namespace_of(pod), view)
        if owner is not None:
            sizes[uid_of(owner)] = size_of(owner)
        elif ref["kind"] in SIZED:
            raise Uncountable(f'found no controllers for pod "{name_of(pod)}"')
        else:
            sizes[ref["uid"]] = yield from asked_size(ref, pod)
    return sum(sizes.values())


def sized_owner(ref: Object, namespace: str, view: View) -> Object | None:
    """The object, or the Deployment above it, whose size counts."""
    owner = view.get(ref["kind"], ref["name"], namespace) if ref["kind"] in SIZED else None
    if owner is None or uid_of(owner) != ref["uid"]:
        return None
    above = controller_of(owner)
    if above is not None and above["kind"] in SIZED:
        return view.get(above["kind"], above["name"], namespace) or owner
    return owner


def asked_size(ref: Object, pod: Object) -> Generator[Action, APIError | None, int]:
    question = ReadScale(ref["apiVersion"], ref["kind"], namespace_of(pod), ref["name"])
    refusal = yield question
    if refusal is not None:
        raise Uncountable(refusal.message)
    scale = question.scale
    if scale is None or uid_of(scale) != ref["uid"]:
        raise Uncountable(f'found no controllers for pod "{name_of(pod)}"')
    replicas: int = (scale.get("spec") or {}).get("replicas", 0)
    return replicas


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


def forget_disruption(pod: Object, view: View, now: datetime) -> Actions:
    """A pod that was to go and did not is not marked for ever; the kubelet takes the time that it needs."""
    conditions = pod.get("status", {}).get("conditions") or []
    target = condition(conditions, "DisruptionTarget")
    if target is None or target["status"] != "True" or target.get("reason") == BY_KUBELET:
        return
    if is_being_deleted(pod) or is_terminal(pod):
        return
    moment = parse_rfc3339(target["lastTransitionTime"])
    left = (moment + timedelta(seconds=DELETION_SECONDS) - now).total_seconds()
    if left > 0:
        yield RequeueAfter(left)
        return
    over = {"type": "DisruptionTarget", "status": "False", "lastTransitionTime": rfc3339(now)}
    changed = [over if c is target else c for c in conditions]
    yield UpdateStatus(pod, {**pod["status"], "conditions": changed})


DISRUPTION = Controller(
    name="disruption",
    component="controllermanager",
    kind="PodDisruptionBudget",
    watches=(Watch("Pod", budgets_of), *(Watch(kind, budgets_in_namespace, when=size_changed) for kind in SIZED)),
    reconcile=reconcile,
)


def is_target(pod: Object) -> bool:
    return condition(pod.get("status", {}).get("conditions"), "DisruptionTarget") is not None


STALE_DISRUPTION = Controller(
    name="stale-pod-disruption", kind="Pod", reconcile=forget_disruption, when=either(is_target)
)

CONTROLLERS = (DISRUPTION, STALE_DISRUPTION)
