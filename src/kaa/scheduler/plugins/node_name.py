"""NodeName: a pod that names its node goes there or nowhere.

Such a pod is bound when it is created and never comes to the scheduler; the plugin guards that rule.
"""

from collections.abc import Iterator

from kaa.scheduler.cluster_events import ClusterEvent, helped_by
from kaa.scheduler.framework import Depends, Plugin, Rejection
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    if pod.node_name:
        others = ~snapshot.none()
        if (row := snapshot.row_of.get(pod.node_name)) is not None:
            others[row] = False
        yield Rejection(others, "node(s) didn't match the requested node name", resolvable=False)


PLUGIN = Plugin(name="NodeName", reject=reject, depends=Depends.NODES, helped_by=helped_by(ClusterEvent.NODE_ADDED))
