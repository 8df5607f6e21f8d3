"""A container runtime without containers: CRI in memory, for simulated nodes and for tests of the kubelet.

Sandboxes and containers are entries in dicts; time is the Clock's. What a container does is its `Behaviour`, chosen
when it is created. All of CRI's promises hold: stops and removes may be repeated, unknown ids are NotFound, events
are sent in order. `exit` and `lose_sandbox` are what the world does to containers.

What runs in it are timers and the programs of containers; `close` ends them, as the end of a machine does.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from kaa.cri.cri import Message, RuntimeFault
from kaa.cri.simulated_behaviour import KILLED, NEVER, BehaviourOf, plain_behaviour
from kaa.cri.simulated_images import SimulatedImages
from kaa.cri.simulated_ports import refused
from kaa.cri.simulated_program import ContainerLog, Exit, SimulatedContainer, run_program
from kaa.cri.simulated_state import (
    Addresses,
    Container,
    Sandbox,
    container_message,
    log_path,
    matches,
    nanoseconds,
    sandbox_message,
)
from kaa.lib.clock import Clock

if TYPE_CHECKING:
    from kaa.cri.simulated_streams import SimulatedStreams

log = logging.getLogger(__name__)

EVENT_QUEUE_LIMIT = 4096
"""Undelivered events of one listener; one that lags further behind loses the oldest and must list again."""

KILL_TRIES = 5
"""A program that is cancelled so often and goes on is left to itself, loudly: a coroutine cannot be killed."""

POD_UID_LABEL = "io.kubernetes.pod.uid"


class SimulatedRuntime:
    """The RuntimeService; its ImageService is `images`.

    Pods get addresses of `pod_cidr`; with "" the network is not ready until the kubelet tells the node's range.
    `calls`, if given, is where every call that changes something is noted, for tests.
    """

    def __init__(
        self,
        clock: Clock,
        behaviour_of: BehaviourOf = plain_behaviour,
        *,
        pod_cidr: str = "10.244.0.0/24",
        calls: list[tuple[str, Message]] | None = None,
    ) -> None:
        self.clock = clock
        self.images = SimulatedImages(clock, behaviour_of)
        self._behaviour_of = behaviour_of
        self._calls = calls
        self._addresses = Addresses(pod_cidr)
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self._listeners: list[asyncio.Queue[Message]] = []
        self._streams: SimulatedStreams | None = None

    async def close(self) -> None:
        """Ends all that runs in it; nobody is told."""
        self._listeners.clear()
        for container in self._containers.values():
            self._end(container, KILLED)
        programs: list[asyncio.Task[Any]] = [c.program for c in self._containers.values() if c.program is not None]
        insides = [c.inside for c in self._containers.values() if c.inside is not None]
        programs += [connection for inside in insides for connection in inside.ports.connections]
        for _ in range(KILL_TRIES):
            if not (alive := [program for program in programs if not program.done()]):
                break
            for program in alive:
                program.cancel()
            await asyncio.wait(alive, timeout=0)
        else:
            log.error("programs of containers that do not end when they are cancelled")
        if self._streams is not None:
            await self._streams.close()

    # What the world does

    def exit(self, container_id: str, exit_code: int, reason: str = "") -> None:
        """The container ends by itself, or the kernel kills it."""
        self._end(self._containers[container_id], exit_code, reason)

    def lose_sandbox(self, sandbox_id: str) -> None:
        """The sandbox dies, with all that runs in it."""
        for container in self._in(self._sandboxes[sandbox_id]):
            self._end(container, KILLED)
        self._sandboxes[sandbox_id].is_ready = False

    def passes(self, container_id: str, purpose: str) -> bool:
        """Whether a probe of the container succeeds now."""
        container = self._containers.get(container_id)
        if container is None or container.state != "CONTAINER_RUNNING":
            return False
        if container.inside is not None and not container.inside.passes(purpose):
            return False
        return container.behaviour.passes(purpose, (self._now() - container.started_at) / 1e9)

    # The runtime as a whole

    async def version(self, request: Message) -> Message:
        return {
            "version": "0.1.0",
            "runtime_name": "simulated",
            "runtime_version": "1.0.0",
            "runtime_api_version": "v1",
        }

    async def status(self, request: Message) -> Message:
        network: Message = {"type": "NetworkReady", "status": True}
        if not self._addresses.cidr:
            network = {"type": "NetworkReady", "status": False, "reason": "NoPodRange", "message": "no pod range yet"}
        conditions = [{"type": "RuntimeReady", "status": True}, network]
        return {"status": {"conditions": conditions}, "runtime_handlers": [{"name": ""}]}

    async def update_runtime_config(self, request: Message) -> Message:
        pod_cidr = (request["runtime_config"].get("network_config") or {}).get("pod_cidr", "")
        if pod_cidr and pod_cidr != self._addresses.cidr:
            self._addresses = Addresses(pod_cidr)
        return {}

    # Sandboxes

    async def run_pod_sandbox(self, request: Message) -> Message:
        self._note("run_pod_sandbox", request)
        config = request["config"]
        options = (config.get("linux") or {}).get("security_context", {}).get("namespace_options", {})
        ip = "" if options.get("network") == "NODE" else self._addresses.take()
        sandbox = Sandbox(self._id(), config, ip, self._now(), request.get("runtime_handler", ""))
        self._sandboxes[sandbox.id] = sandbox
        return {"pod_sandbox_id": sandbox.id}

    async def stop_pod_sandbox(self, request: Message) -> Message:
        self._note("stop_pod_sandbox", request)
        sandbox = self._sandboxes.get(request["pod_sandbox_id"])
        if sandbox is not None:
            for container in self._in(sandbox):
                self._end(container, KILLED)
            sandbox.is_ready = False
            self._addresses.give_back(sandbox.ip)
        return {}

    async def remove_pod_sandbox(self, request: Message) -> Message:
        await self.stop_pod_sandbox(request)
        sandbox = self._sandboxes.get(request["pod_sandbox_id"])
        if sandbox is not None:
            for container in self._in(sandbox):
                await self.remove_container({"container_id": container.id})
            del self._sandboxes[sandbox.id]
        return {}

    async def pod_sandbox_status(self, request: Message) -> Message:
        return {"status": sandbox_message(self._sandbox(request["pod_sandbox_id"]))}

    async def list_pod_sandbox(self, request: Message) -> Message:
        chosen = request.get("filter") or {}
        uid = (chosen.get("label_selector") or {}).get(POD_UID_LABEL)
        items = [
            {
                "id": s.id,
                "metadata": s.config["metadata"],
                "state": "SANDBOX_READY" if s.is_ready else "SANDBOX_NOTREADY",
                "created_at": s.created_at,
                "labels": s.config.get("labels") or {},
                "annotations": s.config.get("annotations") or {},
                "runtime_handler": s.handler,
            }
            for s in self._sandboxes.values()
            if uid is None or s.config["metadata"]["uid"] == uid
        ]
        return {"items": [item for item in items if matches(item, chosen)]}

    async def update_pod_sandbox_resources(self, request: Message) -> Message:
        self._note("update_pod_sandbox_resources", request)
        self._sandbox(request["pod_sandbox_id"])
        return {}

    # Containers

    async def create_container(self, request: Message) -> Message:
        self._note("create_container", request)
        sandbox = self._sandbox(request["pod_sandbox_id"])
        config = request["config"]
        image = config["image"]["image"]
        known = self.images.find(image)
        if known is None:
            raise RuntimeFault("NotFound", f'failed to resolve image "{image}": not found')
        behaviour = self._behaviour_of(known["repo_tags"][0], config["metadata"]["name"], sandbox.config)
        if behaviour.create_error is not None:
            raise behaviour.create_error
        output = ContainerLog(log_path(sandbox, config), self.clock)
        container = Container(self._id(), sandbox, config, known["id"], behaviour, self._now(), output)
        self._containers[container.id] = container
        self._tell(container, "CONTAINER_CREATED_EVENT")
        return {"container_id": container.id}

    async def start_container(self, request: Message) -> Message:
        self._note("start_container", request)
        container = self._container(request["container_id"])
        behaviour = container.behaviour
        if container.state != "CONTAINER_CREATED":
            raise RuntimeFault("FailedPrecondition", f"container is in state {container.state}")
        if behaviour.start_seconds:
            await self.clock.sleep(behaviour.start_seconds)
        if behaviour.start_error is not None:
            self._end(container, 128, "StartError")
            raise behaviour.start_error
        container.state, container.started_at = "CONTAINER_RUNNING", self._now()
        container.log.write(behaviour.output)
        if behaviour.exit_after_seconds not in (None, NEVER):
            ending = (container, behaviour.exit_code, behaviour.exit_reason)
            container.timer = self.clock.call_later(behaviour.exit_after_seconds, self._end, *ending)
        if behaviour.program is not None:
            self._run_program(container)
        self._tell(container, "CONTAINER_STARTED_EVENT")
        return {}

    def _run_program(self, container: Container) -> None:
        assert container.behaviour.program is not None
        container.inside = SimulatedContainer(container.config, container.sandbox.config, container.log, self.clock)
        work = run_program(container.behaviour.program, container.inside, container.log)
        container.program = asyncio.get_running_loop().create_task(work, name=f"container {container.id[:12]}")
        container.program.add_done_callback(lambda task: self._program_ended(container, task))

    def _program_ended(self, container: Container, task: "asyncio.Task[Exit]") -> None:
        # A task that is cancelled before its first step never comes to what makes an exit of it.
        end = Exit(KILLED) if task.cancelled() else task.result()
        self._end(container, end.code, end.reason)

    async def stop_container(self, request: Message) -> Message:
        self._note("stop_container", request)
        container = self._containers.get(request["container_id"])
        if container is None or container.state != "CONTAINER_RUNNING":
            return {}
        grace_seconds = float(request.get("timeout", 0))
        if container.program is not None:
            container.program.cancel()
            await self._end_within(container, grace_seconds)
            self._end(container, KILLED)
        elif container.behaviour.stop_seconds > grace_seconds:
            await self._end_within(container, grace_seconds)
            self._end(container, KILLED)
        else:
            await self._end_within(container, container.behaviour.stop_seconds)
            self._end(container, container.behaviour.stop_exit_code)
        return {}

    async def _end_within(self, container: Container, seconds: float) -> None:
        """Waits that long, or until the container has ended in another way."""
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await container.ended.wait()
            except TimeoutError:
                return

    async def remove_container(self, request: Message) -> Message:
        self._note("remove_container", request)
        container = self._containers.get(request["container_id"])
        if container is not None:
            self._end(container, KILLED)
            del self._containers[container.id]
            self._tell(container, "CONTAINER_DELETED_EVENT")
        return {}

    async def list_containers(self, request: Message) -> Message:
        chosen = request.get("filter") or {}
        uid = (chosen.get("label_selector") or {}).get(POD_UID_LABEL)
        items = [
            {
                "id": c.id,
                "pod_sandbox_id": c.sandbox.id,
                "metadata": c.config["metadata"],
                "image": c.config["image"],
                "image_ref": c.image_ref,
                "state": c.state,
                "created_at": c.created_at,
                "labels": c.config.get("labels") or {},
                "annotations": c.config.get("annotations") or {},
                "image_id": c.image_ref,
            }
            for c in self._containers.values()
            if uid is None or c.sandbox.config["metadata"]["uid"] == uid
        ]
        return {"containers": [item for item in items if matches(item, chosen)]}

    async def container_status(self, request: Message) -> Message:
        return {"status": container_message(self._container(request["container_id"]))}

    async def update_container_resources(self, request: Message) -> Message:
        self._note("update_container_resources", request)
        container = self._container(request["container_id"])
        linux = container.config.get("linux") or {}
        linux = {**linux, "resources": {**(linux.get("resources") or {}), **request["linux"]}}
        container.config = {**container.config, "linux": linux}
        return {}

    async def reopen_container_log(self, request: Message) -> Message:
        self._container(request["container_id"])  # its log is opened for each line anyway
        return {}

    async def exec_sync(self, request: Message) -> Message:
        self._note("exec_sync", request)
        container = self._running(request["container_id"])
        exit_code, output = container.behaviour.answer(list(request["cmd"]))
        return {"stdout": output, "stderr": b"", "exit_code": exit_code}

    async def exec(self, request: Message) -> Message:
        self._note("exec", request)
        container = self._running(request["container_id"])
        return {"url": await self._open_streams().exec_url(request, container.behaviour)}

    async def attach(self, request: Message) -> Message:
        container = self._running(request["container_id"])
        return {"url": await self._open_streams().attach_url(request, container.log, container.ended)}

    async def port_forward(self, request: Message) -> Message:
        sandbox = self._sandbox(request["pod_sandbox_id"])
        if not sandbox.is_ready:
            raise RuntimeFault("Unknown", f"sandbox {sandbox.id} is not running")

        async def dial(port: int) -> socket.socket:
            insides = [c.inside for c in self._in(sandbox) if c.inside is not None and port in c.inside.ports]
            if not insides:
                raise refused()
            return await insides[0].ports.dial(port)

        return {"url": await self._open_streams().ports_url(sandbox.id, dial)}

    def _open_streams(self) -> "SimulatedStreams":
        if self._streams is None:
            # What speaks SPDY and WebSocket is loaded, and listens, only where somebody comes for it.
            from kaa.cri.simulated_streams import SimulatedStreams

            self._streams = SimulatedStreams(self.clock)
        return self._streams

    # Statistics and events

    async def container_stats(self, request: Message) -> Message:
        return {"stats": self._stats(self._container(request["container_id"]))}

    async def list_container_stats(self, request: Message) -> Message:
        running = [c for c in self._containers.values() if c.state == "CONTAINER_RUNNING"]
        return {"stats": [self._stats(container) for container in running]}

    async def pod_sandbox_stats(self, request: Message) -> Message:
        return {"stats": self._sandbox_stats(self._sandbox(request["pod_sandbox_id"]))}

    async def list_pod_sandbox_stats(self, request: Message) -> Message:
        return {"stats": [self._sandbox_stats(sandbox) for sandbox in self._sandboxes.values()]}

    async def get_container_events(self, request: Message) -> AsyncIterator[Message]:
        queue: asyncio.Queue[Message] = asyncio.Queue(EVENT_QUEUE_LIMIT)
        self._listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            if queue in self._listeners:
                self._listeners.remove(queue)

    def _stats(self, container: Container) -> Message:
        now = self._now()
        running_for = (now - container.started_at) if container.state == "CONTAINER_RUNNING" else 0
        used = int(running_for * container.behaviour.cpu_millicores / 1000)
        return {
            "attributes": {
                "id": container.id,
                "metadata": container.config["metadata"],
                "labels": container.config.get("labels") or {},
                "annotations": container.config.get("annotations") or {},
            },
            "cpu": {"timestamp": now, "usage_core_nano_seconds": {"value": used}},
            "memory": {"timestamp": now, "working_set_bytes": {"value": container.behaviour.memory_bytes}},
        }

    def _sandbox_stats(self, sandbox: Sandbox) -> Message:
        return {
            "attributes": {
                "id": sandbox.id,
                "metadata": sandbox.config["metadata"],
                "labels": sandbox.config.get("labels") or {},
            },
            "linux": {"containers": [self._stats(container) for container in self._in(sandbox)]},
        }

    # Inside

    def _sandbox(self, sandbox_id: str) -> Sandbox:
        if sandbox_id not in self._sandboxes:
            raise RuntimeFault("NotFound", f'an error occurred when try to find sandbox "{sandbox_id}": not found')
        return self._sandboxes[sandbox_id]

    def _container(self, container_id: str) -> Container:
        if container_id not in self._containers:
            raise RuntimeFault("NotFound", f'an error occurred when try to find container "{container_id}": not found')
        return self._containers[container_id]

    def _running(self, container_id: str) -> Container:
        container = self._container(container_id)
        if container.state != "CONTAINER_RUNNING":
            raise RuntimeFault("FailedPrecondition", "container is not running")
        return container

    def _in(self, sandbox: Sandbox) -> list[Container]:
        return [container for container in self._containers.values() if container.sandbox is sandbox]

    def _end(self, container: Container, exit_code: int, reason: str = "") -> None:
        """Twice is once: a container ends with the first exit code."""
        if container.state == "CONTAINER_EXITED":
            return
        container.state, container.finished_at = "CONTAINER_EXITED", self._now()
        container.exit_code, container.reason = exit_code, reason or ("Completed" if exit_code == 0 else "Error")
        if container.timer is not None:
            container.timer.cancel()
        if container.program is not None:
            container.program.cancel()
        if container.inside is not None:
            container.inside.ports.hang_up()
        container.ended.set()
        self._tell(container, "CONTAINER_STOPPED_EVENT")

    def _tell(self, container: Container, kind: str) -> None:
        if not self._listeners:
            return
        event: Message = {
            "container_id": container.id,
            "container_event_type": kind,
            "created_at": self._now(),
            "containers_statuses": [container_message(other) for other in self._in(container.sandbox)],
            "pod_sandbox_status": sandbox_message(container.sandbox),
        }
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    def _note(self, call: str, request: Message) -> None:
        if self._calls is not None:
            self._calls.append((call, request))

    def _now(self) -> int:
        return nanoseconds(self.clock.now())

    def _id(self) -> str:
        return self.clock.random.getrandbits(256).to_bytes(32, "big").hex()
