"""Node IPAM: every node gets a part of the cluster's pod address range, for ever.

Observed: the node without `spec.podCIDR`, and the ranges that the other nodes have. Wanted: the lowest free range of
the mask's size. One worker, and each write is seen before the next choice, so no range is given twice.
"""

from datetime import datetime
from ipaddress import IPv4Network

from kaa.api.objects import Object
from kaa.controllers.actions import Patch, RecordEvent
from kaa.controllers.controller import Actions, Controller, View

MASK_BITS = 24


def controller(cluster_cidr: str, mask_bits: int = MASK_BITS) -> Controller:
    cluster = IPv4Network(cluster_cidr)

    def reconcile(node: Object, view: View, now: datetime) -> Actions:
        if node["spec"].get("podCIDR"):
            return
        taken = {other["spec"]["podCIDR"] for other in view.list("Node") if other["spec"].get("podCIDR")}
        free = next((str(part) for part in cluster.subnets(new_prefix=mask_bits) if str(part) not in taken), None)
        if free is None:
            message = f"Node {node['metadata']['name']} status is now: CIDRNotAvailable"
            yield RecordEvent(node, "Normal", "CIDRNotAvailable", message)
            return
        metadata = {"resourceVersion": node["metadata"]["resourceVersion"]}
        yield Patch(node, {"metadata": metadata, "spec": {"podCIDR": free, "podCIDRs": [free]}})

    return Controller(name="node-ipam", kind="Node", reconcile=reconcile, workers=1)
