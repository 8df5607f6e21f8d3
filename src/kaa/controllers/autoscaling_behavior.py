"""How fast an autoscaler may follow its metrics: stabilization windows, and policies for how much in how long.

Growing takes the least that was recommended within its window, shrinking the most: a short peak or dip is not followed.
A policy allows so many pods, or so many percent of what there was at the beginning of its period; of several the one
that allows most counts, unless `selectPolicy` says Min or Disabled.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil, floor

from kaa.api.objects import Object

DOWN_WINDOW_SECONDS = 300
"""Where the autoscaler sets none, as upstream's."""

DEFAULT_UP = {
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ]
}
DEFAULT_DOWN = {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}

FREE_FACTOR, FREE_MINIMUM = 2, 4
"""How far one without any behavior may grow at once, as upstream's: it is not quite what behaviors have by default."""

REMEMBERED = 1000
"""Recommendations and changes of one autoscaler; an hour's window, the longest, has 240 of each."""


@dataclass(slots=True)
class History:
    """Of one autoscaler, since this process began."""

    recommendations: deque[tuple[datetime, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    changes: deque[tuple[datetime, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))  # of replicas

    def changed(self, since: datetime) -> tuple[int, int]:
        """(pods added, pods removed) since then."""
        recent = [change for moment, change in self.changes if moment > since]
        return sum(c for c in recent if c > 0), -sum(c for c in recent if c < 0)


@dataclass(frozen=True, slots=True)
class Limited:
    """The size that is allowed, and the conditions AbleToScale and ScalingLimited that say how it came about."""

    replicas: int
    able: tuple[str, str]  # reason, message
    limit: tuple[str, str] | None  # None: the desired size is within the range


def rules_of(autoscaler: Object) -> tuple[Object, Object]:
    """(growing, shrinking)"""
    behavior = autoscaler["spec"].get("behavior") or {}
    return DEFAULT_UP | (behavior.get("scaleUp") or {}), DEFAULT_DOWN | (behavior.get("scaleDown") or {})


def normalize(autoscaler: Object, current: int, desired: int, history: History, now: datetime) -> Limited:
    """Notes the recommendation, and returns what of it may be followed now."""
    stable, able = stabilize(autoscaler, current, desired, history, now)
    low, high = bounds(autoscaler)
    up, down = rules_of(autoscaler)
    if stable > current:
        has_behavior = autoscaler["spec"].get("behavior") is not None
        allowed = max(current, grown(up, current, history, now)) if has_behavior else grown_freely(current)
        if stable > min(allowed, high):
            reason = ("ScaleUpLimit", TOO_FAST_UP) if allowed < high else ("TooManyReplicas", TOO_MANY)
            return Limited(min(allowed, high), able, reason)
    elif stable < current:
        allowed = min(current, shrunk(down, current, history, now))
        if stable < max(allowed, low):
            reason = ("ScaleDownLimit", TOO_FAST_DOWN) if allowed > low else ("TooFewReplicas", TOO_FEW)
            return Limited(max(allowed, low), able, reason)
    return Limited(stable, able, None)


TOO_FAST_UP = "the desired replica count is increasing faster than the maximum scale rate"
TOO_FAST_DOWN = "the desired replica count is decreasing faster than the maximum scale rate"
TOO_MANY = "the desired replica count is more than the maximum replica count"
TOO_FEW = "the desired replica count is less than the minimum replica count"
STABILIZED = {
    "up": (
        "ScaleUpStabilized",
        "recent recommendations were lower than current one, applying the lowest recent recommendation",
    ),
    "down": (
        "ScaleDownStabilized",
        "recent recommendations were higher than current one, applying the highest recent recommendation",
    ),
}
READY = ("ReadyForNewScale", "recommended size matches current size")


def bounds(autoscaler: Object) -> tuple[int, int]:
    low: int | None = autoscaler["spec"].get("minReplicas")
    high: int = autoscaler["spec"]["maxReplicas"]
    return 1 if low is None else low, high


def stabilize(
    autoscaler: Object, current: int, desired: int, history: History, now: datetime
) -> tuple[int, tuple[str, str]]:
    if not history.recommendations:  # a new process knows of no peak, and must not shrink for that
        history.recommendations.append((now, current))
    up, down = rules_of(autoscaler)
    windows = up.get("stabilizationWindowSeconds") or 0, down.get("stabilizationWindowSeconds")
    lowest = min([desired, *_recent(history, windows[0], now)])
    highest = max([desired, *_recent(history, DOWN_WINDOW_SECONDS if windows[1] is None else windows[1], now)])
    history.recommendations.append((now, desired))
    stable = min(max(current, lowest), highest)
    if stable == desired:
        return stable, READY
    return stable, STABILIZED["up" if desired > current else "down"]


def _recent(history: History, seconds: float, now: datetime) -> Iterable[int]:
    since = now - timedelta(seconds=seconds)
    return (replicas for moment, replicas in history.recommendations if moment > since)


def grown_freely(current: int) -> int:
    """The most replicas at each look of an autoscaler that says nothing of its behavior."""
    return max(FREE_FACTOR * current, FREE_MINIMUM)


def grown(rules: Object, current: int, history: History, now: datetime) -> int:
    """The most replicas that the policies allow now."""
    if rules.get("selectPolicy") == "Disabled":
        return current
    allowed = []
    for policy in rules["policies"]:
        added, removed = history.changed(now - timedelta(seconds=policy["periodSeconds"]))
        start = current - added + removed
        more = policy["value"] if policy["type"] == "Pods" else ceil(start * policy["value"] / 100)
        allowed.append(start + more)
    chosen: int = min(allowed) if rules.get("selectPolicy") == "Min" else max(allowed)
    return chosen


def shrunk(rules: Object, current: int, history: History, now: datetime) -> int:
    """The fewest replicas that the policies allow now."""
    if rules.get("selectPolicy") == "Disabled":
        return current
    allowed = []
    for policy in rules["policies"]:
        added, removed = history.changed(now - timedelta(seconds=policy["periodSeconds"]))
        start = current - added + removed
        rest = start - policy["value"] if policy["type"] == "Pods" else floor(start * (1 - policy["value"] / 100))
        allowed.append(rest)
    chosen: int = max(allowed) if rules.get("selectPolicy") == "Min" else min(allowed)
    return chosen
