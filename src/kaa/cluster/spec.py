"""What a cluster is on this machine: its name, index, port and nodes, and every name and address that follows.

Kept as `~/.kaa/<name>/cluster.json`. The *index* is the smallest free on the machine; addresses and link names come
from it, so two clusters never share one.
"""

import fcntl
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

CLUSTER_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
MAX_CLUSTERS = 64
"""Indexes 0..63: above that the pod ranges would run into the service ranges."""
MAX_NODES = 64
MAX_SIMULATED_NODES = 10_000
MAX_SIMULATED_KUBELETS = 200
"""Simulated nodes with a kubelet of their own: one costs a few megabytes and three watches."""
KUBELETS_BY_DEFAULT = 50
"""Up to so many simulated nodes have one unless it is said; more are light."""
NODES_IN_A_SMALL_RANGE = 250
"""More nodes than that need a pod range that real nodes could not have."""
FIRST_API_PORT = 6443
CLUSTER_DOMAIN = "cluster.local"


class ClusterError(Exception):
    """Something a person has to put right; the message says what and how."""


def home() -> Path:
    """Where clusters live: `~/.kaa`, or `$KAA_HOME`."""
    return Path(os.environ.get("KAA_HOME") or Path.home() / ".kaa")


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node. `number` counts from 1."""

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    name: str
    index: int
    api_port: int
    node_count: int = 1
    isolated: bool = False  # nodes have no route out of the machine
    registry_mirrors: Mapping[str, str] = field(
        default_factory=dict
    )  # a registry's domain -> the URL that is asked first
    simulated_nodes: int = 0
    simulated_kubelets: bool = False  # each simulated node has the real kubelet loop

    @property
    def directory(self) -> Path:
        return home() / self.name

    @property
    def data_dir(self) -> Path:
        """The API server's: `pki/` and `store/`."""
        return self.directory

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def run(self) -> Path:
        """What runs now: process ids. Gone with the processes, so never trusted without a look at /proc."""
        return self.directory / "run"

    @property
    def scheduler_socket(self) -> Path:
        """Where the scheduler explains its decisions."""
        return self.run / "scheduler.sock"

    @property
    def scheduler_config(self) -> Path:
        """A KubeSchedulerConfiguration, if the cluster was given one."""
        return self.directory / "scheduler.yaml"

    @property
    def context(self) -> str:
        """The name of the context in `~/.kube/config`."""
        return f"kaa-{self.name}"

    @property
    def nodes(self) -> tuple[NodeSpec, ...]:
        return tuple(NodeSpec(f"{self.name}-node-{n}", n) for n in range(1, self.node_count + 1))

    @property
    def simulated_names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}-simulated-{n}" for n in range(1, self.simulated_nodes + 1))

    @property
    def node_names(self) -> tuple[str, ...]:
        return (*(node.name for node in self.nodes), *self.simulated_names)

    @property
    def simulated_directory(self) -> Path:
        """The simulated nodes' certificates."""
        return self.directory / "simulated"

    @property
    def bridge(self) -> str:
        return f"kaa{self.index}"

    @property
    def nft_table(self) -> str:
        return f"kaa{self.index}"

    @property
    def network(self) -> str:
        return f"172.30.{self.index}.0/24"

    @property
    def host_address(self) -> str:
        """The host's address on the nodes' network: where nodes find the API server."""
        return f"172.30.{self.index}.1"

    @property
    def pod_cidr(self) -> str:
        if len(self.node_names) > NODES_IN_A_SMALL_RANGE:
            return "100.64.0.0/10"  # no real node is there, so no packet is sent and no route is made
        return f"10.{244 - self.index}.0.0/16"

    @property
    def service_cidr(self) -> str:
        return f"10.{96 + self.index}.0.0/16"

    @property
    def first_service_address(self) -> str:
        """The `kubernetes` Service's."""
        return f"10.{96 + self.index}.0.1"

    @property
    def dns_address(self) -> str:
        return f"10.{96 + self.index}.0.10"

    @property
    def cgroup(self) -> str:
        return f"/kaa/{self.name}"

    @property
    def server_on_host(self) -> str:
        return f"https://127.0.0.1:{self.api_port}"

    @property
    def server_on_network(self) -> str:
        return f"https://{self.host_address}:{self.api_port}"

    def node_address(self, node: NodeSpec) -> str:
        return f"172.30.{self.index}.{node.number + 1}"

    def node_directory(self, node: NodeSpec) -> Path:
        return self.directory / "nodes" / node.name

    def node_volumes(self, node_name: str) -> Path:
        """Where local-path volumes of the node are: the same path inside the node and outside."""
        return self.directory / "nodes" / node_name / "volumes"

    def node_link(self, node: NodeSpec) -> str:
        """The host's end of the node's veth."""
        return f"{self.bridge}n{node.number}"

    def agent_socket(self, node: NodeSpec) -> Path:
        """Where the node's agent takes images (`image_service.py`)."""
        return self.run / f"{node.name}.sock"

    def node_cgroup(self, node: NodeSpec) -> str:
        return f"{self.cgroup}/{node.name}"

    def save(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(self.directory / "cluster.json", json.dumps(asdict(self), indent=2) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Replaces a small file whole or not at all; only root reads it."""
    temporary = path.with_name(f".{path.name}.new")
    with open(temporary, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load(name: str) -> ClusterSpec:
    """The named cluster. Raises ClusterError if there is none."""
    try:
        return ClusterSpec(**json.loads((home() / name / "cluster.json").read_text()))
    except FileNotFoundError:
        known = ", ".join(spec.name for spec in load_all())
        hint = f"clusters here: {known}" if known else f"make it with: kaa up --name {name}"
        raise ClusterError(f'no cluster "{name}" ({hint})') from None


def load_all() -> list[ClusterSpec]:
    files = sorted(home().glob("*/cluster.json"))
    return [ClusterSpec(**json.loads(path.read_text())) for path in files]


@contextmanager
def locked() -> Iterator[None]:
    """One `up` or `down` at a time on this machine (per home), so that no two take one index or port."""
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(home() / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def create(
    name: str,
    *,
    api_port: int | None,
    node_count: int,
    isolated: bool,
    registry_mirrors: Mapping[str, str] | None = None,
    simulated_nodes: int = 0,
    simulated_kubelets: bool | None = None,
) -> ClusterSpec:
    """A new cluster's spec, saved. Raises ClusterError for a bad name, a port in use, or too many clusters or nodes.

    `simulated_kubelets` None: as long as they are few.
    """
    if not CLUSTER_NAME.fullmatch(name):
        raise ClusterError(f'"{name}" is not a cluster name: up to 40 lower-case letters, digits and "-"')
    if simulated_kubelets is None:
        simulated_kubelets = simulated_nodes <= KUBELETS_BY_DEFAULT
    check_node_counts(node_count, simulated_nodes, simulated_kubelets)
    others = load_all()
    links = {path.name for path in Path("/sys/class/net").iterdir()}
    taken = {spec.index for spec in others}
    index = next((i for i in range(MAX_CLUSTERS) if i not in taken and f"kaa{i}" not in links), None)
    if index is None:
        raise ClusterError(f"this machine has {MAX_CLUSTERS} clusters already; remove one with: kaa down --name NAME")
    port = api_port or _free_port({s.api_port for s in others})
    spec = ClusterSpec(
        name, index, port, node_count, isolated, registry_mirrors or {}, simulated_nodes, simulated_kubelets
    )
    if api_port:
        check_port(spec)
    spec.save()
    return spec


def check_node_counts(node_count: int, simulated_nodes: int, simulated_kubelets: bool) -> None:
    """Raises ClusterError."""
    if not 0 <= node_count <= MAX_NODES or not 0 <= simulated_nodes <= MAX_SIMULATED_NODES:
        raise ClusterError(f"a cluster has up to {MAX_NODES} nodes and up to {MAX_SIMULATED_NODES} simulated ones")
    if node_count + simulated_nodes < 1:
        raise ClusterError("a cluster has at least one node, be it a simulated one")
    if node_count and node_count + simulated_nodes > NODES_IN_A_SMALL_RANGE:
        raise ClusterError(
            f"more than {NODES_IN_A_SMALL_RANGE} nodes are more than have pod ranges of their own on this machine: "
            "leave the real ones out with --nodes 0"
        )
    if simulated_kubelets and simulated_nodes > MAX_SIMULATED_KUBELETS:
        raise ClusterError(
            f"more than {MAX_SIMULATED_KUBELETS} simulated nodes cannot have a kubelet each: "
            "leave --simulated-nodes-mode out, or say light"
        )


def check_port(spec: ClusterSpec) -> None:
    """Raises ClusterError when somebody else listens on the API server's port."""
    if not _is_free(spec.api_port):
        raise ClusterError(
            f"port {spec.api_port} on 127.0.0.1 is in use: see who has it with `ss -ltnp 'sport = :{spec.api_port}'`, "
            "or choose another with --api-port"
        )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port(taken: set[int]) -> int:
    candidates = range(FIRST_API_PORT, FIRST_API_PORT + 1000)
    port = next((p for p in candidates if p not in taken and _is_free(p)), None)
    if port is None:
        raise ClusterError(f"no free port from {FIRST_API_PORT} on; give one with --api-port")
    return port
