"""A container runtime without containers: CRI in memory, for simulated nodes and for tests of the kubelet.

Sandboxes, containers and images are entries in dicts; time is the Clock's. What a container does is its `Behaviour`,
chosen by image name: how long it takes to start, when it exits and with which code, whether its pull fails, what an
exec in it answers. All of CRI's promises hold: stops and removes may be repeated, unknown ids are NotFound, events
are sent in order. `exit` and `lose_sandbox` are what the world does to containers.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kaa.cri.cri import Message, RuntimeFault
from kaa.lib.clock import Clock

EVENT_QUEUE_LIMIT = 4096
"""Undelivered events of one listener; one that lags further behind loses the oldest and must list again."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What containers of an image do. `exit_after_seconds` None: run until stopped."""

    start_seconds: float = 0.0
    exit_after_seconds: float | None = None
    exit_code: int = 0
    stop_seconds: float = 0.0
    stop_exit_code: int = 0
    pull_seconds: float = 0.0
    pull_error: RuntimeFault | None = None
    create_error: RuntimeFault | None = None
    start_error: RuntimeFault | None = None
    size_bytes: int = 1_000_000
    uid: int | None = None
    exec_answer: Callable[[list[str]], tuple[int, bytes]] = lambda cmd: (0, b"")


@dataclass(slots=True)
class _Sandbox:
    id: str
    config: Message
    ip: str
    created_at: int
    handler: str
    is_ready: bool = True


@dataclass(slots=True)
class _Container:
    id: str
    sandbox_id: str
    config: Message
    image_ref: str
    behaviour: Behaviour
    created_at: int
    state: str = "CONTAINER_CREATED"
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    timer: asyncio.TimerHandle | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class SimulatedRuntime:
    """RuntimeService and ImageService in one. `behaviours` maps an image name to what its containers do."""

    def __init__(
        self,
        clock: Clock,
        behaviours: Mapping[str, Behaviour] | None = None,
        *,
        address_prefix: str = "10.244.0.",
        present_images: tuple[str, ...] = (),
    ) -> None:
        self.clock = clock
        self.behaviours: dict[str, Behaviour] = dict(behaviours or {})
        self.calls: list[tuple[str, Message]] = []
        self._address_prefix = address_prefix
        self._next_address = 2
        self._sandboxes: dict[str, _Sandbox] = {}
        self._containers: dict[str, _Container] = {}
        self._images: dict[str, Message] = {}
        self._listeners: dict[asyncio.Queue[Message], None] = {}  # a set in order
        for image in present_images:
            self._add_image(image)

    # What the world does

    def exit(self, container_id: str, exit_code: int, reason: str = "") -> None:
        """The container ends by itself, or the kernel kills it."""
        self._end(self._containers[container_id], exit_code, reason)

    def lose_sandbox(self, sandbox_id: str) -> None:
        """The sandbox dies, with all that runs in it."""
        for container in self._in(sandbox_id):
            self._end(container, 137)
        self._sandboxes[sandbox_id].is_ready = False

    def behaviour_of(self, image: str) -> Behaviour:
        return self.behaviours.get(image, Behaviour())

    # Sandboxes

    async def version(self, request: Message) -> Message:
        return {
            "version": "0.1.0",
            "runtime_name": "simulated",
            "runtime_version": "1.0.0",
            "runtime_api_version": "v1",
        }

    async def status(self, request: Message) -> Message:
        conditions = [{"type": kind, "status": True} for kind in ("RuntimeReady", "NetworkReady")]
        return {"status": {"conditions": conditions}, "runtime_handlers": [{"name": ""}]}

    async def update_runtime_config(self, request: Message) -> Message:
        return {}

    async def run_pod_sandbox(self, request: Message) -> Message:
        self.calls.append(("run_pod_sandbox", request))
        config = request["config"]
        sandbox = _Sandbox(self._id(), config, self._address(config), self._now(), request.get("runtime_handler", ""))
        self._sandboxes[sandbox.id] = sandbox
        return {"pod_sandbox_id": sandbox.id}

    def _address(self, config: Message) -> str:
        options = (config.get("linux") or {}).get("security_context", {}).get("namespace_options", {})
        if options.get("network") == "NODE":
            return ""
        self._next_address += 1
        return f"{self._address_prefix}{self._next_address - 1}"

    async def stop_pod_sandbox(self, request: Message) -> Message:
        self.calls.append(("stop_pod_sandbox", request))
        sandbox = self._sandboxes.get(request["pod_sandbox_id"])
        if sandbox is not None:
            for container in self._in(sandbox.id):
                self._end(container, 137)
            sandbox.is_ready = False
        return {}

    async def remove_pod_sandbox(self, request: Message) -> Message:
        await self.stop_pod_sandbox(request)
        for container in list(self._in(request["pod_sandbox_id"])):
            await self.remove_container({"container_id": container.id})
        self._sandboxes.pop(request["pod_sandbox_id"], None)
        return {}

    async def pod_sandbox_status(self, request: Message) -> Message:
        return {"status": self._sandbox_status(self._sandbox(request["pod_sandbox_id"]))}

    async def list_pod_sandbox(self, request: Message) -> Message:
        chosen = request.get("filter") or {}
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
        ]
        return {"items": [item for item in items if _matches(item, chosen)]}

    # Containers

    async def create_container(self, request: Message) -> Message:
        self.calls.append(("create_container", request))
        sandbox = self._sandbox(request["pod_sandbox_id"])
        image = request["config"]["image"]["image"]
        known = self._image(image)
        if known is None:
            raise RuntimeFault("NotFound", f'failed to resolve image "{image}": not found')
        behaviour = self.behaviour_of(known["repo_tags"][0])
        if behaviour.create_error is not None:
            raise behaviour.create_error
        container = _Container(self._id(), sandbox.id, request["config"], known["id"], behaviour, self._now())
        self._containers[container.id] = container
        self._tell(container, "CONTAINER_CREATED_EVENT")
        return {"container_id": container.id}

    async def start_container(self, request: Message) -> Message:
        self.calls.append(("start_container", request))
        container = self._container(request["container_id"])
        if container.state != "CONTAINER_CREATED":
            raise RuntimeFault("FailedPrecondition", f"container is in state {container.state}")
        if container.behaviour.start_seconds:
            await self.clock.sleep(container.behaviour.start_seconds)
        if container.behaviour.start_error is not None:
            self._end(container, 128, "StartError")
            raise container.behaviour.start_error
        container.state, container.started_at = "CONTAINER_RUNNING", self._now()
        if container.behaviour.exit_after_seconds is not None:
            container.timer = self.clock.call_later(
                container.behaviour.exit_after_seconds, self._end, container, container.behaviour.exit_code
            )
        self._tell(container, "CONTAINER_STARTED_EVENT")
        return {}

    async def stop_container(self, request: Message) -> Message:
        self.calls.append(("stop_container", request))
        container = self._containers.get(request["container_id"])
        if container is None or container.state != "CONTAINER_RUNNING":
            return {}
        grace = float(request.get("timeout", 0))
        if container.behaviour.stop_seconds > grace:
            await self._end_within(container, grace)
            self._end(container, 137, "Error")
        else:
            await self._end_within(container, container.behaviour.stop_seconds)
            self._end(container, container.behaviour.stop_exit_code)
        return {}

    async def _end_within(self, container: _Container, seconds: float) -> None:
        """Waits that long, or until the container has ended in another way."""
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await container.ended.wait()
            except TimeoutError:
                return

    async def remove_container(self, request: Message) -> Message:
        self.calls.append(("remove_container", request))
        container = self._containers.get(request["container_id"])
        if container is not None:
            self._end(container, 137)
            del self._containers[container.id]
            self._tell(container, "CONTAINER_DELETED_EVENT")
        return {}

    async def list_containers(self, request: Message) -> Message:
        chosen = request.get("filter") or {}
        items = [
            {
                "id": c.id,
                "pod_sandbox_id": c.sandbox_id,
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
        ]
        return {"containers": [item for item in items if _matches(item, chosen)]}

    async def container_status(self, request: Message) -> Message:
        return {"status": self._container_status(self._container(request["container_id"]))}

    async def update_container_resources(self, request: Message) -> Message:
        container = self._container(request["container_id"])
        container.config = {
            **container.config,
            "linux": {**container.config.get("linux", {}), "resources": request["linux"]},
        }
        return {}

    async def reopen_container_log(self, request: Message) -> Message:
        self._container(request["container_id"])
        return {}

    async def exec_sync(self, request: Message) -> Message:
        self.calls.append(("exec_sync", request))
        container = self._container(request["container_id"])
        if container.state != "CONTAINER_RUNNING":
            raise RuntimeFault("FailedPrecondition", "container is not running")
        exit_code, output = container.behaviour.exec_answer(list(request["cmd"]))
        return {"stdout": output, "stderr": b"", "exit_code": exit_code}

    async def exec(self, request: Message) -> Message:
        raise RuntimeFault("Unimplemented", "a simulated container has no streams")

    async def attach(self, request: Message) -> Message:
        raise RuntimeFault("Unimplemented", "a simulated container has no streams")

    async def port_forward(self, request: Message) -> Message:
        raise RuntimeFault("Unimplemented", "a simulated pod has no ports")

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
        self._listeners[queue] = None
        try:
            while True:
                yield await queue.get()
        finally:
            del self._listeners[queue]

    # Images

    async def list_images(self, request: Message) -> Message:
        return {"images": list({image["id"]: image for image in self._images.values()}.values())}

    async def image_status(self, request: Message) -> Message:
        image = self._image(request["image"]["image"])
        return {"image": image} if image is not None else {}

    async def pull_image(self, request: Message) -> Message:
        self.calls.append(("pull_image", request))
        name = request["image"]["image"]
        behaviour = self.behaviour_of(name)
        if behaviour.pull_seconds:
            await self.clock.sleep(behaviour.pull_seconds)
        if behaviour.pull_error is not None:
            raise behaviour.pull_error
        return {"image_ref": self._add_image(name)["id"]}

    async def remove_image(self, request: Message) -> Message:
        self.calls.append(("remove_image", request))
        gone = self._image(request["image"]["image"])
        if gone is not None:
            self._images = {name: image for name, image in self._images.items() if image["id"] != gone["id"]}
        return {}

    async def image_fs_info(self, request: Message) -> Message:
        used = sum(image["size"] for image in self._images.values())
        filesystem = {
            "timestamp": self._now(),
            "fs_id": {"mountpoint": "/"},
            "used_bytes": {"value": used},
            "inodes_used": {"value": len(self._images)},
        }
        return {"image_filesystems": [filesystem], "container_filesystems": [filesystem]}

    # Inside

    def _add_image(self, name: str) -> Message:
        digest = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        behaviour = self.behaviour_of(name)
        image: Message = {
            "id": digest,
            "repo_tags": [name],
            "repo_digests": [f"{name.partition(':')[0]}@{digest}"],
            "size": behaviour.size_bytes,
        }
        if behaviour.uid is not None:
            image["uid"] = {"value": behaviour.uid}
        self._images[name] = image
        return image

    def _image(self, reference: str) -> Message | None:
        by_name = self._images.get(reference)
        return by_name or next((image for image in self._images.values() if image["id"] == reference), None)

    def _sandbox(self, sandbox_id: str) -> _Sandbox:
        if sandbox_id not in self._sandboxes:
            raise RuntimeFault("NotFound", f'an error occurred when try to find sandbox "{sandbox_id}": not found')
        return self._sandboxes[sandbox_id]

    def _container(self, container_id: str) -> _Container:
        if container_id not in self._containers:
            raise RuntimeFault("NotFound", f'an error occurred when try to find container "{container_id}": not found')
        return self._containers[container_id]

    def _in(self, sandbox_id: str) -> list[_Container]:
        return [container for container in self._containers.values() if container.sandbox_id == sandbox_id]

    def _end(self, container: _Container, exit_code: int, reason: str = "") -> None:
        """Twice is once: a container ends with the first exit code."""
        if container.timer is not None:
            container.timer.cancel()
        if container.state == "CONTAINER_EXITED":
            return
        container.state, container.finished_at = "CONTAINER_EXITED", self._now()
        container.exit_code, container.reason = exit_code, reason or ("Completed" if exit_code == 0 else "Error")
        container.ended.set()
        self._tell(container, "CONTAINER_STOPPED_EVENT")

    def _tell(self, container: _Container, kind: str) -> None:
        sandbox = self._sandboxes.get(container.sandbox_id)
        event: Message = {
            "container_id": container.id,
            "container_event_type": kind,
            "created_at": self._now(),
            "containers_statuses": [self._container_status(other) for other in self._in(container.sandbox_id)],
        }
        if sandbox is not None:
            event["pod_sandbox_status"] = self._sandbox_status(sandbox)
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    def _sandbox_status(self, sandbox: _Sandbox) -> Message:
        linux = sandbox.config.get("linux") or {}
        return {
            "id": sandbox.id,
            "metadata": sandbox.config["metadata"],
            "state": "SANDBOX_READY" if sandbox.is_ready else "SANDBOX_NOTREADY",
            "created_at": sandbox.created_at,
            "network": {"ip": sandbox.ip if sandbox.is_ready else ""},
            "linux": {"namespaces": {"options": linux.get("security_context", {}).get("namespace_options", {})}},
            "labels": sandbox.config.get("labels") or {},
            "annotations": sandbox.config.get("annotations") or {},
            "runtime_handler": sandbox.handler,
        }

    def _container_status(self, container: _Container) -> Message:
        config = container.config
        sandbox = self._sandboxes.get(container.sandbox_id)
        directory = sandbox.config.get("log_directory", "") if sandbox else ""
        return {
            "id": container.id,
            "metadata": config["metadata"],
            "state": container.state,
            "created_at": container.created_at,
            "started_at": container.started_at,
            "finished_at": container.finished_at,
            "exit_code": container.exit_code,
            "image": config["image"],
            "image_ref": container.image_ref,
            "image_id": container.image_ref,
            "reason": container.reason,
            "labels": config.get("labels") or {},
            "annotations": config.get("annotations") or {},
            "mounts": config.get("mounts") or [],
            "log_path": f"{directory}/{config.get('log_path', '')}",
        }

    def _stats(self, container: _Container) -> Message:
        now = self._now()
        running = (now - container.started_at) if container.state == "CONTAINER_RUNNING" else 0
        return {
            "attributes": {
                "id": container.id,
                "metadata": container.config["metadata"],
                "labels": container.config.get("labels") or {},
                "annotations": container.config.get("annotations") or {},
            },
            "cpu": {"timestamp": now, "usage_core_nano_seconds": {"value": running // 1000}},
            "memory": {"timestamp": now, "working_set_bytes": {"value": 1_000_000}},
        }

    def _sandbox_stats(self, sandbox: _Sandbox) -> Message:
        return {
            "attributes": {
                "id": sandbox.id,
                "metadata": sandbox.config["metadata"],
                "labels": sandbox.config.get("labels") or {},
            },
            "linux": {"containers": [self._stats(container) for container in self._in(sandbox.id)]},
        }

    def _now(self) -> int:
        return _nanoseconds(self.clock.now())

    def _id(self) -> str:
        return self.clock.random.getrandbits(256).to_bytes(32, "big").hex()


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000


def _matches(item: Message, chosen: Message) -> bool:
    """CRI's filters: every criterion that is given."""
    if chosen.get("id") and chosen["id"] != item["id"]:
        return False
    if chosen.get("state") and chosen["state"].get("state") != item["state"]:
        return False
    if chosen.get("pod_sandbox_id") and chosen["pod_sandbox_id"] != item.get("pod_sandbox_id"):
        return False
    wanted: Mapping[str, str] = chosen.get("label_selector") or {}
    return all(item["labels"].get(key) == value for key, value in wanted.items())
