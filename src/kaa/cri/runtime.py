"""The container runtime: CRI's RuntimeService over sandboxes, containers and images.

    runtime, images = open_runtime(RuntimeConfig(root, run), network, clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(runtime.run())         # until cancelled; the containers go on

What lives in `root_directory` survives everything; what is in `run_directory` (a tmpfs of the node) describes things
in the kernel and goes with them. Opening a runtime over directories of an earlier one finds everything again.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kaa
from kaa.cri import execution, stats
from kaa.cri.bundle import RuncError, RunPaths, missing_programs
from kaa.cri.container_record import RUNNING, ContainerRecord
from kaa.cri.containers import Container, Containers
from kaa.cri.cri import Message, PodNetwork, RuntimeFault
from kaa.cri.execution import Command
from kaa.cri.images import Images
from kaa.cri.linux import cgroups
from kaa.cri.linux.host import read_facts
from kaa.cri.manifests import this_architecture
from kaa.cri.port_forward import pod_in
from kaa.cri.records import Records
from kaa.cri.remotecommand import Session
from kaa.cri.sandboxes import Sandboxes
from kaa.cri.snapshots import Snapshots
from kaa.cri.streaming import StreamingServer
from kaa.lib.clock import Clock

log = logging.getLogger(__name__)

EVENT_LIMIT = 1000
"""How many events one slow listener may be behind; older ones are dropped, and the kubelet lists anyway."""


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """`host_netns_path`: the network namespace images are pulled through; "" is our own."""

    root_directory: Path
    run_directory: Path = Path("/run/kaa")
    host_netns_path: str = ""
    registry_mirrors: Mapping[str, str] = field(default_factory=dict)
    cgroup_root: Path = Path("/sys/fs/cgroup")
    stream_address: str = "127.0.0.1"


SetPodRange = Callable[[str], Awaitable[None]]


def open_runtime(
    config: RuntimeConfig, network: PodNetwork, clock: Clock, *, set_pod_range: SetPodRange | None = None
) -> tuple["Runtime", Images]:
    """The runtime and image service over these directories. Called within the event loop.

    `set_pod_range` is for a runtime that learns the node's pod range only through CRI (UpdateRuntimeConfig).
    """
    paths = RunPaths(config.run_directory)
    paths.create()
    snapshots = Snapshots(config.root_directory / "snapshots", paths.links)
    images = Images(
        config.root_directory / "images",
        snapshots,
        clock,
        registry_mirrors=config.registry_mirrors,
        host_netns_path=config.host_netns_path,
    )
    return Runtime(config, paths, snapshots, images, network, clock, set_pod_range), images


class Runtime:
    """CRI's RuntimeService."""

    def __init__(
        self,
        config: RuntimeConfig,
        paths: RunPaths,
        snapshots: Snapshots,
        images: Images,
        network: PodNetwork,
        clock: Clock,
        set_pod_range: SetPodRange | None = None,
    ) -> None:
        self._config = config
        self._set_pod_range = set_pod_range
        self._snapshots = snapshots
        self._network = network
        self._clock = clock
        self._cgroups = cgroups.detect(config.cgroup_root)
        self._streaming = StreamingServer(config.stream_address, clock)
        self._listeners: list[tuple[deque[Message], asyncio.Event]] = []
        host = read_facts(this_architecture()[0], unified_cgroups=self._cgroups.unified)
        if "SYS_RESOURCE" not in host.capabilities:
            log.warning("CAP_SYS_RESOURCE is missing: oom_score_adj stays at or above %d", host.lowest_oom_score_adj)
        root = config.root_directory
        self._sandboxes = Sandboxes(Records(root / "sandboxes"), paths, network, self._cgroups, clock)
        self._containers = Containers(
            Records(root / "containers"), paths, snapshots, images, self._cgroups, host, clock, self._publish
        )

    async def run(self) -> None:
        """Serves streams, and takes away what ended containers leave, until cancelled. The containers go on."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._streaming.run())
                tasks.create_task(self._clean_up())
        finally:
            self.close()

    async def _clean_up(self) -> None:
        await self._containers.sweep()
        self._sandboxes.sweep()
        while True:
            container = await self._containers.to_reap.get()
            async with container.lock:
                try:
                    await self._containers.reap(container)
                except (OSError, RuncError) as e:  # removing the container tries again, and reports
                    log.warning("container %s: not cleaned up yet: %s", container.record.id, e)

    def close(self) -> None:
        """Stops watching; nothing else changes. Another instance may be opened afterwards."""
        self._containers.close()
        self._sandboxes.close()

    # The runtime itself.

    async def version(self, request: Message) -> Message:
        return {
            "version": "0.1.0",
            "runtime_name": "kaa",
            "runtime_version": kaa.__version__,
            "runtime_api_version": "v1",
        }

    async def status(self, request: Message) -> Message:
        missing = missing_programs()
        network = self._network.ready()
        return {
            "status": {
                "conditions": [
                    condition("RuntimeReady", f"not installed: {', '.join(missing)}" if missing else ""),
                    condition("NetworkReady", network),
                ]
            },
            "runtime_handlers": [{"name": "", "features": {"recursive_read_only_mounts": True}}],
            "features": {"supplemental_groups_policy": True},
        }

    async def update_runtime_config(self, request: Message) -> Message:
        pod_cidr = ((request.get("runtime_config") or {}).get("network_config") or {}).get("pod_cidr", "")
        if pod_cidr and self._set_pod_range is not None:
            await self._set_pod_range(pod_cidr)
        return {}

    # Sandboxes.

    async def run_pod_sandbox(self, request: Message) -> Message:
        sandbox = await self._sandboxes.run(request.get("config") or {}, request.get("runtime_handler", ""))
        return {"pod_sandbox_id": sandbox.id}

    async def stop_pod_sandbox(self, request: Message) -> Message:
        sandbox_id = self._known_sandbox(request.get("pod_sandbox_id", ""))
        if sandbox_id:
            await self._for_each_container(sandbox_id, remove=False)
            await self._sandboxes.stop(sandbox_id)
        return {}

    async def remove_pod_sandbox(self, request: Message) -> Message:
        sandbox_id = self._known_sandbox(request.get("pod_sandbox_id", ""))
        if sandbox_id:
            await self._for_each_container(sandbox_id, remove=True)
            await self._sandboxes.remove(sandbox_id)
        return {}

    def _known_sandbox(self, sandbox_id: str) -> str:
        try:
            return self._sandboxes.find(sandbox_id).id
        except RuntimeFault:
            return ""

    async def _for_each_container(self, sandbox_id: str, *, remove: bool) -> None:
        ids = [container.record.id for container in self._containers.of_sandbox(sandbox_id)]
        work = [self._containers.remove(i) if remove else self._containers.stop(i, 0) for i in ids]
        for outcome in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def pod_sandbox_status(self, request: Message) -> Message:
        sandbox = self._sandboxes.find(request.get("pod_sandbox_id", ""))
        return {
            "status": sandbox.status(),
            "containers_statuses": [c.record.status() for c in self._containers.of_sandbox(sandbox.id)],
            "timestamp": self._now(),
        }

    async def list_pod_sandbox(self, request: Message) -> Message:
        wanted = request.get("filter") or {}
        summaries = (sandbox.summary() for sandbox in self._sandboxes.by_id.values())
        return {"items": [s for s in summaries if matches(s, wanted)]}

    async def update_pod_sandbox_resources(self, request: Message) -> Message:
        self._sandboxes.update_resources(request.get("pod_sandbox_id", ""), request.get("resources") or {})
        return {}

    # Containers.

    async def create_container(self, request: Message) -> Message:
        sandbox = self._sandboxes.find(request.get("pod_sandbox_id", ""))
        if not sandbox.ready:
            raise RuntimeFault("Unknown", f"sandbox {sandbox.id} is not running")
        container = await self._containers.create(sandbox, self._sandboxes.view(sandbox), request.get("config") or {})
        return {"container_id": container.record.id}

    async def start_container(self, request: Message) -> Message:
        await self._containers.start(self._containers.find(request.get("container_id", "")).record.id)
        return {}

    async def stop_container(self, request: Message) -> Message:
        with contextlib.suppress(KeyError):
            await self._containers.stop(self._known_container(request), float(request.get("timeout", 0)))
        return {}

    async def remove_container(self, request: Message) -> Message:
        with contextlib.suppress(KeyError):
            await self._containers.remove(self._known_container(request))
        return {}

    def _known_container(self, request: Message) -> str:
        """Raises KeyError for a container that is gone."""
        try:
            return self._containers.find(request.get("container_id", "")).record.id
        except RuntimeFault as e:
            raise KeyError(e.message) from e

    async def list_containers(self, request: Message) -> Message:
        wanted = request.get("filter") or {}
        summaries = (container.record.summary() for container in self._containers.by_id.values())
        return {"containers": [s for s in summaries if matches(s, wanted)]}

    async def container_status(self, request: Message) -> Message:
        container = self._containers.find(request.get("container_id", ""))
        answer: Message = {"status": container.record.status()}
        if request.get("verbose"):
            answer["info"] = {"pid": str(container.record.pid), "cgroup": container.record.cgroup_path}
        return answer

    async def update_container_resources(self, request: Message) -> Message:
        await self._containers.update_resources(request.get("container_id", ""), request.get("linux") or {})
        return {}

    async def reopen_container_log(self, request: Message) -> Message:
        container = self._containers.running(request.get("container_id", ""))
        try:
            container.bundle.reopen_log()
        except OSError as e:
            raise RuntimeFault("Unknown", f"failed to reopen the log: {e}") from e
        return {}

    # Commands and connections.

    async def exec_sync(self, request: Message) -> Message:
        container = self._containers.running(request.get("container_id", ""))
        timeout_seconds = float(request.get("timeout", 0))
        stdout, stderr, code = await execution.run_to_end(
            container, request.get("cmd") or (), timeout_seconds, self._clock.uuid()
        )
        return {"stdout": stdout, "stderr": stderr, "exit_code": code}

    async def exec(self, request: Message) -> Message:
        container = self._containers.running(request.get("container_id", ""))
        command = Command(
            tuple(request.get("cmd") or ()),
            terminal=bool(request.get("tty")),
            stdin=bool(request.get("stdin")),
            stdout=bool(request.get("stdout")),
            stderr=bool(request.get("stderr")) and not request.get("tty"),
        )

        async def serve(session: Session) -> None:
            await execution.run_in_session(container, command, session, self._clock.uuid())

        return {"url": await self._streaming.url_for_command("exec", command, serve)}

    async def attach(self, request: Message) -> Message:
        container = self._containers.running(request.get("container_id", ""))
        terminal = bool(container.record.config.get("tty"))
        command = Command(
            (),
            terminal=terminal,
            stdin=bool(request.get("stdin")),
            stdout=bool(request.get("stdout")),
            stderr=bool(request.get("stderr")) and not terminal,
        )

        async def serve(session: Session) -> None:
            await execution.attach(container, command, session)

        return {"url": await self._streaming.url_for_command("attach", command, serve)}

    async def port_forward(self, request: Message) -> Message:
        sandbox = self._sandboxes.find(request.get("pod_sandbox_id", ""))
        if not sandbox.ready:
            raise RuntimeFault("Unknown", f"sandbox {sandbox.id} is not running")
        return {"url": await self._streaming.url_for_ports(pod_in(self._sandboxes.netns_path(sandbox), sandbox.id))}

    # Statistics.

    async def container_stats(self, request: Message) -> Message:
        container = self._containers.find(request.get("container_id", ""))
        return {"stats": await self._container_stats(container)}

    async def list_container_stats(self, request: Message) -> Message:
        wanted = request.get("filter") or {}
        return {"stats": await self._stats_of(self._containers.by_id.values(), wanted)}

    async def _stats_of(self, containers: Any, wanted: Message) -> list[Message]:
        chosen = [c for c in containers if c.record.state == RUNNING and matches(c.record.summary(), wanted)]
        return [await self._container_stats(container) for container in chosen]

    async def _container_stats(self, container: Container) -> Message:
        usage = self._cgroups.usage(container.record.cgroup_path)
        disk = await asyncio.to_thread(self._snapshots.usage, container.record.id)
        mountpoint = str(self._config.root_directory / "images")
        return stats.container_stats(container.record, usage, disk, mountpoint, self._now())

    async def pod_sandbox_stats(self, request: Message) -> Message:
        return {"stats": await self._sandbox_stats(request.get("pod_sandbox_id", ""))}

    async def list_pod_sandbox_stats(self, request: Message) -> Message:
        wanted = request.get("filter") or {}
        ready = [s for s in self._sandboxes.by_id.values() if s.ready and matches(s.summary(), wanted)]
        return {"stats": [await self._sandbox_stats(sandbox.id) for sandbox in ready]}

    async def _sandbox_stats(self, sandbox_id: str) -> Message:
        sandbox = self._sandboxes.find(sandbox_id)
        containers = await self._stats_of(self._containers.of_sandbox(sandbox.id), {})
        usage = self._cgroups.usage(sandbox.cgroup_parent) if sandbox.cgroup_parent else cgroups.Usage()
        netns = self._sandboxes.netns_path(sandbox)
        interfaces = await stats.read_interfaces(netns) if netns and sandbox.ready else []
        return stats.sandbox_stats(sandbox, usage, containers, interfaces, self._now())

    # Events.

    def _publish(self, record: ContainerRecord, kind: str) -> None:
        if not self._listeners:
            return
        sandbox = self._sandboxes.by_id.get(record.sandbox_id)
        event: Message = {
            "container_id": record.id,
            "container_event_type": kind,
            "created_at": self._now(),
            "pod_sandbox_status": sandbox.status() if sandbox else {},
            "containers_statuses": [c.record.status() for c in self._containers.of_sandbox(record.sandbox_id)],
        }
        for waiting, wakeup in self._listeners:
            waiting.append(event)
            wakeup.set()

    async def get_container_events(self, request: Message) -> AsyncIterator[Message]:
        waiting: deque[Message] = deque(maxlen=EVENT_LIMIT)
        wakeup = asyncio.Event()
        entry = (waiting, wakeup)
        self._listeners.append(entry)
        try:
            while True:
                await wakeup.wait()
                wakeup.clear()
                while waiting:
                    yield waiting.popleft()
        finally:
            self._listeners.remove(entry)

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * 1e9)


def condition(kind: str, problem: str) -> Message:
    if not problem:
        return {"type": kind, "status": True}
    return {"type": kind, "status": False, "reason": f"{kind.removesuffix('Ready')}NotReady", "message": problem}


def matches(summary: Message, wanted: Message) -> bool:
    """Whether a Container or PodSandbox passes a CRI filter; ids may be given by their beginning."""
    if not summary["id"].startswith(wanted.get("id", "")):
        return False
    if wanted.get("pod_sandbox_id") and not summary.get("pod_sandbox_id", "").startswith(wanted["pod_sandbox_id"]):
        return False
    state: Message | None = wanted.get("state")
    if state is not None and summary["state"] != state.get("state", _FIRST_STATE["pod_sandbox_id" in summary]):
        return False
    labels: Mapping[str, str] = wanted.get("label_selector") or {}
    return all(summary["labels"].get(key) == value for key, value in labels.items())


_FIRST_STATE: Sequence[str] = ("SANDBOX_READY", "CONTAINER_CREATED")
"""What an absent state value means, for a sandbox and for a container: the enumeration's zero."""
