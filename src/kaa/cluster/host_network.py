"""The host's part of a cluster's network: a bridge for its nodes, routes, and the way out.

Everything carries the cluster's index in its name, so that `remove` finds it without a record of it. The one thing of
the host's own that is changed, `net.ipv4.ip_forward`, is written down first and put back by the last cluster that
needed it.
"""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from kaa.cluster.spec import ClusterError, ClusterSpec, NodeSpec, home, load_all, write_atomically
from kaa.network.links import configure

IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


def create(spec: ClusterSpec) -> None:
    """The bridge with the host's address, and the routes that keep pod and service packets on this machine. Idempotent.

    An `unreachable` route takes what no better route takes: without it such a packet would leave by the default route.
    """
    commands = [] if _has_bridge(spec) else [f"link add {spec.bridge} type bridge"]
    configure(
        [
            *commands,
            f"address replace {spec.host_address}/24 dev {spec.bridge}",
            f"link set {spec.bridge} up",
            *[f"route replace unreachable {ours}" for ours in _ranges(spec)],
        ]
    )
    if spec.nodes and not spec.isolated:
        _open_way_out(spec)


def connect(spec: ClusterSpec, node: NodeSpec, netns_path: str) -> None:
    """Gives the node's namespace its `eth0` on the bridge, addresses and routes. Idempotent."""
    link, address = spec.node_link(node), spec.node_address(node)
    if not Path(f"/sys/class/net/{link}").exists():
        configure([f"link add {link} type veth peer name eth0 netns {netns_path}"])
    configure([f"link set {link} master {spec.bridge} up"])
    default = [] if spec.isolated else [f"route replace default via {spec.host_address}"]
    configure(
        [
            "link set lo up",
            f"address replace {address}/24 dev eth0",
            "link set eth0 up",
            f"route replace unreachable {spec.pod_cidr}",
            # A local connection needs a route before nftables can translate its service address; nothing follows it.
            f"route replace {spec.service_cidr} via {spec.host_address}",
            *default,
        ],
        netns_path,
    )


def remove(spec: ClusterSpec) -> None:
    """Takes all of it back. Twice is once."""
    configure(
        [
            *[f"link delete {link}" for link in _links(spec)],
            f"link delete {spec.bridge}",
            *[f"route delete unreachable {ours}" for ours in _ranges(spec)],
        ],
        force=True,
    )
    if spec.nodes and not spec.isolated:
        _close_way_out(spec)


def _ranges(spec: ClusterSpec) -> tuple[str, ...]:
    """Where packets of the cluster's go. Simulated nodes send none."""
    return (spec.pod_cidr, spec.service_cidr) if spec.nodes else ()


def _has_bridge(spec: ClusterSpec) -> bool:
    return Path(f"/sys/class/net/{spec.bridge}").exists()


def _links(spec: ClusterSpec) -> Iterable[str]:
    return (path.name for path in Path("/sys/class/net").glob(f"{spec.bridge}n*"))


def _open_way_out(spec: ClusterSpec) -> None:
    _nft(
        f"""
        add table ip {spec.nft_table}
        delete table ip {spec.nft_table}
        table ip {spec.nft_table} {{
          chain postrouting {{
            type nat hook postrouting priority srcnat;
            ip saddr {spec.network} oifname != "{spec.bridge}" masquerade
          }}
        }}
        """
    )
    if not _saved().exists():
        write_atomically(_saved(), json.dumps({"net.ipv4.ip_forward": IP_FORWARD.read_text().strip()}))
    if IP_FORWARD.read_text().strip() != "1":
        IP_FORWARD.write_text("1")


def _close_way_out(spec: ClusterSpec) -> None:
    _nft(f"add table ip {spec.nft_table}\ndelete table ip {spec.nft_table}")
    others = (other for other in load_all() if other.name != spec.name and not other.isolated)
    if not any(_has_bridge(other) for other in others) and _saved().exists():
        before = json.loads(_saved().read_text())["net.ipv4.ip_forward"]
        if IP_FORWARD.read_text().strip() != before:
            IP_FORWARD.write_text(before)
        _saved().unlink()


def _saved() -> Path:
    """The host's settings as they were before the first cluster changed them."""
    return home() / "host-settings.json"


def _nft(script: str) -> None:
    run = subprocess.run(["nft", "-f", "-"], input=script.encode(), capture_output=True, check=False)
    if run.returncode:
        raise ClusterError(f"nftables refused the host's rules: {run.stderr.decode(errors='replace').strip()}")
