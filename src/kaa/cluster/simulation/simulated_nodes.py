"""A simulated node: the real kubelet, over a runtime that has no containers.

Probes, restarts, init containers, hooks, volumes, status and eviction are the kubelet's own code. Only what it meets is
made up: the runtime (`cri/simulated.py`), the machine's measures, and the way to containers, on which nothing listens.
Files (volumes, logs) are in a temporary directory that goes with the node; nothing is mounted, nobody is connected to.

    world.add(simulated_node("node-1", "172.16.0.1", images))
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from kaa.api.objects import Object
from kaa.client.rest import Client
from kaa.cluster.simulation.component import Component, user_named
from kaa.cluster.simulation.images import Images
from kaa.cluster.simulation.kubelet_doors import KubeletDoors
from kaa.cri.cri import RuntimeService
from kaa.cri.simulated import SimulatedRuntime
from kaa.kubelet.handlers import PROBE_FIELDS, Handlers, Result, Target, run_exec
from kaa.kubelet.loop import Kubelet
from kaa.kubelet.node_status import MachineFacts
from kaa.kubelet.options import KubeletOptions
from kaa.kubelet.pod_actions import ProbeKind
from kaa.kubelet.volumes.volume import Mounts
from kaa.lib.clock import Clock

FIRST_ADDRESS = IPv4Address("172.16.0.1")
GIB = 1024**3

READINESS: Object = {"periodSeconds": 1, "failureThreshold": 1}
"""The probe of a container that has none and whose behaviour has its own idea of readiness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSize:
    """What a simulated node has to give."""

    cpus: int = 8
    memory_bytes: int = 32 * GIB
    disk_bytes: int = 100 * GIB
    pods: int = 110


def node_address(number: int) -> str:
    """An address for the node of that number, from 0; nobody has it, or needs it."""
    return str(FIRST_ADDRESS + number)


def simulated_node(
    name: str,
    address: str,
    images: Images,
    *,
    size: NodeSize | None = None,
    labels: Mapping[str, str] | None = None,
    taints: tuple[Object, ...] = (),
    pod_cidr: str = "",
    doors: KubeletDoors | None = None,
    port: int = 10250,
) -> Component:
    """`pod_cidr` "": the node is Ready once the control plane has given it a range. `doors`: where to find its kubelet.

    A node that is crashed and restarted has lost all containers, as a machine that was switched off and on.
    """
    size = size if size is not None else NodeSize()

    async def run(client: Client, clock: Clock) -> None:
        with tempfile.TemporaryDirectory(prefix=f"kaa-{name}-") as directory:
            root = Path(directory)
            runtime = SimulatedRuntime(clock, images.behaviour_of, pod_cidr=pod_cidr)
            options = KubeletOptions(
                node_name=name,
                node_ip=address,
                root_dir=root / "kubelet",
                port=port,
                max_pods=size.pods,
                node_labels={"type": "simulated", **(labels or {})},
                node_taints=taints,
                resolv_conf=root / "resolv.conf",
                hosts_file=root / "hosts",
            )
            kubelet = Kubelet(
                client, runtime, runtime.images, clock, options, SimulatedHost(name, size, root / "files")
            )
            try:
                if doors is None:
                    await kubelet.run()
                else:
                    async with doors.opened(name, kubelet):
                        await kubelet.run()
            finally:
                await runtime.close()

    return Component(f"node/{name}", user_named(f"system:node:{name}", "system:nodes"), run)


class NoMounts:
    """Memory file systems are plain directories."""

    def tmpfs(self, target: Path, size_bytes: int) -> None:
        return None

    def detach_below(self, directory: Path) -> None:
        return None


class SimulatedHost:
    """A machine of which nothing is real. `files` is where hostPath volumes go."""

    mounts: Mounts = NoMounts()

    def __init__(self, name: str, size: NodeSize, files: Path) -> None:
        self.files = files
        self._facts = MachineFacts(
            cpus=size.cpus,
            memory_bytes=size.memory_bytes,
            memory_available_bytes=size.memory_bytes,
            disk_bytes=size.disk_bytes,
            disk_available_bytes=size.disk_bytes,
            pids_max=32768,
            pids_used=100,
            kernel="simulated",
            os_image="Simulated Linux",
            architecture="amd64",
            machine_id=name,
            boot_id=name,
        )

    def facts(self, root: Path) -> MachineFacts:
        return self._facts

    def handlers(self, runtime: RuntimeService) -> Handlers:
        assert isinstance(runtime, SimulatedRuntime)
        return SimulatedHandlers(runtime)


class SimulatedHandlers:
    """Probes and hooks are answered by the container's behaviour; a command's answer counts beside it."""

    def __init__(self, runtime: SimulatedRuntime) -> None:
        self._runtime = runtime

    def probe(self, pod: Object, container: Object, kind: ProbeKind) -> Object | None:
        own: Object | None = container.get(PROBE_FIELDS[kind])
        if own is None and kind == "readiness" and self._decides_readiness(pod, container):
            return READINESS
        return own

    def _decides_readiness(self, pod: Object, container: Object) -> bool:
        annotations = pod["metadata"].get("annotations") or {}
        return self._runtime.behaviour_of(container["image"], container["name"], annotations).decides_readiness

    async def run(self, purpose: str, target: Target, spec: Object, timeout_seconds: float) -> Result:
        if not self._runtime.passes(target.container_id, purpose):
            return Result("failure", refusal(spec, target))
        if "exec" in spec:
            return await run_exec(self._runtime, target, spec["exec"] or {}, timeout_seconds)
        return Result("success")


def refusal(spec: Object, target: Target) -> str:
    """What a probe of that kind says of a container that does not pass."""
    texts = {
        "httpGet": "HTTP probe failed with statuscode: 503",
        "tcpSocket": f"dial tcp {target.pod_ip}: connect: connection refused",
        "grpc": 'service unhealthy (responded with "NOT_SERVING")',
    }
    return next((text for field, text in texts.items() if field in spec), "")
