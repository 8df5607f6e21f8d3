"""NodePorts: no two pods of one node with the same host port, protocol and (or any) address."""

from collections.abc import Iterator

from kaa.scheduler.cluster_events import ClusterEvent, helped_by
from kaa.scheduler.framework import Plugin, Rejection
from kaa.scheduler.pod_info import ANY_ADDRESS, PodInfo
from kaa.scheduler.snapshot import Snapshot


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    if not pod.ports:
        return
    rows = snapshot.none()
    for port in pod.ports:
        for row, addresses in snapshot.ports.get((port.protocol, port.port), {}).items():
            rows[row] |= port.address == ANY_ADDRESS or ANY_ADDRESS in addresses or port.address in addresses
    yield Rejection(rows, "node(s) didn't have free ports for the requested pod ports")


PLUGIN = Plugin(name="NodePorts", reject=reject, helped_by=helped_by(ClusterEvent.NODE_ADDED, ClusterEvent.POD_GONE))
