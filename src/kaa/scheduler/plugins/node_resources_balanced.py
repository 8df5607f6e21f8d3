"""NodeResourcesBalancedAllocation: a pod should even out the shares of a node's resources that are in use.

A node that runs out of one while plenty of the other is left wastes the other. The *balance* of a node is 100 less the
standard deviation of its shares, in percent. The score is how much the pod betters it: 75 for not at all, 50 to 100.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kaa.scheduler.derived import Rows, Scores
from kaa.scheduler.framework import MAX_SCORE, Depends, Plugin, Score
from kaa.scheduler.plugins.resource_columns import Use, uses, weights_of
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot

NAME = "NodeResourcesBalancedAllocation"


def score_of(args: Mapping[str, Any]) -> Score:
    resources = weights_of(args.get("resources"))

    def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
        if not any(pod.requests.get(name) for name, _ in resources):
            # All such pods would go where the balance is worst.
            return None
        of_each = list(uses(pod, snapshot, resources, as_requested=True))
        there = [use.allocatable > 0 for use in of_each]
        gain = balance([_share(use, use.wanted) for use in of_each], there) - balance(
            [_share(use, 0) for use in of_each], there
        )
        scores: Scores = MAX_SCORE / 2 + np.trunc((MAX_SCORE / 2 + gain) / 2)
        return scores

    return score


def _share(use: Use, more: int) -> Scores:
    share: Scores = np.minimum((use.in_use + more) / np.maximum(use.allocatable, 1), 1.0)
    return share


def balance(shares: Sequence[Scores], there: Sequence[Rows]) -> Scores:
    """Of each node, over the resources that are there."""
    return np.trunc((1.0 - deviation(shares, there)) * MAX_SCORE)


def deviation(shares: Sequence[Scores], there: Sequence[Rows]) -> Scores:
    if len(shares) == 2:
        return np.where(there[0] & there[1], np.abs((shares[0] - shares[1]) / 2), 0.0)
    count = np.maximum(sum(rows.astype(np.int64) for rows in there), 1)
    mean = sum(np.where(rows, share, 0.0) for share, rows in zip(shares, there, strict=True)) / count
    squares = sum(np.where(rows, (share - mean) ** 2, 0.0) for share, rows in zip(shares, there, strict=True))
    spread: Scores = np.sqrt(squares / count)
    return spread


def make(args: Mapping[str, Any]) -> Plugin:
    """NodeResourcesBalancedAllocationArgs."""
    return Plugin(name=NAME, score=score_of(args), depends=Depends.NODE_AND_ITS_PODS)
