"""When a job's pod has failed, what that failure counts for, and how long to wait before the next try.

A pod that is being deleted counts as failed at once, unless the job replaces only pods that have really failed. The
pod failure policy's first rule that matches a failed pod says what its failure does: `FailJob` ends the job,
`FailIndex` the pod's index, `Ignore` counts for nothing, `Count` counts as a failure without a rule does. After the
n-th failure in a row, 10, 20, 40, ... seconds pass before a pod is made.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from kaa.api.objects import Object, annotations_of, is_being_deleted, name_of, namespace_of
from kaa.controllers.job_indexes import index_of
from kaa.controllers.pods import finished_at, phase_of
from kaa.lib.backoff import Backoff

POD_BACKOFF = Backoff(initial_seconds=10.0, limit_seconds=600.0)

INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_INDEX_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
"""On a pod of a job with `backoffLimitPerIndex`: how often its index had failed before it."""


def replaces_only_failed(job: Object) -> bool:
    """Whether pods that are still ending keep their places."""
    spec = job["spec"]
    return spec.get("podReplacementPolicy") == "Failed" or spec.get("podFailurePolicy") is not None


def is_failed(job: Object, pod: Object) -> bool:
    phase = phase_of(pod)
    if phase == "Failed" or not is_being_deleted(pod):
        return phase == "Failed"
    # One that was never started will never report an end.
    return phase == "Pending" if replaces_only_failed(job) else phase != "Succeeded"


@dataclass(frozen=True, slots=True)
class Match:
    """The rule of the pod failure policy that a failed pod matches."""

    action: str
    message: str


COUNT = Match("Count", "")


def match_policy(job: Object, pod: Object) -> Match:
    for place, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        if why := _reason(rule, pod):
            return Match(rule["action"], f"{why} matching {rule['action']} rule at index {place}")
    return COUNT


def _reason(rule: Object, pod: Object) -> str:
    """Why the rule matches, "" if it does not."""
    if rule.get("onExitCodes") is not None:
        return _exit_code_reason(rule["onExitCodes"], pod)
    status = pod.get("status", {})
    for wanted in rule.get("onPodConditions") or ():
        for found in status.get("conditions") or ():
            if found["type"] == wanted["type"] and found["status"] == wanted.get("status", "True"):
                return f"Pod {namespace_of(pod)}/{name_of(pod)} has condition {found['type']}"
    return ""


def _exit_code_reason(requirement: Object, pod: Object) -> str:
    name = requirement.get("containerName")
    status = pod.get("status", {})
    for container in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())):
        code = ((container.get("state") or {}).get("terminated") or {}).get("exitCode", 0)
        if not code or (name is not None and container["name"] != name):
            continue
        if (code in requirement["values"]) == (requirement["operator"] == "In"):
            pod_name = f"{namespace_of(pod)}/{name_of(pod)}"
            return f"Container {container['name']} for pod {pod_name} failed with exit code {code}"
    return ""


def counts(job: Object, pod: Object) -> bool:
    return match_policy(job, pod).action != "Ignore"


def seconds_until_retry(job: Object, pods: Iterable[Object], now: datetime) -> float:
    """From how many have failed since the last success, and when the last one did."""
    finished = [pod for pod in pods if phase_of(pod) == "Succeeded" or is_failed(job, pod)]
    finished.sort(key=lambda pod: (finished_at(pod), phase_of(pod) == "Succeeded"))
    failures = 0
    for pod in finished:
        failures = 0 if phase_of(pod) == "Succeeded" else failures + 1
    return _remaining(finished_at(finished[-1]), failures, now) if failures else 0.0


def seconds_until_index_retry(failed_pod: Object, now: datetime) -> float:
    failures = failure_count(failed_pod, INDEX_FAILURES) + failure_count(failed_pod, IGNORED_INDEX_FAILURES) + 1
    return _remaining(finished_at(failed_pod), failures, now)


def _remaining(since: datetime, failures: int, now: datetime) -> float:
    due = since + timedelta(seconds=POD_BACKOFF.delay(failures))
    return max(0.0, (due - now).total_seconds())


def failure_count(pod: Object, annotation: str) -> int:
    text = annotations_of(pod).get(annotation, "0")
    return int(text) if text.isdecimal() else 0


def limits_each_index(job: Object) -> bool:
    return job["spec"].get("backoffLimitPerIndex") is not None


def fails_index(job: Object, pod: Object) -> bool:
    """Whether this failed pod was its index's last try."""
    action = match_policy(job, pod).action
    if action == "FailIndex":
        return True
    limit: int = job["spec"]["backoffLimitPerIndex"]
    return action != "Ignore" and failure_count(pod, INDEX_FAILURES) >= limit


def failure_annotations(job: Object, replaced: Object | None) -> dict[str, str]:
    """What the pod that replaces a failed one knows of its index."""
    if replaced is None:
        return {INDEX_FAILURES: "0"}
    failures, ignored = (failure_count(replaced, key) for key in (INDEX_FAILURES, IGNORED_INDEX_FAILURES))
    if counts(job, replaced):
        failures += 1
    else:
        ignored += 1
    return {INDEX_FAILURES: str(failures)} | ({IGNORED_INDEX_FAILURES: str(ignored)} if ignored else {})


def latest_failures(job: Object, pods: Iterable[Object]) -> dict[int, Object]:
    """Of each index the failed pod that knows of the most failures."""
    latest: dict[int, Object] = {}
    for pod in sorted(pods, key=_known_failures):
        index = index_of(pod)
        if index is not None and is_failed(job, pod):
            latest[index] = pod
    return latest


def _known_failures(pod: Object) -> tuple[int, datetime, str]:
    known = failure_count(pod, INDEX_FAILURES) + failure_count(pod, IGNORED_INDEX_FAILURES)
    return known, finished_at(pod), name_of(pod)
