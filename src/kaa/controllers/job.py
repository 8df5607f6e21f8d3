"""Job: pods that run until enough of them have succeeded.

Observed: the pods that it holds, whose ends are counted exactly once (`job_tally.py`). Wanted: as many active ones as
`parallelism` and what is still to be done allow (`job_pods.py`), until there is a verdict (`job_verdict.py`). With a
verdict the active pods are removed, and once all have ended and are counted, the job is Complete or Failed. A job that
is finished is not looked at again, but for pods that still carry our finalizer.
"""

from collections.abc import Generator, Iterator
from datetime import datetime

from kaa.api.errors import APIError
from kaa.api.objects import Object, controller_of, is_being_deleted, labels_of, name_of, namespace_of, uid_of
from kaa.controllers.actions import Action, Announcement, CreateAll, DeleteAll, RequeueAfter, UpdateStatus
from kaa.controllers.claims import claim, orphans
from kaa.controllers.controller import (
    Actions,
    Controller,
    Index,
    Key,
    View,
    Watch,
    differs,
    generation_of,
    key_of,
    selects,
)
from kaa.controllers.job_pods import Plan, plan
from kaa.controllers.job_status import Counts, news, status_of
from kaa.controllers.job_tally import Tally, countable, is_tracked, tally_of, untrack
from kaa.controllers.job_verdict import is_finished, restarts_of, seconds_to_deadline, verdict_of
from kaa.controllers.pods import is_ready, is_terminal, phase_of

MANAGER = "kubernetes.io/job-controller"
JOB_NAME = "batch.kubernetes.io/job-name"
TRACKED = "tracked by job"
CLAIM_FIELDS = ("ownerReferences", "finalizers", "labels", "annotations", "deletionTimestamp")


def reconcile(job: Object, view: View, now: datetime) -> Actions:
    if job["spec"].get("managedBy", MANAGER) != MANAGER:
        return
    claimed = claim(job, "Pod", view)
    yield from claimed.settle()
    held = {uid_of(pod) for pod in claimed.held}
    yield from free(pod for pod in tracked_pods(view, key_of(job)) if uid_of(pod) not in held)
    tally = tally_of(job, claimed.held)
    if is_finished(job):
        yield from free(tally.tracked)
        return
    verdict = verdict_of(tally, now)
    todo = Plan(delete=tuple(tally.active)) if verdict is not None else plan(tally, now)
    if verdict is None:
        yield from free([pod for pod in todo.delete if is_tracked(pod)])  # what is ended on purpose has not failed
    counts = yield from carry_out(tally, todo)
    counted = countable(tally, ended=verdict is not None)
    status = status_of(tally, counts, counted, verdict, now)
    if status != job.get("status", {}):
        yield UpdateStatus(job, status)
        yield from news(job, status)
    yield from free(counted)
    deadline = seconds_to_deadline({**job, "status": status}, now) if verdict is None else None
    if delays := [delay for delay in (deadline, todo.retry_seconds) if delay is not None]:
        yield RequeueAfter(max(0.0, min(delays)))


def gone(key: Key, view: View, now: datetime) -> Actions:
    """The job is no more, and nobody counts its pods: they are free to go."""
    yield from free(tracked_pods(view, key))


def free(pods: Iterator[Object] | list[Object]) -> Actions:
    """One that is gone needs nothing any more; any other refusal is tried again with the whole job."""
    for pod in pods:
        _refusal = yield untrack(pod)


def carry_out(tally: Tally, todo: Plan) -> Generator[Action, APIError | None, Counts]:
    """Returns the numbers of pods as they are then; after a refusal as observed, until the next look."""
    job = tally.job
    active, terminating, removed = len(tally.active), tally.terminating, set[str]()
    if todo.delete:
        refused = yield DeleteAll(todo.delete, Announcement(job, "SuccessfulDelete", "Deleted pod: {name}"))
        if refused is None:
            removed = {uid_of(pod) for pod in todo.delete}
            active, terminating = active - len(removed), terminating + len(removed)
    elif todo.create and not is_being_deleted(job):
        refused = yield CreateAll(todo.create, creation(job))
        active += len(todo.create) if refused is None else 0
    ready = sum(is_ready(pod) and uid_of(pod) not in removed for pod in tally.active)
    return {"active": active, "ready": ready, "terminating": terminating}


def creation(job: Object) -> Announcement:
    return Announcement(job, "SuccessfulCreate", "Created pod: {name}", "FailedCreate", "Error creating: {error}")


def tracked_pods(view: View, key: Key) -> list[Object]:
    return sorted(view.by_index("Pod", TRACKED, "/".join(key)), key=name_of)


def tracker_of(pod: Object) -> Key | None:
    """The job that is to take our finalizer off the pod; an orphan may still say its name.

    One that does not is the affair of the job named "", which is always gone.
    """
    ref = controller_of(pod)
    if not is_tracked(pod) or (ref is not None and ref["kind"] != "Job"):
        return None
    return namespace_of(pod), labels_of(pod).get(JOB_NAME, "") if ref is None else ref["name"]


def pods_by_tracker() -> Index:
    def keys(pod: Object) -> Iterator[str]:
        if key := tracker_of(pod):
            yield "/".join(key)

    return Index("Pod", TRACKED, keys)


def jobs_of(pod: Object, view: View) -> Iterator[Key]:
    """The one that controls the pod; for one without a controller those that could adopt it, or should let it go."""
    ref = controller_of(pod)
    if ref is not None and ref["kind"] == "Job":
        yield namespace_of(pod), ref["name"]
    elif ref is None:
        if key := tracker_of(pod):
            yield key
        for job in view.list("Job", namespace_of(pod)):
            if selects(job, pod):
                yield key_of(job)


def claim_of(pod: Object) -> object:
    """Whose the pod is, for which index, and whether it may go."""
    metadata = pod["metadata"]
    return [metadata.get(field) for field in CLAIM_FIELDS]


def progress_of(pod: Object) -> object:
    """How far it has come; of one that has ended, all that a failure policy could ask."""
    status = pod.get("status", {})
    return status if is_terminal(pod) else (phase_of(pod), is_ready(pod), restarts_of(pod))


CONTROLLER = Controller(
    name="job",
    kind="Job",
    when=differs(generation_of, is_being_deleted),  # its status only we write
    watches=(Watch("Pod", jobs_of, when=differs(claim_of, progress_of)),),
    indexes=(orphans("Pod"), pods_by_tracker()),
    reconcile=reconcile,
    gone=gone,
)
