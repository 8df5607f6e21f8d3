"""A job's status: counters and lists of counted pods, conditions, and the events that tell of new conditions."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypeAlias

from kaa.api.objects import Object, condition, uid_of
from kaa.controllers.actions import RecordEvent
from kaa.controllers.job_failures import counts, is_failed, limits_each_index
from kaa.controllers.job_indexes import format_indexes, is_indexed
from kaa.controllers.job_tally import Tally, has_place
from kaa.controllers.job_verdict import FINAL, Verdict
from kaa.controllers.pods import phase_of
from kaa.lib.clock import rfc3339

Counts: TypeAlias = dict[str, int]
"""active, ready and terminating pods, after what this reconcile has done."""


def status_of(
    tally: Tally, counts_now: Counts, counted: Sequence[Object], verdict: Verdict | None, now: datetime
) -> Object:
    """`counted` are the pods whose finalizer is about to go: they must be on account before."""
    job = tally.job
    status = dict(job.get("status", {}))
    if not status.get("startTime") and not job["spec"].get("suspend"):
        status["startTime"] = rfc3339(now)
    status.pop("active", None)
    status |= {field: count for field, count in counts_now.items() if count or field != "active"}
    _keep_accounts(status, tally, counted, verdict)
    if is_indexed(job):
        _keep_indexes(status, tally)
    conditions = list(status.get("conditions") or [])
    if verdict is not None:
        _note(conditions, verdict.type, "True", verdict.reason, verdict.message, now)
        if not (
            tally.tracked or status["uncountedTerminatedPods"] or counts_now["active"] or counts_now["terminating"]
        ):
            _note(conditions, FINAL[verdict.type], "True", verdict.reason, verdict.message, now)
            if not verdict.is_failure:
                status["completionTime"] = rfc3339(now)
    elif job["spec"].get("suspend"):
        _note(conditions, "Suspended", "True", "JobSuspended", "Job suspended", now)
    elif (condition(conditions, "Suspended") or {}).get("status") == "True":
        _note(conditions, "Suspended", "False", "JobResumed", "Job resumed", now)
        status["startTime"] = rfc3339(now)
    if conditions:
        status["conditions"] = conditions
    return status


def _keep_accounts(status: Object, tally: Tally, counted: Sequence[Object], verdict: Verdict | None) -> None:
    """Listed uids whose pods have no finalizer any more become numbers; the pods of `counted` are listed."""
    tracked = {uid_of(pod) for pod in tally.tracked}
    listed = {*tally.uncounted_succeeded, *tally.uncounted_failed}
    fresh = [pod for pod in counted if uid_of(pod) not in listed and has_place(tally.job, pod)]
    failed = [pod for pod in fresh if _counts_as_failed(tally.job, pod, verdict)]
    # Succeeded indexes are their own account.
    succeeded = [] if is_indexed(tally.job) else [pod for pod in fresh if phase_of(pod) == "Succeeded"]
    accounts = {}
    for field, before, new in (
        ("succeeded", tally.uncounted_succeeded, succeeded),
        ("failed", tally.uncounted_failed, failed),
    ):
        waiting = [uid for uid in before if uid in tracked]
        if settled := len(before) - len(waiting):
            status[field] = status.get(field, 0) + settled
        if uids := [*waiting, *map(uid_of, new)]:
            accounts[field] = uids
    status["uncountedTerminatedPods"] = accounts


def _counts_as_failed(job: Object, pod: Object, verdict: Verdict | None) -> bool:
    """Pods that are stopped because the job failed have failed with it; those of a success have not."""
    if phase_of(pod) == "Succeeded":
        return False
    stopped = verdict is not None and verdict.is_failure
    return (is_failed(job, pod) or stopped) and counts(job, pod)


def _keep_indexes(status: Object, tally: Tally) -> None:
    for field in ("succeeded", "completedIndexes"):
        status.pop(field, None)
    if tally.succeeded_indexes:
        status["succeeded"] = len(tally.succeeded_indexes)
        status["completedIndexes"] = format_indexes(tally.succeeded_indexes)
    if limits_each_index(tally.job):
        status["failedIndexes"] = format_indexes(tally.failed_indexes)


def _note(conditions: list[Object], kind: str, state: str, reason: str, message: str, now: datetime) -> None:
    """Sets the condition; one that has that state already stays as it is."""
    known = condition(conditions, kind)
    if known is not None and known["status"] == state:
        return
    moment = rfc3339(now)
    fresh = {
        "type": kind,
        "status": state,
        "lastProbeTime": moment,
        "lastTransitionTime": moment,
        "reason": reason,
        "message": message,
    }
    conditions[:] = [c for c in conditions if c is not known] + [fresh]


def news(job: Object, status: Object) -> Iterator[RecordEvent]:
    """The events of conditions that are new in `status`."""
    before = job.get("status", {}).get("conditions")
    for fresh in status.get("conditions") or ():
        known = condition(before, fresh["type"])
        if known is None or known["status"] != fresh["status"]:
            event = EVENTS.get((fresh["type"], fresh["status"]))
            if event is not None:
                type_, reason, message = event
                yield RecordEvent(job, type_, reason or fresh["reason"], message or fresh["message"])


EVENTS = {
    ("Complete", "True"): ("Normal", "Completed", "Job completed"),
    ("Failed", "True"): ("Warning", "", ""),  # the condition's own
    ("Suspended", "True"): ("Normal", "Suspended", "Job suspended"),
    ("Suspended", "False"): ("Normal", "Resumed", "Job resumed"),
}
