"""How many replicas one metric asks for. Pure arithmetic, in milli-units.

The ratio of what is measured to what is aimed at, times the pods that were measured. Pods without a measurement, and
pods that are only starting, count against any change: as if they used the most that may be expected of them (what is
aimed at; where that is a part of what they ask for, all of it) when the ratio says fewer, and nothing when it says
more; if that turns the direction around, all stays as it is. So does a ratio within the tolerance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

from kaa.api.objects import Object, is_being_deleted, name_of
from kaa.api.pod_resources import quantities
from kaa.controllers.metrics_source import MetricsMissing
from kaa.controllers.pods import is_ready, is_terminal, phase_of, ready_condition
from kaa.lib.clock import parse_rfc3339

TOLERANCE = 0.1
"""Ratios this close to 1 change nothing, as upstream's."""

CPU_START_SECONDS = 300.0
READINESS_DELAY_SECONDS = 30.0
"""A pod's CPU is not taken for its usual one before it has been ready, or this long after its start."""


@dataclass(slots=True)
class Groups:
    """The target's pods, by what their measurement is worth."""

    measured: list[str] = field(default_factory=list)
    unready: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def group(pods: Sequence[Object], usage: Mapping[str, int], now: datetime, *, is_cpu: bool) -> Groups:
    groups = Groups()
    for pod in pods:
        if is_being_deleted(pod) or phase_of(pod) == "Failed":
            continue
        if phase_of(pod) == "Pending" or (is_cpu and name_of(pod) in usage and is_starting(pod, now)):
            groups.unready.append(name_of(pod))
        elif name_of(pod) in usage:
            groups.measured.append(name_of(pod))
        else:
            groups.missing.append(name_of(pod))
    return groups


def is_starting(pod: Object, now: datetime) -> bool:
    ready, started = ready_condition(pod), pod.get("status", {}).get("startTime")
    if ready is None or started is None:
        return True
    begun = parse_rfc3339(started)
    if begun + timedelta(seconds=CPU_START_SECONDS) > now:
        return not is_ready(pod)
    changed = parse_rfc3339(ready["lastTransitionTime"])
    return not is_ready(pod) and begun + timedelta(seconds=READINESS_DELAY_SECONDS) > changed


def by_pods(
    current: int,
    usage: Mapping[str, int],
    targets: Mapping[str, int],
    most: Mapping[str, int],
    groups: Groups,
    tolerances: tuple[float, float],
) -> int:
    """`targets` says of each pod what it is to use, `most` what one that was not measured may be using.

    `tolerances` are those of growing and shrinking. Raises MetricsMissing if there is nothing to go by.
    """
    if not targets:
        raise MetricsMissing("no pods returned by selector while calculating replica count")
    if not groups.measured:
        raise MetricsMissing("did not receive metrics for targeted pods (pods might be unready)")
    ratio = _ratio({name: usage[name] for name in groups.measured}, targets)
    starting = groups.unready if ratio > 1 else []
    if not starting and not groups.missing:
        return current if is_close(ratio, tolerances) else ceil(ratio * len(groups.measured))
    assumed = {name: usage[name] for name in groups.measured}
    assumed |= {name: most[name] if ratio < 1 else 0 for name in groups.missing}
    assumed |= dict.fromkeys(starting, 0)
    new_ratio = _ratio(assumed, targets)
    if is_close(new_ratio, tolerances) or (ratio < 1) != (new_ratio < 1):
        return current
    wanted = ceil(new_ratio * len(assumed))
    return current if (wanted > current) == (new_ratio < 1) else wanted


def _ratio(usage: Mapping[str, int], targets: Mapping[str, int]) -> float:
    aim = sum(targets[name] for name in usage)
    if not aim:
        raise MetricsMissing("no metrics returned matched known pods")
    return sum(usage.values()) / aim


def is_close(ratio: float, tolerances: tuple[float, float]) -> bool:
    return 1 - tolerances[1] <= ratio <= 1 + tolerances[0]


def by_value(current: int, ready: int, value: int, target: int, tolerances: tuple[float, float]) -> int:
    """One number for all: it is to come to the target by as many more pods as it is too high."""
    ratio = value / target
    return current if is_close(ratio, tolerances) else ceil(ratio * ready)


def by_average(current: int, value: int, target: int, tolerances: tuple[float, float]) -> int:
    """One number that the replicas share."""
    ratio = value / (target * current) if current else float("inf")
    return current if is_close(ratio, tolerances) else ceil(value / target)


def requests_of(pods: Sequence[Object], resource: str, container: str) -> dict[str, int]:
    """By pod, what it asks for. Raises MetricsMissing for a container that does not say."""
    found = {}
    for pod in pods:
        spec = pod["spec"]
        sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
        containers = [c for c in (*spec["containers"], *sidecars) if container in ("", c["name"])]
        amounts = [quantities((c.get("resources") or {}).get("requests")).get(resource) for c in containers]
        for c, amount in zip(containers, amounts, strict=True):
            if amount is None:
                raise MetricsMissing(f"missing request for {resource} in container {c['name']} of Pod {name_of(pod)}")
        found[name_of(pod)] = sum(amount.scaled(1000) for amount in amounts if amount is not None)
    return found


def ready_count(pods: Sequence[Object]) -> int:
    return sum(is_ready(pod) and not is_terminal(pod) for pod in pods)
