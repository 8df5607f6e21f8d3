"""A broken line from how much of something is used, in percent, to a score: `RequestedToCapacityRatio`, volumes.

Between two points the score is a whole number, rounded toward the earlier point's; beyond the ends it stays as it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kaa.scheduler.derived import Scores
from kaa.scheduler.framework import MAX_SCORE

MAX_CUSTOM_SCORE = 10
"""Scores of points are from 0 to this."""

MAX_UTILIZATION = 100


class Shape:
    def __init__(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Points as in a configuration, `{utilization: 0..100, score: 0..10}`, the former rising."""
        factor = MAX_SCORE / MAX_CUSTOM_SCORE
        self._points = [(float(p.get("utilization", 0)), p.get("score", 0) * factor) for p in points]

    def __call__(self, utilization: Scores) -> Scores:
        (before, low), *rest = self._points
        scores: Scores = np.full(len(utilization), low)
        for at, high in rest:
            beyond = utilization > before
            slope = np.trunc((high - low) * (utilization - before) / (at - before))
            scores = np.where(beyond, np.where(utilization <= at, low + slope, high), scores)
            before, low = at, high
        return scores


def percent_used(requested: Scores, capacity: Scores) -> Scores:
    """Whole percents; all of it where there is none, or too little."""
    full = (capacity == 0) | (requested > capacity)
    used: Scores = np.floor(requested * MAX_UTILIZATION / np.maximum(capacity, 1))
    return np.where(full, float(MAX_UTILIZATION), used)


def rounded(scores: Scores) -> Scores:
    """To whole numbers, halves up, as upstream's scores are."""
    whole: Scores = np.floor(scores)
    return whole + (scores - whole >= 0.5)
