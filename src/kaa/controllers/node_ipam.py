"""Node IPAM: every node gets a part of the cluster's pod address range, for ever.

Observed: the node without `spec.podCIDR`, and the ranges that the other nodes have. Wanted: the lowest free range of
the mask's size. A range that has been chosen is set aside until its node has it, so none is given twice.
"""

from collections.abc import Iterator
from datetime import datetime
from ipaddress import IPv4Network

from kaa.api.objects import Object, name_of
from kaa.controllers.actions import Patch, RecordEvent
from kaa.controllers.controller import Actions, Controller, Index, Key, View

MASK_BITS = 24
POD_CIDR = "spec.podCIDR"


def controller(cluster_cidr: str, mask_bits: int = MASK_BITS) -> Controller:
    ranges = Ranges(IPv4Network(cluster_cidr), mask_bits)

    def reconcile(node: Object, view: View, now: datetime) -> Actions:
        name = name_of(node)
        if node["spec"].get("podCIDR"):
            ranges.give_back(name)
            return
        free = ranges.set_aside(name, view)
        if free is None:
            message = f"Node {name} status is now: CIDRNotAvailable"
            yield RecordEvent(node, "Normal", "CIDRNotAvailable", message)
            return
        metadata = {"resourceVersion": node["metadata"]["resourceVersion"]}
        yield Patch(node, {"metadata": metadata, "spec": {"podCIDR": free, "podCIDRs": [free]}})

    def gone(key: Key, view: View, now: datetime) -> Actions:
        ranges.give_back(key[1])
        ranges.look_from_the_start()
        yield from ()

    indexes = (Index("Node", POD_CIDR, pod_cidr_of),)
    return Controller(
        name="node-ipam", kind="Node", reconcile=reconcile, gone=gone, indexes=indexes, component="cidrAllocator"
    )


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
        self._set_aside: dict[str, str] = {}  # by node

    def set_aside(self, node: str, view: View) -> str | None:
        """The node's, or else the first that no node has or is about to have; None when all are taken."""
        if node in self._set_aside:
            return self._set_aside[node]
        promised = set(self._set_aside.values())
        while self._first < self._count:
            part = f"{self._network.network_address + self._first * self._size}/{self._mask_bits}"
            if part not in promised and not view.by_index("Node", POD_CIDR, part):
                self._set_aside[node] = part
                return part
            self._first += 1
        return None

    def give_back(self, node: str) -> None:
        """The node has a range now, or needs none any more. Twice is once."""
        self._set_aside.pop(node, None)

    def look_from_the_start(self) -> None:
        """A node has gone, and some range with it."""
        self._first = 0
