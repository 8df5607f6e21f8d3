"""hostPort: a port of the node that leads to one pod, as packet rules in a table of their own.

Model: a *mapping* leads from a protocol and port, on one address of the node or on all of them, to a port of a pod.
Two mappings never share address, protocol and port: neither the scheduler nor the kubelet would let them.

Layout of table `ip kaa-host-ports`:

- map `bound`: address . protocol . port -> pod address . port; map `unbound`: protocol . port -> the same, for every
  address of the node. Looked up from prerouting and output (nat), the bound ones first.
- chain `postrouting`: a pod that reached itself (set `hairpin`), and a process of the node that came by way of
  127.0.0.1, must be answered through the node.
- chain `guard`: a pod that answers 127.0.0.1 has an interface on which the node takes loopback addresses seriously.
  What comes from outside to such an address is dropped: what listens only there stays out of reach.
"""

import asyncio
import ipaddress
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass
from pathlib import Path

from kaa.cri.cri import Message, PodNetworkError
from kaa.network.nftables import TRANSPORTS, NFTables, RulesError

TABLE = "kaa-host-ports"

EMPTY_TABLE = f"""
add table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
  map bound {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
  map unbound {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
  set hairpin {{ type ipv4_addr . ipv4_addr; }}
  chain translate {{
    {TRANSPORTS} dnat ip to ip daddr . meta l4proto . th dport map @bound
    fib daddr type local {TRANSPORTS} dnat ip to meta l4proto . th dport map @unbound
  }}
  chain prerouting {{ type nat hook prerouting priority dstnat; jump translate; }}
  chain output {{ type nat hook output priority -100; jump translate; }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ct status dnat ip saddr 127.0.0.0/8 masquerade
    ct status dnat ip saddr . ip daddr @hairpin masquerade
  }}
  chain guard {{
    type filter hook prerouting priority raw;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
  }}
}}
"""


@dataclass(frozen=True, slots=True, order=True)
class Mapping:
    """`host_ip` is "" for all addresses of the node."""

    protocol: str  # tcp, udp, sctp
    host_ip: str
    host_port: int
    port: int

    @classmethod
    def parse(cls, line: str) -> "Mapping":
        protocol, host_ip, host_port, port = line.split()
        return cls(protocol, "" if host_ip == "*" else host_ip, int(host_port), int(port))

    def __str__(self) -> str:
        return f"{self.protocol} {self.host_ip or '*'} {self.host_port} {self.port}"

    @property
    def answers_loopback(self) -> bool:
        return not self.host_ip or ipaddress.ip_address(self.host_ip).is_loopback


def mappings_of(config: Message) -> tuple[Mapping, ...]:
    """What a PodSandboxConfig asks for. Ports without a host port ask for nothing."""
    return tuple(
        Mapping(
            m.get("protocol", "TCP").lower(),
            "" if m.get("host_ip", "") == "0.0.0.0" else m.get("host_ip", ""),
            m["host_port"],
            m["container_port"],
        )
        for m in config.get("port_mappings") or ()
        if m.get("host_port") and ":" not in m.get("host_ip", "")
    )


def element_lines(verb: str, mappings: Iterable[Mapping], address: str) -> list[str]:
    """nft's `add` or `delete` of a pod's mappings."""
    lines = [f"{verb} element ip {TABLE} hairpin {{ {address} . {address} }}"]
    for m in mappings:
        name, key = ("bound", [m.host_ip]) if m.host_ip else ("unbound", [])
        words = " . ".join([*key, m.protocol, str(m.host_port)])
        target = f" : {address} . {m.port}" if verb == "add" else ""
        lines.append(f"{verb} element ip {TABLE} {name} {{ {words}{target} }}")
    return lines


class HostPorts:
    """The rules of one node, made of what its pods have: `known`, their mappings by pod address.

    The first change lays the whole table, so that it does not matter what an earlier process has left.
    """

    def __init__(self, known: Table[str, Sequence[Mapping]]) -> None:
        self._known = {address: tuple(mappings) for address, mappings in known.items() if mappings}
        self._nft: NFTables | None = None  # most nodes never need it

    async def restore(self) -> None:
        """The rules of the pods that there are already."""
        if self._known:
            await self._run([])

    async def add(self, mappings: Sequence[Mapping], address: str, interface: str) -> None:
        """`interface` is the node's way to the pod. Raises PodNetworkError, if a port is taken among others."""
        if any(mapping.answers_loopback for mapping in mappings):
            _take_loopback_seriously(interface)
        await self._run(element_lines("add", mappings, address))
        self._known[address] = tuple(mappings)

    async def remove(self, address: str) -> None:
        """Without mappings nothing happens."""
        if mappings := self._known.pop(address, ()):
            await self._run(element_lines("delete", mappings, address))

    async def _run(self, lines: Sequence[str]) -> None:
        if self._nft is None:
            self._nft = NFTables()
            known = [line for address, own in self._known.items() for line in element_lines("add", own, address)]
            lines = [EMPTY_TABLE, *known, *lines]
        try:
            await asyncio.to_thread(self._nft.run, "\n".join(lines))
        except RulesError as error:
            raise PodNetworkError(f"host ports: {error}") from error


def _take_loopback_seriously(interface: str) -> None:
    """An answer to 127.0.0.1 that comes in by this interface is no longer dropped as impossible."""
    try:
        Path(f"/proc/sys/net/ipv4/conf/{interface}/route_localnet").write_text("1")
    except OSError as error:
        raise PodNetworkError(f"host ports on 127.0.0.1: {error}") from error
