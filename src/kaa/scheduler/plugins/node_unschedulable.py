"""NodeUnschedulable: cordoned nodes take only pods that tolerate it, as the pods of a DaemonSet do."""

from collections.abc import Iterator

from kaa.scheduler.cluster_events import ClusterEvent, Event
from kaa.scheduler.framework import Depends, Plugin, Rejection
from kaa.scheduler.plugins.tolerations import is_tolerated
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot, Taint

TAINT = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    if not is_tolerated(TAINT, pod.tolerations):
        yield Rejection(snapshot.unschedulable, "node(s) were unschedulable", resolvable=False)


def is_open_now(pod: PodInfo, event: Event) -> bool:
    return event.new is None or not event.new["spec"].get("unschedulable") or is_tolerated(TAINT, pod.tolerations)


PLUGIN = Plugin(
    name="NodeUnschedulable",
    reject=reject,
    depends=Depends.NODES,
    helped_by=dict.fromkeys((ClusterEvent.NODE_ADDED, ClusterEvent.NODE_TAINTS), is_open_now),
)
