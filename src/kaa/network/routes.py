"""Routes to pods: each node's pod range by way of that node, and this node's own range made known.

All nodes share one link (the host's bridge), so a pod range is reached through its node's address without a tunnel.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Iterable, Mapping

from kaa.api.objects import Object, name_of
from kaa.client.informer import Change
from kaa.client.view import Informers
from kaa.network.links import LinkError, configure_async

log = logging.getLogger(__name__)


def routes_for(nodes: Iterable[Object], node_name: str) -> dict[str, str]:
    """Pod range -> next hop, of every other node that has both a range and an address."""
    routes = {}
    for node in nodes:
        pod_cidr, address = node["spec"].get("podCIDR"), internal_address(node)
        if name_of(node) != node_name and pod_cidr and address:
            routes[pod_cidr] = address
    return routes


def internal_address(node: Object) -> str:
    """The node's InternalIP (IPv4), "" if it has reported none."""
    for entry in (node.get("status") or {}).get("addresses") or ():
        if entry["type"] == "InternalIP" and ipaddress.ip_address(entry["address"]).version == 4:
            return str(entry["address"])
    return ""


def route_commands(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """`ip` commands from one set of routes to another."""
    gone = [f"route delete {cidr}" for cidr in sorted(old.keys() - new.keys())]
    return gone + [f"route replace {cidr} via {hop}" for cidr, hop in sorted(new.items()) if old.get(cidr) != hop]


class NodeRoutes:
    """Follows Nodes, and keeps this node's routes to the others' pods.

    `host_netns_path`, where the node is a namespace on a host of ours, is told the way to this node's pods too.
    """

    def __init__(self, informers: Informers, node_name: str, node_ip: str, host_netns_path: str) -> None:
        self._nodes = informers.informer("Node")
        self._node_name = node_name
        self._node_ip = node_ip
        self._host_netns_path = host_netns_path
        self._announced = ""
        self._routes: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._nodes.subscribe(self._note)

    def _note(self, change: Change) -> None:
        facts = [(n["spec"].get("podCIDR"), internal_address(n)) if n else None for n in (change.old, change.new)]
        if facts[0] != facts[1]:  # heartbeats change nothing here
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        await self._nodes.wait_synced()
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._sync()

    async def _sync(self) -> None:
        own = self._nodes.get(self._node_name)
        pod_cidr = own["spec"].get("podCIDR", "") if own else ""
        if pod_cidr and pod_cidr != self._announced:
            if self._host_netns_path:
                await configure_async([f"route replace {pod_cidr} via {self._node_ip}"], self._host_netns_path)
            self._announced = pod_cidr
        wanted = routes_for(self._nodes.list(), self._node_name)
        try:
            await configure_async(route_commands(self._routes, wanted))
        except LinkError as error:
            # A node may have gone with its address between the event and this; the next change comes with it.
            log.warning("routes to other nodes' pods: %s", error)
        self._routes = wanted
