"""Preemption: a pod that no node takes makes room by taking less important pods off one."""

from collections.abc import Sequence

import numpy as np

from kaa.scheduler.framework import Nomination, Plugin
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot
from kaa.scheduler.trace import Trace


def preempt(pod: PodInfo, snapshot: Snapshot, plugins: Sequence[Plugin], trace: Trace) -> Nomination:
    """Nobody is preempted by this scheduler yet: where that could help, the message says so."""
    if pod.preemption_policy == "Never":
        return Nomination("preemption: not eligible due to preemptionPolicy=Never.")
    nodes = int(np.count_nonzero(snapshot.present))
    helpful = snapshot.none()
    for refusal in trace.refusals:
        if refusal.resolvable:
            helpful |= refusal.rows
    lower = snapshot.none()
    for other, row in snapshot.pods.values():
        if other.priority < pod.priority:
            lower[row] = True
    counts = {
        "No preemption victims found for incoming pod": int((helpful & ~lower).sum()),
        "Preemption is not helpful for scheduling": nodes - int(helpful.sum()),
        "Preemption is not supported": int((helpful & lower).sum()),
    }
    texts = sorted(f"{count} {text}" for text, count in counts.items() if count)
    return Nomination(f"preemption: 0/{nodes} nodes are available: {', '.join(texts)}.")
