"""DefaultPreemption: a pod that no node takes makes room by taking less important pods off one; see `preemption.py`."""

from collections.abc import Mapping
from typing import Any

from kaa.scheduler.disruption import KIND
from kaa.scheduler.framework import Plugin
from kaa.scheduler.preemption import Search, post_filter


def make(args: Mapping[str, Any]) -> Plugin:
    """DefaultPreemptionArgs."""
    default = Search()
    search = Search(
        least_percent=args.get("minCandidateNodesPercentage", default.least_percent),
        least=args.get("minCandidateNodesAbsolute", default.least),
    )
    return Plugin(name="DefaultPreemption", post_filter=post_filter(search), reads=(KIND,))
