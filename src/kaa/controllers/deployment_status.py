"""A Deployment's status: counts, and the conditions Available, Progressing and ReplicaFailure.

`kubectl rollout status` and every tool that waits for a rollout read these; reasons and messages are upstream's.
A rollout makes progress when more replicas are updated, ready or available, or fewer old ones are left, than the
status before said; it has timed out when that has not happened for `progressDeadlineSeconds`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from kaa.api.objects import Object, condition, name_of
from kaa.controllers.deployment_rollout import bounds, size_of
from kaa.lib.clock import parse_rfc3339, rfc3339

NO_DEADLINE = 2**31 - 1
"""A progressDeadlineSeconds of the largest int32 means none."""


def deadline_seconds(deployment: Object) -> int | None:
    seconds: int | None = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds == NO_DEADLINE else seconds


def build_condition(kind: str, status: str, reason: str, message: str, now: datetime) -> Object:
    moment = rfc3339(now)
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": moment,
        "lastTransitionTime": moment,
        "reason": reason,
        "message": message,
    }


def with_condition(conditions: Sequence[Object], fresh: Object) -> list[Object]:
    """The same status and reason change nothing; the same status alone keeps its time of transition."""
    known = condition(conditions, fresh["type"])
    if known is not None and (known["status"], known.get("reason")) == (fresh["status"], fresh["reason"]):
        return list(conditions)
    if known is not None and known["status"] == fresh["status"]:
        fresh = {**fresh, "lastTransitionTime": known["lastTransitionTime"]}
    return [*without_condition(conditions, fresh["type"]), fresh]


def without_condition(conditions: Sequence[Object], kind: str) -> list[Object]:
    return [c for c in conditions if c["type"] != kind]


def counts_of(deployment: Object, new: Object | None, sets: Sequence[Object], now: datetime) -> Object:
    """The status without what a rollout's progress adds."""

    def total(field: str, among: Sequence[Object]) -> int:
        return sum(rs.get("status", {}).get(field, 0) for rs in among)

    available = total("availableReplicas", sets)
    before = deployment.get("status", {})
    numbers = {
        "replicas": total("replicas", sets),
        "updatedReplicas": total("replicas", [new] if new else []),
        "readyReplicas": total("readyReplicas", sets),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(map(size_of, sets)) - available),
    }
    status: Object = {"observedGeneration": deployment["metadata"].get("generation", 0)}
    status |= {field: number for field, number in numbers.items() if number}
    status["terminatingReplicas"] = total("terminatingReplicas", sets)
    if before.get("collisionCount") is not None:
        status["collisionCount"] = before["collisionCount"]
    status["conditions"] = with_condition(before.get("conditions") or [], _availability(deployment, available, now))
    return status


def _availability(deployment: Object, available: int, now: datetime) -> Object:
    if available >= size_of(deployment) - bounds(deployment)[1]:
        message = "Deployment has minimum availability."
        return build_condition("Available", "True", "MinimumReplicasAvailable", message, now)
    message = "Deployment does not have minimum availability."
    return build_condition("Available", "False", "MinimumReplicasUnavailable", message, now)


def is_complete(deployment: Object, status: Object) -> bool:
    wanted = size_of(deployment)
    counts = (status.get(field, 0) for field in ("updatedReplicas", "replicas", "availableReplicas"))
    seen: int = status.get("observedGeneration", 0)
    return all(count == wanted for count in counts) and seen >= deployment["metadata"].get("generation", 0)


def rollout_status(deployment: Object, new: Object | None, sets: Sequence[Object], now: datetime) -> Object:
    """The status while a rollout goes on or when it is done."""
    status = counts_of(deployment, new, sets, now)
    conditions: list[Object] = status["conditions"]
    progressing = condition(conditions, "Progressing")
    if deadline_seconds(deployment) is None:
        conditions = without_condition(conditions, "Progressing")
    elif not _was_complete_before(status, progressing):
        conditions = _with_progress(deployment, new, status, progressing, now)
    conditions = without_condition(conditions, "ReplicaFailure")
    if failure := _failure_of(new, sets):
        conditions.append({**failure, "lastUpdateTime": failure["lastTransitionTime"]})
    return {**status, "conditions": conditions}


def _was_complete_before(status: Object, progressing: Object | None) -> bool:
    """Then pods that come and go are no longer this rollout's progress."""
    done = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return done and progressing is not None and progressing.get("reason") == "NewReplicaSetAvailable"


def _with_progress(
    deployment: Object, new: Object | None, status: Object, progressing: Object | None, now: datetime
) -> list[Object]:
    conditions: list[Object] = status["conditions"]
    subject = f'ReplicaSet "{name_of(new)}"' if new else f'Deployment "{name_of(deployment)}"'
    if is_complete(deployment, status):
        message = f"{subject} has successfully progressed."
        return with_condition(
            conditions, build_condition("Progressing", "True", "NewReplicaSetAvailable", message, now)
        )
    if has_progressed(deployment.get("status", {}), status):
        fresh = build_condition("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", now)
        if progressing is not None and progressing["status"] == "True":
            fresh["lastTransitionTime"] = progressing["lastTransitionTime"]
        # Replaced even when status and reason are the same: lastUpdateTime is what the deadline counts from.
        return [*without_condition(conditions, "Progressing"), fresh]
    if has_timed_out(deployment, progressing, now):
        message = f"{subject} has timed out progressing."
        return with_condition(
            conditions, build_condition("Progressing", "False", "ProgressDeadlineExceeded", message, now)
        )
    return conditions


def has_progressed(before: Object, status: Object) -> bool:
    def old_left(s: Object) -> int:
        left: int = s.get("replicas", 0) - s.get("updatedReplicas", 0)
        return left

    grown = any(
        status.get(field, 0) > before.get(field, 0)
        for field in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )
    return grown or old_left(status) < old_left(before)


def has_timed_out(deployment: Object, progressing: Object | None, now: datetime) -> bool:
    if progressing is None or progressing.get("reason") == "NewReplicaSetAvailable":
        return False
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return True
    remaining = seconds_to_deadline(deployment, progressing, now)
    return remaining is not None and remaining < 0


def seconds_to_deadline(deployment: Object, progressing: Object | None, now: datetime) -> float | None:
    """Seconds until a rollout under way times out; None when nothing is under way or no deadline is set."""
    deadline = deadline_seconds(deployment)
    if progressing is None or deadline is None:
        return None
    if progressing["status"] != "True" or progressing.get("reason") == "NewReplicaSetAvailable":
        return None
    due = parse_rfc3339(progressing["lastUpdateTime"]) + timedelta(seconds=deadline)
    return (due - now).total_seconds()


def _failure_of(new: Object | None, sets: Sequence[Object]) -> Object | None:
    """The new set's failure to make replicas, else that of any other."""
    for rs in [*([new] if new else []), *sets]:
        failure = condition(rs.get("status", {}).get("conditions"), "ReplicaFailure")
        if failure is not None and failure["status"] == "True":
            return failure
    return None
