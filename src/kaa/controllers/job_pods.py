"""Which pods a job makes and removes now, and what a pod of it looks like."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kaa.api.objects import Object, copy_object, name_of
from kaa.controllers.job_failures import (
    failure_annotations,
    limits_each_index,
    replaces_only_failed,
    seconds_until_index_retry,
    seconds_until_retry,
)
from kaa.controllers.job_indexes import COMPLETION_INDEX, index_of, is_indexed
from kaa.controllers.job_tally import TRACKING, Tally
from kaa.controllers.pods import is_terminal, pod_from_template
from kaa.controllers.replicaset import surplus

BURST = 500
"""Pods made or removed in one reconcile at most, as upstream's."""

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"

MAX_PREFIX_CHARACTERS = 57
"""Of a generated name, so that the random end has its place after the index and a dash."""


@dataclass(frozen=True, slots=True)
class Plan:
    create: tuple[Object, ...] = ()
    delete: tuple[Object, ...] = ()
    retry_seconds: float | None = None  # when pods that are missing now may be made


def plan(tally: Tally, now: datetime) -> Plan:
    """Removing comes before making: the two are never planned at once."""
    active = tally.active
    if tally.job["spec"].get("suspend"):
        return Plan(delete=tuple(active[:BURST]))
    wanted = wanted_active(tally)
    if victims := removals(tally, len(active) - wanted, now)[:BURST]:
        return Plan(delete=tuple(victims))
    ending = tally.terminating if replaces_only_failed(tally.job) else 0
    missing = min(wanted - ending - len(active), BURST)
    if missing <= 0:
        return Plan()
    if limits_each_index(tally.job):
        return plan_retries(tally, pending_indexes(tally, missing), now)
    if wait := seconds_until_retry(tally.job, tally.pods, now):
        return Plan(retry_seconds=wait)
    if is_indexed(tally.job):
        return Plan(create=tuple(build_pod(tally.job, index) for index in pending_indexes(tally, missing)))
    return Plan(create=tuple(build_pod(tally.job) for _ in range(missing)))


def wanted_active(tally: Tally) -> int:
    spec = tally.job["spec"]
    parallelism: int = spec["parallelism"]
    if spec.get("completions") is None:
        # One success says that there is no work left: what runs may end, and nothing is added.
        return min(len(tally.active), parallelism) if tally.succeeded else parallelism
    remaining: int = spec["completions"] - tally.succeeded - len(tally.failed_indexes)
    return max(0, min(parallelism, remaining))


def removals(tally: Tally, at_least: int, now: datetime) -> list[Object]:
    """Pods whose index is taken or not the job's, whatever their number; then the least loss."""
    useless = [] if not is_indexed(tally.job) else misplaced(tally)
    rest = [pod for pod in tally.active if pod not in useless]
    return [*useless, *surplus(rest, rest, max(0, at_least - len(useless)), now)]


def misplaced(tally: Tally) -> list[Object]:
    taken = tally.succeeded_indexes | tally.failed_indexes
    useless = []
    # Of several active pods of one index the oldest stays.
    for pod in sorted(tally.active, key=lambda pod: (pod["metadata"]["creationTimestamp"], name_of(pod))):
        index = index_of(pod)
        if index is None or index in taken or index >= tally.job["spec"]["completions"]:
            useless.append(pod)
        else:
            taken = taken | {index}
    return useless


def pending_indexes(tally: Tally, count: int) -> list[int]:
    """The first indexes that no pod works on and that are not settled."""
    taken = tally.succeeded_indexes | tally.failed_indexes | _indexes_of(tally.active)
    if replaces_only_failed(tally.job):
        taken |= _indexes_of(pod for pod in tally.pods if not is_terminal(pod))
    free = (index for index in range(tally.job["spec"]["completions"]) if index not in taken)
    return [index for index, _ in zip(free, range(count), strict=False)]


def _indexes_of(pods: Iterable[Object]) -> set[int]:
    return {index for pod in pods if (index := index_of(pod)) is not None}


def plan_retries(tally: Tally, indexes: Sequence[int], now: datetime) -> Plan:
    """Each index has a back-off of its own; one that waits does not hold up the others."""
    failed = tally.awaiting_retry
    waits = {index: seconds_until_index_retry(failed[index], now) if index in failed else 0.0 for index in indexes}
    ready = [index for index, wait in waits.items() if wait == 0]
    retry = min((wait for wait in waits.values() if wait > 0), default=None)
    return Plan(create=tuple(build_pod(tally.job, index, failed.get(index)) for index in ready), retry_seconds=retry)


def build_pod(job: Object, index: int | None = None, replaced: Object | None = None) -> Object:
    pod = pod_from_template(job, job["spec"]["template"])
    metadata = pod["metadata"]
    metadata["finalizers"] = [*(f for f in metadata.get("finalizers") or () if f != TRACKING), TRACKING]
    if index is None:
        return pod
    metadata["generateName"] = f"{name_of(job)[: MAX_PREFIX_CHARACTERS - len(str(index)) - 2]}-{index}-"
    marks = {COMPLETION_INDEX: str(index)}
    metadata["labels"] = {**(metadata.get("labels") or {}), **marks}
    if limits_each_index(job):
        marks |= failure_annotations(job, replaced)
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **marks}
    spec = pod["spec"]
    spec["hostname"] = f"{name_of(job)}-{index}"
    for kind in ("initContainers", "containers"):
        if kind in spec:
            spec[kind] = [_with_index_variable(container) for container in spec[kind]]
    return pod


def _with_index_variable(container: Object) -> Object:
    """The container is told its index, unless its author sets that variable."""
    variables = container.get("env") or []
    if any(variable["name"] == INDEX_VARIABLE for variable in variables):
        return container
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{COMPLETION_INDEX}']"}}
    return {**copy_object(container), "env": [*variables, {"name": INDEX_VARIABLE, "valueFrom": source}]}
