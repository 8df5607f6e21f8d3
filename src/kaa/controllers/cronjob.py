"""CronJob: a Job at each time of a schedule.

Observed: the Jobs that it controls, and what its status remembers: which of them are active, and the last time that
was acted on. Wanted: a Job for the latest time that has passed, named after that minute, so that no time can ever have
two. Times that were missed before it are left out; one whose deadline has passed is, too. What still runs is left
alone, waited for or replaced, as the concurrency policy says. Of the finished Jobs only the latest are kept.
"""

from collections.abc import Generator, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from kaa.api.errors import APIError
from kaa.api.objects import (
    Object,
    annotations_of,
    controller_of,
    copy_object,
    is_being_deleted,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from kaa.controllers.actions import Action, Announcement, Create, Delete, RecordEvent, RequeueAfter, UpdateStatus
from kaa.controllers.controller import Actions, Controller, View, differs, generation_of, owned
from kaa.controllers.cron_schedule import parse_schedule, times_until
from kaa.controllers.job_verdict import outcome_of
from kaa.lib.clock import parse_rfc3339, rfc3339

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"

MANY_MISSED = 100
"""More missed times than this are worth a warning: a clock has jumped, or the schedule was off for long."""

TOO_MANY = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"

EXISTS = frozenset({"AlreadyExists"})

Rest: TypeAlias = Generator[Action, APIError | None, Object]
"""Actions, and then the status as it is to be."""


def reconcile(cron_job: Object, view: View, now: datetime) -> Actions:
    jobs = sorted(view.owned(cron_job, "Job"), key=begin_of)
    outcomes = [outcome_of(job) for job in jobs]
    status = yield from follow(cron_job, jobs, outcomes)
    yield from clean_up(cron_job, jobs, outcomes)
    if not is_being_deleted(cron_job) and not cron_job["spec"].get("suspend"):
        status = yield from keep_schedule(cron_job, status, jobs, view, now)
    if status != cron_job.get("status", {}):
        yield UpdateStatus(cron_job, status)


def follow(cron_job: Object, jobs: Sequence[Object], outcomes: Sequence[str]) -> Rest:
    """Brings `active` and `lastSuccessfulTime` up to date with what the Jobs say."""
    status = dict(cron_job.get("status", {}))
    active = {ref["uid"]: ref for ref in status.get("active") or ()}
    known = {uid_of(job): job for job in jobs}
    for uid, ref in list(active.items()):
        if uid not in known:
            del active[uid]
            yield RecordEvent(cron_job, "Warning", "MissingJob", f"Active job went missing: {ref['name']}")
    for job, outcome in zip(jobs, outcomes, strict=True):
        if outcome and active.pop(uid_of(job), None) is not None:
            message = f"Saw completed job: {name_of(job)}, condition: {outcome}"
            yield RecordEvent(cron_job, "Normal", "SawCompletedJob", message)
        if outcome == "Complete" and (ended := job["status"].get("completionTime")):
            status["lastSuccessfulTime"] = max(ended, status.get("lastSuccessfulTime", ""))
        if not outcome and uid_of(job) not in active and not is_being_deleted(job):
            if is_scheduled(cron_job, job):
                active[uid_of(job)] = reference_to(job)
            else:
                message = f"Saw a job that the controller did not create or forgot: {name_of(job)}"
                yield RecordEvent(cron_job, "Warning", "UnexpectedJob", message)
    return with_active(status, active.values())


def clean_up(cron_job: Object, jobs: Sequence[Object], outcomes: Sequence[str]) -> Actions:
    for kind, field in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        limit = cron_job["spec"].get(field)
        ended = [
            job for job, outcome in zip(jobs, outcomes, strict=True) if outcome == kind and not is_being_deleted(job)
        ]
        for job in ended[: max(0, len(ended) - limit)] if limit is not None else ():
            yield Delete(job, "Background", announcement=deletion(cron_job))


def keep_schedule(cron_job: Object, status: Object, jobs: Sequence[Object], view: View, now: datetime) -> Rest:
    try:
        zone = ZoneInfo(cron_job["spec"].get("timeZone") or "UTC")
    except (KeyError, ValueError, OSError) as error:  # not found, not a name, or a directory of zones
        message = f'invalid timeZone: "{cron_job["spec"]["timeZone"]}": {error}'
        yield RecordEvent(cron_job, "Warning", "UnknownTimeZone", message)
        return status
    try:
        schedule = parse_schedule(cron_job["spec"]["schedule"], zone)
    except ValueError as error:
        message = f'unparseable schedule: "{cron_job["spec"]["schedule"]}": {error}'
        yield RecordEvent(cron_job, "Warning", "UnparseableSchedule", message)
        return status
    times = times_until(now, schedule, earliest_due(cron_job, now), MANY_MISSED)
    if times.latest is not None:
        if times.are_more:
            yield RecordEvent(cron_job, "Warning", "TooManyMissedTimes", TOO_MANY)
        status = yield from start(cron_job, status, jobs, view, times.latest)
    if times.upcoming is not None:
        yield RequeueAfter((times.upcoming - now).total_seconds())
    return status


def earliest_due(cron_job: Object, now: datetime) -> datetime:
    """Times after this one, and not yet too late, are to be acted on."""
    last = cron_job.get("status", {}).get("lastScheduleTime") or cron_job["metadata"]["creationTimestamp"]
    deadline = cron_job["spec"].get("startingDeadlineSeconds")
    earliest = parse_rfc3339(last)
    return earliest if deadline is None else max(earliest, now - timedelta(seconds=deadline))


def start(cron_job: Object, status: Object, jobs: Sequence[Object], view: View, due: datetime) -> Rest:
    spec = cron_job["spec"]
    job = build_job(cron_job, due)
    existing = next((known for known in jobs if name_of(known) == name_of(job)), None)
    active = list(status.get("active") or ())
    if existing is None:
        if active and spec.get("concurrencyPolicy") == "Forbid":
            reason = "prior execution is running and concurrency policy is Forbid"
            yield RecordEvent(cron_job, "Normal", "JobAlreadyActive", f"Not starting job because {reason}")
            return status
        if spec.get("concurrencyPolicy") == "Replace":
            running = {ref["uid"] for ref in active}
            for known in jobs:
                if uid_of(known) in running and not is_being_deleted(known):
                    yield Delete(known, "Background", announcement=deletion(cron_job))
            active = []
        refused = yield Create(job, creation(cron_job), tolerate=EXISTS)
        if refused is not None:
            raise refused  # not in our cache yet, or somebody else's: looked at again
        # The answer to our own write is in the cache: one write of the status tells the time and the Job.
        if (made := view.get("Job", name_of(job), namespace_of(job))) is not None:
            active.append(reference_to(made))
    return {**with_active(status, active), "lastScheduleTime": rfc3339(due)}


def build_job(cron_job: Object, due: datetime) -> Object:
    template = copy_object(cron_job["spec"]["jobTemplate"])
    zone = ZoneInfo(cron_job["spec"].get("timeZone") or "UTC")
    given = template.get("metadata") or {}
    metadata: Object = {
        "name": job_name(cron_job, due),
        "namespace": namespace_of(cron_job),
        "annotations": {**(given.get("annotations") or {}), SCHEDULED_AT: rfc3339_in(due, zone)},
        "ownerReferences": [owner_reference(cron_job)],
    }
    if labels := given.get("labels"):
        metadata["labels"] = labels
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def job_name(cron_job: Object, due: datetime) -> str:
    """One name a minute: whoever tries to start a time twice is told that it exists."""
    return f"{name_of(cron_job)}-{int(due.timestamp()) // 60}"


def rfc3339_in(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).isoformat(timespec="seconds").replace("+00:00", "Z")


def is_scheduled(cron_job: Object, job: Object) -> bool:
    """Whether it is one that we started, to tell it from one that somebody made in our name."""
    due = annotations_of(job).get(SCHEDULED_AT)
    return due is not None and name_of(job) == job_name(cron_job, parse_rfc3339(due))


def begin_of(job: Object) -> tuple[str, str]:
    return job.get("status", {}).get("startTime") or job["metadata"]["creationTimestamp"], name_of(job)


def reference_to(job: Object) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": name_of(job),
        "namespace": namespace_of(job),
        "uid": uid_of(job),
        "resourceVersion": job["metadata"]["resourceVersion"],
    }


def with_active(status: Object, active: Iterable[Object]) -> Object:
    others = {field: value for field, value in status.items() if field != "active"}
    references = list(active)
    return {"active": references, **others} if references else others


def creation(cron_job: Object) -> Announcement:
    return Announcement(
        cron_job, "SuccessfulCreate", "Created job {name}", "FailedCreate", "Error creating job: {error}"
    )


def deletion(cron_job: Object) -> Announcement:
    return Announcement(cron_job, "SuccessfulDelete", "Deleted job {name}", "FailedDelete", "Deleted job: {error}")


CONTROLLER = Controller(
    name="cronjob",
    kind="CronJob",
    when=differs(generation_of, is_being_deleted),  # its status only we write
    watches=(owned("Job", by="CronJob", when=differs(outcome_of, is_being_deleted, controller_of)),),
    reconcile=reconcile,
)
