"""ImageLocality: nodes that hold the pod's images already score higher, by their size.

An image counts by the share of nodes that have it: one that is on a single node must not draw every pod there.
"""

import numpy as np

from kaa.scheduler.derived import Rows, Scores
from kaa.scheduler.framework import MAX_SCORE, Depends, Plugin
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot

MIB = 1024 * 1024
MIN_BYTES = 23 * MIB
MAX_BYTES_PER_IMAGE = 1000 * MIB
"""Between these two the score grows from 0 to 100, as upstream's."""


def normalized_name(image: str) -> str:
    """With the tag `latest` where there is none."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"


def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
    held: Scores = np.zeros(snapshot.size)
    nodes = max(1, int(np.count_nonzero(snapshot.present)))
    for image in pod.images:
        on = snapshot.images.get(normalized_name(image), {})
        share = len(on) / nodes
        for row, size_bytes in on.items():
            held[row] += int(size_bytes * share)
    if not held.any():
        return None
    most = MAX_BYTES_PER_IMAGE * len(pod.images)
    scores: Scores = np.floor((np.clip(held, MIN_BYTES, most) - MIN_BYTES) * MAX_SCORE / (most - MIN_BYTES))
    return scores


PLUGIN = Plugin(name="ImageLocality", score=score, depends=Depends.NODES)
