"""A node's pod network: addresses from its pod range, and a routed veth for each sandbox.

Model: the node's namespace has the range's first address (the *gateway*) on `lo`; each pod has one address of the
range on `eth0` as a /32, the gateway as its only neighbour and default route; the node has a route to that address
through the veth's other end. Nothing is bridged, so a reply between two pods of a node cannot pass by the node's
address translation, and a pod can reach itself through a Service.

What is given to a sandbox (its address, a line for each host port) is kept as a file named by its id, so that it
survives the agent; the files are the whole allocation table. Invariant: no two files name one address. The range is
kept too: an agent that comes back connects pods at once, and its node does not turn unready for a moment.
"""

import asyncio
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from kaa.cri.cri import Message, PodNetworkError
from kaa.network.host_ports import HostPorts, Mapping, mappings_of
from kaa.network.links import configure_async

POD_INTERFACE = "eth0"
MTU = 1500


class NoAddressLeft(PodNetworkError):
    """The node's pod range is used up."""


def first_free(network: ipaddress.IPv4Network, taken: Iterable[str], after: str | None) -> str:
    """The next free host address of the range behind `after`, round and round, without the gateway's.

    Going round rather than taking the lowest keeps an address that was just given back from being used at once, while
    others may still remember its old owner. Raises NoAddressLeft.
    """
    used = {int(ipaddress.IPv4Address(address)) for address in taken}
    low, high = int(network.network_address) + 2, int(network.broadcast_address) - 1
    start = int(ipaddress.IPv4Address(after)) + 1 if after else low
    for candidate in [*range(max(start, low), high + 1), *range(low, max(start, low))]:
        if candidate not in used:
            return str(ipaddress.IPv4Address(candidate))
    raise NoAddressLeft(f"no free address in the node's pod range {network}")


def gateway_of(network: ipaddress.IPv4Network) -> str:
    return str(network.network_address + 1)


def veth_of(sandbox_id: str) -> str:
    """The node's end of a sandbox's veth; link names are at most 15 characters."""
    return f"veth{sandbox_id[:11]}"


class RoutedPodNetwork:
    """The `PodNetwork` that the runtime is given (its promises are in `kaa.cri.cri`).

    `set_range` comes when the node's podCIDR is known; until then `ready` says so and `attach` waits for it.
    """

    def __init__(self, state_dir: Path) -> None:
        self._sandboxes = state_dir / "sandboxes"
        self._sandboxes.mkdir(parents=True, exist_ok=True, mode=0o700)
        # By sandbox id. A file that is empty was cut off by a crash before its address was used.
        texts = {path.name: text.splitlines() for path in self._sandboxes.iterdir() if (text := path.read_text())}
        self._addresses = {sandbox_id: lines[0] for sandbox_id, lines in texts.items()}
        self._host_ports = HostPorts({lines[0]: [Mapping.parse(m) for m in lines[1:]] for lines in texts.values()})
        self._range_file = state_dir / "range"
        self._range: ipaddress.IPv4Network | None = None
        self._range_known = asyncio.Event()
        self._last: str | None = None

    def ready(self) -> str:
        return "" if self._range else "the node has no pod range yet (spec.podCIDR)"

    async def restore(self) -> None:
        """Takes the range and host ports of an earlier agent into use; `set_range` may still correct the range."""
        if self._range_file.exists() and (kept := self._range_file.read_text()):
            await self.set_range(kept)
        await self._host_ports.restore()

    async def set_range(self, pod_cidr: str) -> None:
        """Takes the node's pod range into use: puts the gateway's address in place. The same range twice is once."""
        network = ipaddress.IPv4Network(pod_cidr)
        if network == self._range:
            return
        await configure_async([f"address replace {gateway_of(network)}/32 dev lo"])
        self._range_file.write_text(pod_cidr)
        self._range = network
        self._range_known.set()

    async def attach(self, sandbox_id: str, netns_path: str, config: Message) -> list[str]:
        await self._range_known.wait()
        assert self._range is not None
        if sandbox_id in self._addresses:
            return [self._addresses[sandbox_id]]
        mappings = mappings_of(config)
        address = self._allocate(sandbox_id, self._range, mappings)
        try:
            await self._connect(sandbox_id, netns_path, address, gateway_of(self._range))
            if mappings:
                await self._host_ports.add(mappings, address, veth_of(sandbox_id))
        except BaseException:
            await self.detach(sandbox_id)
            raise
        return [address]

    def _allocate(self, sandbox_id: str, network: ipaddress.IPv4Network, mappings: Iterable[Mapping]) -> str:
        address = first_free(network, self._addresses.values(), self._last)
        (self._sandboxes / sandbox_id).write_text("\n".join([address, *map(str, mappings)]))
        self._addresses[sandbox_id] = self._last = address
        return address

    async def _connect(self, sandbox_id: str, netns_path: str, address: str, gateway: str) -> None:
        veth = veth_of(sandbox_id)
        # The peer is made inside the pod's namespace at once: it is never seen under a passing name in the node's.
        await configure_async(
            [
                f"link add {veth} mtu {MTU} type veth peer name {POD_INTERFACE} mtu {MTU} netns {netns_path}",
                f"link set {veth} up",
                f"route replace {address}/32 dev {veth}",
            ]
        )
        await configure_async(
            [
                "link set lo up",
                f"link set {POD_INTERFACE} up",
                f"address add {address}/32 dev {POD_INTERFACE}",
                f"route add {gateway} dev {POD_INTERFACE} scope link",
                f"route add default via {gateway} dev {POD_INTERFACE}",
            ],
            netns_path,
        )

    async def detach(self, sandbox_id: str) -> None:
        # Deleting the node's end deletes the peer and the route with it.
        await configure_async([f"link delete {veth_of(sandbox_id)}"], force=True)
        if address := self._addresses.pop(sandbox_id, ""):
            await self._host_ports.remove(address)
        (self._sandboxes / sandbox_id).unlink(missing_ok=True)
