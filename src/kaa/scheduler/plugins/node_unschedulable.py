"""NodeUnschedulable: cordoned nodes take only pods that tolerate it, as the pods of a DaemonSet do."""

from collections.abc import Iterator

from kaa.scheduler.cluster_events import ClusterEvent, helped_by
from kaa.scheduler.framework import Plugin, Rejection
from kaa.scheduler.plugins.tolerations import is_tolerated
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot, Taint

TAINT = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    if not is_tolerated(TAINT, pod.tolerations):
        yield Rejection(snapshot.unschedulable, "node(s) were unschedulable", resolvable=False)


PLUGIN = Plugin(
    name="NodeUnschedulable",
    reject=reject,
    helped_by=helped_by(ClusterEvent.NODE_ADDED, ClusterEvent.NODE_TAINTS),
)
