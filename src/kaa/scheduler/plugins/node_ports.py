"""NodePorts: no two pods of one node with the same host port, protocol and (or any) address."""

from collections.abc import Iterator

from kaa.scheduler.cluster_events import ClusterEvent, Event, always
from kaa.scheduler.framework import Depends, Plugin, Rejection
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


def frees_a_port(pod: PodInfo, event: Event) -> bool:
    if event.pod is None:
        return True
    freed = {(port.protocol, port.port) for port in event.pod.ports}
    return any((port.protocol, port.port) in freed for port in pod.ports)


PLUGIN = Plugin(
    name="NodePorts",
    reject=reject,
    depends=Depends.NODE_AND_ITS_PODS,
    helped_by={ClusterEvent.NODE_ADDED: always, ClusterEvent.POD_GONE: frees_a_port},
)
