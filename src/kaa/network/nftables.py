"""A `Ruleset` as nft: one table, two verdict maps, one chain a target.

Layout of table `ip kaa`:

- map `services`: address . protocol . port -> goto the target's chain; map `node-ports`: protocol . port -> the same.
- chain `translate`, from prerouting and output (nat): looks both maps up. A target's chain marks what must be
  masqueraded, then does `dnat` to one of the backends at random.
- map `refused` (address . protocol . port) and set `refused-node-ports`, from a filter chain: frontends with
  nothing behind.
- chain `postrouting`: masquerades what is marked, and a pod that reached itself through a Service.

`script_for(old, new)` is the nft text that leads from one to the other: a whole table for the first, later only what
changed, so that an update costs what it changes. libnftables carries it out as one transaction in the kernel.
"""

import ctypes
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from kaa.network.service_rules import Backend, Frontend, Ruleset, Target

TABLE = "kaa"
MASQUERADE_MARK = 0x4000
"""The packet mark bit that asks for masquerading, as kube-proxy's default."""


TRANSPORTS = "meta l4proto { tcp, udp, sctp }"
"""nft wants the protocol known before a port can be translated."""


class RulesError(Exception):
    """The kernel or the parser refused the rules; the message is nft's."""


@dataclass(frozen=True, slots=True)
class NodeAddresses:
    """What the fixed part of the table depends on."""

    pod_cidr: str  # the cluster's, not only the node's
    service_cidr: str
    node_ports_on: tuple[str, ...]  # addresses of the node that answer node ports
    not_masqueraded: tuple[str, ...]  # destinations outside the pod range that see a pod's own address


def table_text(addresses: NodeAddresses) -> str:
    """The empty table: everything but the elements and the targets' chains. Replaces what was there."""
    node_addresses = ", ".join(addresses.node_ports_on)
    kept = ", ".join([addresses.pod_cidr, *addresses.not_masqueraded])
    return f"""
add table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
  map services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map node-ports {{ type inet_proto . inet_service : verdict; }}
  set refused {{ type ipv4_addr . inet_proto . inet_service; }}
  set refused-node-ports {{ type inet_proto . inet_service; }}
  set hairpin {{ type ipv4_addr . ipv4_addr; }}
  set node-addresses {{ type ipv4_addr; elements = {{ {node_addresses} }} }}
  chain translate {{
    ip daddr . meta l4proto . th dport vmap @services
    ip daddr @node-addresses meta l4proto . th dport vmap @node-ports
  }}
  chain prerouting {{ type nat hook prerouting priority dstnat; jump translate; }}
  chain output {{ type nat hook output priority -100; jump translate; }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    meta mark & {MASQUERADE_MARK:#x} == {MASQUERADE_MARK:#x} masquerade
    ct status dnat ip saddr . ip daddr @hairpin masquerade
    ip saddr {addresses.pod_cidr} ip daddr != {{ {kept} }} masquerade
  }}
  chain refuse {{
    ip daddr . meta l4proto . th dport @refused reject
    ip daddr @node-addresses meta l4proto . th dport @refused-node-ports reject
    ip daddr {addresses.service_cidr} reject comment "a service address that no rule took"
  }}
  chain filter-input {{ type filter hook input priority -1; ct state new jump refuse; }}
  chain filter-forward {{ type filter hook forward priority -1; ct state new jump refuse; }}
  chain filter-output {{ type filter hook output priority -1; ct state new jump refuse; }}
}}
"""


def script_for(old: Ruleset, new: Ruleset, pod_cidr: str) -> str:
    """nft commands that change a table holding `old` so that it holds `new`; "" if nothing differs.

    Order matters within the transaction: chains are added before elements that lead to them, and removed after.
    """
    lines: list[str] = []
    old_chains = {t.chain: t for t in old.frontends.values() if t.backends or t.drop}
    new_chains = {t.chain: t for t in new.frontends.values() if t.backends or t.drop}
    removed = {f: t for f, t in old.frontends.items() if new.frontends.get(f) != t}
    added = {f: t for f, t in new.frontends.items() if old.frontends.get(f) != t}
    for chain in sorted(new_chains.keys() - old_chains.keys()):
        lines += _chain_lines(chain, new_chains[chain], pod_cidr)
    lines += [
        f"delete element ip {TABLE} {_element(f, t, key_only=True)}" for f, t in sorted(removed.items(), key=_key)
    ]
    lines += [f"add element ip {TABLE} {_element(f, t)}" for f, t in sorted(added.items(), key=_key)]
    lines += _hairpin("delete", old.local_backends - new.local_backends)
    lines += _hairpin("add", new.local_backends - old.local_backends)
    for chain in sorted(old_chains.keys() - new_chains.keys()):
        lines += [f"flush chain ip {TABLE} {chain}", f"delete chain ip {TABLE} {chain}"]
        lines += [f"delete set ip {TABLE} {_affinity_set(chain, b)}" for b in _affine(old_chains[chain])]
    return "\n".join(lines)


def _key(item: tuple[Frontend, Target]) -> Frontend:
    return item[0]


def _element(frontend: Frontend, target: Target, *, key_only: bool = False) -> str:
    name = (
        ("services" if frontend.address else "node-ports")
        if target.backends or target.drop
        else ("refused" if frontend.address else "refused-node-ports")
    )
    parts = [frontend.address] if frontend.address else []
    key = " . ".join([*parts, frontend.protocol, str(frontend.port)])
    verdict = f" : goto {target.chain}" if (target.backends or target.drop) and not key_only else ""
    return f"{name} {{ {key}{verdict} }}"


def _hairpin(verb: str, addresses: Iterable[str]) -> list[str]:
    elements = ", ".join(f"{a} . {a}" for a in sorted(addresses))
    return [f"{verb} element ip {TABLE} hairpin {{ {elements} }}"] if elements else []


def _affine(target: Target) -> tuple[Backend, ...]:
    return target.backends if target.affinity_seconds else ()


def _affinity_set(chain: str, backend: Backend) -> str:
    return f"{chain}-{backend.address}-{backend.port}".replace(".", "-")


def _chain_lines(chain: str, target: Target, pod_cidr: str) -> list[str]:
    rule = f"add rule ip {TABLE} {chain}"
    lines = [f'add chain ip {TABLE} {chain} {{ comment "{target.service}"; }}']
    if target.sources:
        lines.append(f"{rule} ip saddr != {{ {', '.join(target.sources)} }} drop")
    if not target.backends:
        return [*lines, f"{rule} drop"]
    mark = f"meta mark set meta mark | {MASQUERADE_MARK:#x}"
    if target.masquerade == "always":
        lines.append(f"{rule} {mark}")
    elif target.masquerade == "outside":
        lines.append(f"{rule} ip saddr != {pod_cidr} {mark}")
    if target.affinity_seconds:
        return lines + _affinity_lines(chain, target)
    if len(target.backends) == 1:
        backend = target.backends[0]
        return [*lines, f"{rule} {TRANSPORTS} dnat to {backend.address}:{backend.port}"]
    choices = ", ".join(f"{i} : {b.address} . {b.port}" for i, b in enumerate(target.backends))
    lines.append(f"{rule} {TRANSPORTS} dnat ip to numgen random mod {len(target.backends)} map {{ {choices} }}")
    return lines


def _affinity_lines(chain: str, target: Target) -> list[str]:
    """Each backend remembers its clients in a set; a client that one remembers goes back there."""
    rule = f"add rule ip {TABLE} {chain}"
    memory = f"{{ type ipv4_addr; flags dynamic,timeout; timeout {target.affinity_seconds}s; }}"
    lines = [f"add set ip {TABLE} {_affinity_set(chain, b)} {memory}" for b in target.backends]

    def towards(backend: Backend, condition: str) -> str:
        remember = f"update @{_affinity_set(chain, backend)} {{ ip saddr }}"
        return f"{rule} {condition} {remember} {TRANSPORTS} dnat to {backend.address}:{backend.port}"

    lines += [towards(b, f"ip saddr @{_affinity_set(chain, b)}") for b in target.backends]
    count = len(target.backends)
    for index, backend in enumerate(target.backends):
        # Of the backends left, each takes its share; the last takes all.
        lines.append(towards(backend, f"numgen random mod {count - index} 0" if index < count - 1 else ""))
    return lines


class NFTables:
    """libnftables, in this process: a change costs milliseconds instead of an `nft` process's thirty.

    Acts on the network namespace of the calling thread. One script runs at a time.
    """

    def __init__(self) -> None:
        self._lib = ctypes.CDLL("libnftables.so.1")
        self._lock = threading.Lock()  # its owner may be cancelled, and close it, while a thread still runs a script
        self._lib.nft_ctx_new.restype = ctypes.c_void_p
        self._lib.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        for function in ("nft_run_cmd_from_buffer", "nft_ctx_get_error_buffer", "nft_ctx_free"):
            getattr(self._lib, function).argtypes = [ctypes.c_void_p, ctypes.c_char_p][
                : 2 if function == "nft_run_cmd_from_buffer" else 1
            ]
        for function in ("nft_ctx_buffer_error", "nft_ctx_buffer_output"):
            getattr(self._lib, function).argtypes = [ctypes.c_void_p]
        self._context = self._lib.nft_ctx_new(0)
        self._lib.nft_ctx_buffer_error(self._context)
        self._lib.nft_ctx_buffer_output(self._context)

    def run(self, script: str) -> None:
        """Carries out all of the script or nothing. Raises RulesError. Blocks for the kernel's answer."""
        with self._lock:
            if self._context is None:
                raise RulesError("closed")
            if self._lib.nft_run_cmd_from_buffer(self._context, script.encode()):
                message = self._lib.nft_ctx_get_error_buffer(self._context)
                raise RulesError(message.decode(errors="replace").strip())

    def close(self) -> None:
        """Waits for a script that runs in another thread. Twice is once."""
        with self._lock:
            if self._context is not None:
                self._lib.nft_ctx_free(self._context)
                self._context = None
