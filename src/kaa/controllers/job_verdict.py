"""Whether a job has ended, and why: first recorded as an interim condition, then, once its pods are gone, as the end.

`FailureTarget` announces `Failed`, `SuccessCriteriaMet` announces `Complete`. A verdict that has been recorded stays.
The order of the checks decides which of several reasons is told.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from kaa.api.objects import Object, condition
from kaa.controllers.job_failures import is_failed, match_policy
from kaa.controllers.job_indexes import is_indexed, matched_success_rule
from kaa.controllers.job_tally import Tally
from kaa.controllers.pods import phase_of
from kaa.lib.clock import parse_rfc3339

FAILURE, SUCCESS = "FailureTarget", "SuccessCriteriaMet"
FINAL = {FAILURE: "Failed", SUCCESS: "Complete"}
OUTCOMES = frozenset(FINAL.values())


@dataclass(frozen=True, slots=True)
class Verdict:
    type: str  # FAILURE or SUCCESS
    reason: str
    message: str

    @property
    def is_failure(self) -> bool:
        return self.type == FAILURE


def is_finished(job: Object) -> bool:
    return bool(outcome_of(job))


def outcome_of(job: Object) -> str:
    """Complete, Failed, or "" while it is not finished."""
    for found in job.get("status", {}).get("conditions") or ():
        if found["type"] in OUTCOMES and found["status"] == "True":
            return str(found["type"])
    return ""


def verdict_of(tally: Tally, now: datetime) -> Verdict | None:
    return next((verdict for check in CHECKS if (verdict := check(tally, now)) is not None), None)


def _recorded(tally: Tally, now: datetime) -> Verdict | None:
    for kind in (SUCCESS, FAILURE):
        known = condition(tally.job.get("status", {}).get("conditions"), kind)
        if known is not None and known["status"] == "True":
            return Verdict(kind, known.get("reason", ""), known.get("message", ""))
    return None


def _failure_policy(tally: Tally, now: datetime) -> Verdict | None:
    failed = (pod for pod in tally.pods if is_failed(tally.job, pod))
    match = next((match for pod in failed if (match := match_policy(tally.job, pod)).action == "FailJob"), None)
    return Verdict(FAILURE, "PodFailurePolicy", match.message) if match is not None else None


def _backoff_limit(tally: Tally, now: datetime) -> Verdict | None:
    limit: int = tally.job["spec"]["backoffLimit"]
    if tally.failed > limit or _restarts_exceed(tally, limit):
        return Verdict(FAILURE, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    return None


def _restarts_exceed(tally: Tally, limit: int) -> bool:
    """Containers that are restarted in their pod count instead of failed pods."""
    if tally.job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(restarts_of(pod) for pod in tally.pods if phase_of(pod) in ("Running", "Pending"))
    return restarts > 0 if limit == 0 else restarts >= limit


def restarts_of(pod: Object) -> int:
    """Of all its containers."""
    status = pod.get("status", {})
    containers = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return sum(container.get("restartCount", 0) for container in containers)


def _deadline(tally: Tally, now: datetime) -> Verdict | None:
    left = seconds_to_deadline(tally.job, now)
    if left is None or left > 0:
        return None
    return Verdict(FAILURE, "DeadlineExceeded", "Job was active longer than specified deadline")


def seconds_to_deadline(job: Object, now: datetime) -> float | None:
    """None while no deadline runs: there is none, or the job has not begun, or is suspended."""
    limit = job["spec"].get("activeDeadlineSeconds")
    started = job.get("status", {}).get("startTime")
    if limit is None or started is None or job["spec"].get("suspend"):
        return None
    return (parse_rfc3339(started) + timedelta(seconds=limit) - now).total_seconds()


def _failed_indexes(tally: Tally, now: datetime) -> Verdict | None:
    spec, failed = tally.job["spec"], len(tally.failed_indexes)
    if spec.get("maxFailedIndexes") is not None and failed > spec["maxFailedIndexes"]:
        message = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict(FAILURE, "MaxFailedIndexesExceeded", message)
    if failed and failed + len(tally.succeeded_indexes) >= spec["completions"]:
        return Verdict(FAILURE, "FailedIndexes", "Job has failed indexes")
    return None


def _success_policy(tally: Tally, now: datetime) -> Verdict | None:
    rule = matched_success_rule(tally.job, tally.succeeded_indexes) if is_indexed(tally.job) else None
    return Verdict(SUCCESS, "SuccessPolicy", f"Matched rules at index {rule}") if rule is not None else None


def _completions(tally: Tally, now: datetime) -> Verdict | None:
    """Without a number of completions one success is enough; either way running pods may end by themselves."""
    wanted: int | None = tally.job["spec"].get("completions")
    if tally.active or tally.succeeded < (1 if wanted is None else wanted):
        return None
    return Verdict(SUCCESS, "CompletionsReached", "Reached expected number of succeeded pods")


CHECKS: tuple[Callable[[Tally, datetime], Verdict | None], ...] = (
    _recorded,
    _failure_policy,
    _backoff_limit,
    _deadline,
    _failed_indexes,
    _success_policy,
    _completions,
)
