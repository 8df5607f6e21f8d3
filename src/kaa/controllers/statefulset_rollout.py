"""In which order a StatefulSet's pods are made, removed and replaced.

OrderedReady: one at a time, upwards, each only when all before it are available; of those beyond `replicas` the highest
goes first. Parallel: all at once. Then pods of an older revision are replaced, the highest first, down to the
partition, with at most `maxUnavailable` of the new revision not yet available at any time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kaa.api.objects import Object, is_being_deleted
from kaa.controllers.deployment_rollout import resolve
from kaa.controllers.pods import is_ready, is_terminal, phase_of, seconds_until_available
from kaa.controllers.statefulset_pods import replicas_of, revision_label, wanted_ordinals


@dataclass(slots=True)
class Step:
    create: list[int] = field(default_factory=list)  # ordinals
    delete: list[Object] = field(default_factory=list)


def is_ordered(stateful_set: Object) -> bool:
    return bool(stateful_set["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady")


def min_ready_seconds(stateful_set: Object) -> int:
    seconds: int = stateful_set["spec"].get("minReadySeconds") or 0
    return seconds


def is_running(pod: Object) -> bool:
    return phase_of(pod) == "Running" and is_ready(pod)


def is_available(stateful_set: Object, pod: Object, now: datetime) -> bool:
    return is_running(pod) and seconds_until_available(pod, min_ready_seconds(stateful_set), now) == 0


def partition_of(stateful_set: Object) -> int:
    """Pods below this ordinal keep the current revision."""
    rolling = (stateful_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    partition: int = rolling.get("partition") or 0
    return wanted_ordinals(stateful_set).start + partition


def is_rolling(stateful_set: Object) -> bool:
    strategy = stateful_set["spec"].get("updateStrategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def max_unavailable(stateful_set: Object) -> int:
    """A percentage is rounded down, whatever the API's documentation says; but never to none."""
    rolling = (stateful_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    limit = rolling.get("maxUnavailable")
    return max(1, resolve(1 if limit is None else limit, replicas_of(stateful_set), round_up=False))


def next_step(stateful_set: Object, pods: Mapping[int, Object], update_revision: str, now: datetime) -> Step:
    """`pods` are those held, by ordinal."""
    step = Step()
    held_up = _fill(step, stateful_set, pods, now) or _shrink(step, stateful_set, pods, now)
    if not held_up and is_rolling(stateful_set):
        _replace(step, stateful_set, pods, update_revision, now)
    return step


def _fill(step: Step, stateful_set: Object, pods: Mapping[int, Object], now: datetime) -> bool:
    """Returns whether what comes after has to wait."""
    ordered = is_ordered(stateful_set)
    for ordinal in wanted_ordinals(stateful_set):
        pod = pods.get(ordinal)
        if pod is None:
            step.create.append(ordinal)
        elif is_terminal(pod) and not is_being_deleted(pod):
            step.delete.append(pod)  # made anew when it is gone: its name is taken until then
        elif not is_being_deleted(pod) and is_available(stateful_set, pod, now):
            continue
        if ordered:
            return True
    return False


def _shrink(step: Step, stateful_set: Object, pods: Mapping[int, Object], now: datetime) -> bool:
    ordered = is_ordered(stateful_set)
    condemned = sorted(pods.keys() - set(wanted_ordinals(stateful_set)))
    unhealthy = [o for o in condemned if is_being_deleted(pods[o]) or not is_running(pods[o])]
    for ordinal in reversed(condemned):
        if not is_being_deleted(pods[ordinal]):
            # One that is not well may hold up the others only as long as it isn't its turn.
            if ordered and not is_available(stateful_set, pods[ordinal], now) and unhealthy[:1] != [ordinal]:
                return True
            step.delete.append(pods[ordinal])
        if ordered:
            return True
    return False


def _replace(step: Step, stateful_set: Object, pods: Mapping[int, Object], update_revision: str, now: datetime) -> None:
    members = [pods[ordinal] for ordinal in wanted_ordinals(stateful_set) if ordinal in pods]
    outdated = [pod for pod in members if revision_label(pod) != update_revision and not is_being_deleted(pod)]
    waited_for = [pod for pod in members if pod not in outdated and not is_available(stateful_set, pod, now)]
    missing = replicas_of(stateful_set) - len(members)
    budget = max_unavailable(stateful_set) - len(waited_for) - missing
    partition = partition_of(stateful_set)
    for ordinal in reversed(wanted_ordinals(stateful_set)):
        if budget <= 0 or ordinal < partition:
            return
        pod = pods.get(ordinal)
        if pod in outdated and pod not in step.delete:
            step.delete.append(pod)
            budget -= 1
