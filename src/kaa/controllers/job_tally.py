"""What has become of a job's pods, each counted exactly once, however often one looks and whoever dies in between.

A pod carries the finalizer TRACKING until it is counted. Counting takes three steps, each a write that the next can
find: the uid is put into `status.uncountedTerminatedPods`; the finalizer is taken off the pod; the uid is moved into
the counters, once no pod of that uid with a finalizer is left. Succeeded pods of an Indexed job need no list: their
index in `status.completedIndexes` is their account.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from kaa.api.objects import Object, is_being_deleted, name_of, uid_of
from kaa.controllers.actions import Patch
from kaa.controllers.job_failures import (
    counts,
    fails_index,
    is_failed,
    latest_failures,
    limits_each_index,
)
from kaa.controllers.job_indexes import is_indexed, parse_indexes, valid_index_of
from kaa.controllers.pods import is_active, is_terminal, phase_of

TRACKING = "batch.kubernetes.io/job-tracking"

UNCOUNTED_LIMIT = 500
"""Uids in `uncountedTerminatedPods`, as upstream's: it keeps the status below 20 KB."""

GONE = frozenset({"NotFound"})


@dataclass(slots=True)
class Tally:
    """Of one job. The lists are in the order of names."""

    job: Object
    pods: list[Object]  # every one that is held
    active: list[Object]
    tracked: list[Object]
    terminating: int
    uncounted_succeeded: list[str]  # uids of the status's list
    uncounted_failed: list[str]
    new_succeeded: list[Object]  # tracked, and in no list yet
    new_failed: list[Object]
    succeeded_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    awaiting_retry: dict[int, Object] = field(default_factory=dict)  # by index: the failed pod that is to be replaced

    @property
    def succeeded(self) -> int:
        if is_indexed(self.job):
            return len(self.succeeded_indexes)
        known: int = self.job.get("status", {}).get("succeeded", 0)
        return known + len(self.uncounted_succeeded) + len(self.new_succeeded)

    @property
    def failed(self) -> int:
        known: int = self.job.get("status", {}).get("failed", 0)
        return known + len(self.uncounted_failed) + len(self.new_failed)


def is_tracked(pod: Object) -> bool:
    return TRACKING in (pod["metadata"].get("finalizers") or ())


def tally_of(job: Object, held: Iterable[Object]) -> Tally:
    pods = sorted(held, key=name_of)
    uncounted = job.get("status", {}).get("uncountedTerminatedPods") or {}
    listed = {*(uncounted.get("succeeded") or ()), *(uncounted.get("failed") or ())}
    tracked = [pod for pod in pods if is_tracked(pod)]
    new = [pod for pod in tracked if uid_of(pod) not in listed and has_place(job, pod)]
    tally = Tally(
        job=job,
        pods=pods,
        active=[pod for pod in pods if is_active(pod)],
        tracked=tracked,
        terminating=sum(is_being_deleted(pod) and not is_terminal(pod) for pod in pods),
        uncounted_succeeded=list(uncounted.get("succeeded") or ()),
        uncounted_failed=list(uncounted.get("failed") or ()),
        new_succeeded=[pod for pod in new if phase_of(pod) == "Succeeded"],
        new_failed=[pod for pod in new if is_failed(job, pod) and counts(job, pod)],
    )
    if is_indexed(job):
        _take_indexes(tally)
    return tally


def has_place(job: Object, pod: Object) -> bool:
    """A pod of an index that the job does not have counts for nothing."""
    return not is_indexed(job) or valid_index_of(job, pod) is not None


def _take_indexes(tally: Tally) -> None:
    job, status = tally.job, tally.job.get("status", {})
    succeeded = parse_indexes(status.get("completedIndexes") or "")
    succeeded |= _indexes(job, (pod for pod in tally.tracked if phase_of(pod) == "Succeeded"))
    tally.succeeded_indexes = {index for index in succeeded if index < job["spec"]["completions"]}
    if not limits_each_index(job):
        return
    failed = [pod for pod in tally.tracked if is_failed(job, pod)]
    tally.failed_indexes = parse_indexes(status.get("failedIndexes") or "")
    tally.failed_indexes |= _indexes(job, (pod for pod in failed if fails_index(job, pod)))
    settled = tally.succeeded_indexes | tally.failed_indexes | _indexes(job, tally.active)
    latest = latest_failures(job, failed)
    tally.awaiting_retry = {index: pod for index, pod in latest.items() if index not in settled}


def _indexes(job: Object, pods: Iterable[Object]) -> set[int]:
    return {index for pod in pods if (index := valid_index_of(job, pod)) is not None}


def countable(tally: Tally, *, ended: bool) -> list[Object]:
    """Tracked pods to count now, those first that are listed already. When the job has ended, all can be counted."""
    if ended or is_being_deleted(tally.job):
        found = tally.tracked
    else:
        kept = {uid_of(pod) for pod in tally.awaiting_retry.values()}  # their successors must know of their failures
        found = [
            pod
            for pod in tally.tracked
            if phase_of(pod) == "Succeeded" or (is_failed(tally.job, pod) and uid_of(pod) not in kept)
        ]
    listed = {*tally.uncounted_succeeded, *tally.uncounted_failed}
    return sorted(found, key=lambda pod: uid_of(pod) not in listed)[:UNCOUNTED_LIMIT]


def untrack(pod: Object) -> Patch:
    # The uid is a precondition. No revision: what else happens to the pod meanwhile does not matter.
    metadata = {"uid": uid_of(pod), "$deleteFromPrimitiveList/finalizers": [TRACKING]}
    return Patch(pod, {"metadata": metadata}, "strategic", tolerate=GONE)
