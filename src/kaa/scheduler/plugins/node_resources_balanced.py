"""NodeResourcesBalancedAllocation: nodes whose cpu and memory would be used to a like share score higher.

A node that runs out of one while plenty of the other is left wastes the other.
"""

import numpy as np

from kaa.scheduler.derived import Rows, Scores
from kaa.scheduler.framework import MAX_SCORE, Plugin
from kaa.scheduler.plugins.node_resources_fit import shares_used
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot


def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
    cpu, memory = shares_used(pod, snapshot)
    balance: Scores = np.floor((1.0 - np.abs(cpu - memory) / 2) * MAX_SCORE)
    return balance


PLUGIN = Plugin(name="NodeResourcesBalancedAllocation", score=score)
