"""Node IPAM: every node gets a part of the cluster's pod address range, for ever.

Observed: the node without `spec.podCIDR`, and the ranges that the other nodes have. Wanted: the lowest free range of
the mask's size. One worker, and each write is seen before the next choice, so no range is given twice.
"""

from collections.abc import Iterator
from datetime import datetime
from ipaddress import IPv4Network

from kaa.api.objects import Object
from kaa.controllers.actions import Patch, RecordEvent
from kaa.controllers.controller import Actions, Controller, Index, Key, View

MASK_BITS = 24
POD_CIDR = "spec.podCIDR"


def controller(cluster_cidr: str, mask_bits: int = MASK_BITS) -> Controller:
    ranges = Ranges(IPv4Network(cluster_cidr), mask_bits)

    def reconcile(node: Object, view: View, now: datetime) -> Actions:
        if node["spec"].get("podCIDR"):
            return
        free = ranges.lowest_free(view)
        if free is None:
            message = f"Node {node['metadata']['name']} status is now: CIDRNotAvailable"
            yield RecordEvent(node, "Normal", "CIDRNotAvailable", message)
            return
        metadata = {"resourceVersion": node["metadata"]["resourceVersion"]}
        yield Patch(node, {"metadata": metadata, "spec": {"podCIDR": free, "podCIDRs": [free]}})

    def gone(key: Key, view: View, now: datetime) -> Actions:
        ranges.look_from_the_start()
        yield from ()

    indexes = (Index("Node", POD_CIDR, pod_cidr_of),)
    return Controller(name="node-ipam", kind="Node", reconcile=reconcile, gone=gone, indexes=indexes, workers=1)


def pod_cidr_of(node: Object) -> Iterator[str]:
    if cidr := node["spec"].get("podCIDR"):
        yield cidr


class Ranges:
    """The parts of a network, in order. All below `_first` are known to be taken, and not asked for again."""

    def __init__(self, network: IPv4Network, mask_bits: int) -> None:
        self._network = network
        self._mask_bits = mask_bits
        self._size = 2 ** (32 - mask_bits)
        self._count = network.num_addresses // self._size
        self._first = 0

    def lowest_free(self, view: View) -> str | None:
        """The first part that no node has; None when all are taken."""
        while self._first < self._count:
            part = f"{self._network.network_address + self._first * self._size}/{self._mask_bits}"
            if not view.by_index("Node", POD_CIDR, part):
                return part
            self._first += 1
        return None

    def look_from_the_start(self) -> None:
        """A node has gone, and some range with it."""
        self._first = 0
