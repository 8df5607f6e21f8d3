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
from typing import TYPE_CHECKING

from kaa.api.objects import Object
from kaa.client.rest import Client
from kaa.cluster.simulation.component import Component, user_named
from kaa.cluster.simulation.images import Images
from kaa.cluster.simulation.kubelet_doors import KubeletDoors
from kaa.cri.cri import Message, RuntimeService
from kaa.cri.simulated import SimulatedRuntime
from kaa.cri.simulated_behaviour import Behaviour
from kaa.kubelet.handlers import PROBE_FIELDS, Handlers, Result, Target, run_exec
from kaa.kubelet.loop import Kubelet
from kaa.kubelet.node_status import MachineFacts
from kaa.kubelet.options import PORT, KubeletOptions
from kaa.kubelet.pod_actions import ProbeKind
from kaa.kubelet.volumes.volume import Mounts
from kaa.lib.clock import Clock

if TYPE_CHECKING:
    from aiohttp import web

FIRST_ADDRESS = IPv4Address("172.16.0.1")
GIB = 1024**3

LABELS = {"type": "simulated"}
"""By which simulated nodes are told from others."""

NO_POD: Object = {"metadata": {}, "spec": {}}
"""Stands for a pod that the kubelet does not know (any more)."""

READINESS: Object = {"periodSeconds": 1, "failureThreshold": 1}
"""The probe of a container that has none and whose behaviour has its own idea of readiness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSize:
    """What a simulated node has to give."""

    cpus: int = 32
    memory_bytes: int = 256 * GIB
    disk_bytes: int = 1024 * GIB
    pods: int = 110


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a kubelet's HTTP API listens, and who it says it is."""

    port: int
    certificate: Path
    key: Path
    client_ca: Path


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
    serving: Serving | None = None,
) -> Component:
    """`pod_cidr` "": the node is Ready once the control plane has given it a range.

    The API server finds the kubelet through `doors` in the same process, or where it is `serving`. A node that is
    crashed and restarted has lost all containers, as a machine that was switched off and on.
    """
    size = size if size is not None else NodeSize()

    async def run(client: Client, clock: Clock) -> None:
        with tempfile.TemporaryDirectory(prefix=f"kaa-{name}-") as directory:
            root = Path(directory)

            def behaviour_of(image: str, container: str, sandbox_config: Message) -> Behaviour:
                worker = kubelet.workers.get((sandbox_config.get("metadata") or {}).get("uid", ""))
                return images.behaviour_of(worker.pod if worker else NO_POD, container, image)

            runtime = SimulatedRuntime(clock, behaviour_of, pod_cidr=pod_cidr)
            options = kubelet_options(name, address, root, size, labels or {}, taints, serving)
            host = SimulatedHost(name, size, root / "files", images)
            kubelet = Kubelet(client, runtime, runtime.images, clock, options, host)
            try:
                if doors is None:
                    await kubelet.run()
                else:
                    async with doors.opened([name], lambda: kubelet_application(kubelet)):
                        await kubelet.run()
            finally:
                await runtime.close()

    return Component(f"node/{name}", user_named(f"system:node:{name}", "system:nodes"), run)


def kubelet_options(
    name: str,
    address: str,
    root: Path,
    size: NodeSize,
    labels: Mapping[str, str],
    taints: tuple[Object, ...],
    serving: Serving | None = None,
) -> KubeletOptions:
    """What the kubelet of a simulated node is told; all files are below `root`."""
    return KubeletOptions(
        node_name=name,
        node_ip=address,
        root_dir=root / "kubelet",
        serving_cert=serving.certificate if serving is not None else None,
        serving_key=serving.key if serving is not None else None,
        client_ca=serving.client_ca if serving is not None else None,
        port=serving.port if serving is not None else PORT,
        max_pods=size.pods,
        node_labels={**LABELS, **labels},
        node_taints=taints,
        resolv_conf=root / "resolv.conf",
        hosts_file=root / "hosts",
    )


def kubelet_application(kubelet: Kubelet) -> "web.Application":
    from kaa.kubelet.server import application  # most clusters never ask their kubelets anything

    return application(kubelet, authenticated=False)


class NoMounts:
    """Memory file systems are plain directories."""

    def tmpfs(self, target: Path, size_bytes: int) -> None:
        return None

    def detach_below(self, directory: Path) -> None:
        return None


class SimulatedHost:
    """A machine of which nothing is real. `files` is where hostPath volumes go."""

    mounts: Mounts = NoMounts()

    def __init__(self, name: str, size: NodeSize, files: Path, images: Images) -> None:
        self.files = files
        self._images = images
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
        return SimulatedHandlers(runtime, self._images)


class SimulatedHandlers:
    """Probes and hooks are answered by the container's behaviour; a command's answer counts beside it."""

    def __init__(self, runtime: SimulatedRuntime, images: Images) -> None:
        self._runtime = runtime
        self._images = images

    def probe(self, pod: Object, container: Object, kind: ProbeKind) -> Object | None:
        own: Object | None = container.get(PROBE_FIELDS[kind])
        if own is None and kind == "readiness":
            behaviour = self._images.behaviour_of(pod, container["name"], container["image"])
            return READINESS if behaviour.decides_readiness else None
        return own

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
