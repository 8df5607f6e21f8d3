"""Containers: created, started, watched, stopped, removed; and found again after our own restart.

Creating prepares everything (writable directory, mounted root, bundle) and starts nothing. Starting has conmon and runc
make the process, so a command that does not exist fails the start, as with other runtimes. From then on conmon owns the
process; we watch conmon. When it ends, the exit code is in its file.

A container's end has two steps: `_ended` notes it at once (record, event, whoever waits), `reap` takes away what it
held in the kernel. The second may be repeated, and is done for what a crash left behind.
"""

import asyncio
import errno
import logging
import os
import shutil
import signal
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from kaa.cri.bundle import Bundle, Console, RuncError, RunPaths
from kaa.cri.container_record import CREATED, EXITED, RUNNING, ContainerRecord, SandboxRecord, user_message
from kaa.cri.content import ContentError
from kaa.cri.cri import RuntimeFault
from kaa.cri.images import ImageRecord, Images
from kaa.cri.linux import host as host_facts
from kaa.cri.linux import processes
from kaa.cri.linux.cgroups import Cgroups
from kaa.cri.linux.host import HostDevice, HostFacts
from kaa.cri.linux.processes import ProcessWatch
from kaa.cri.oci_spec import ContainerView, SandboxView, oci_spec, resources
from kaa.cri.records import Records
from kaa.cri.snapshots import Snapshots
from kaa.cri.users import resolve_user
from kaa.lib.clock import Clock
from kaa.lib.libc import open_in_root

log = logging.getLogger(__name__)

KILL_WAIT_SECONDS = 30.0
"""How long a killed container may take to be gone: a process in an uninterruptible wait does not die at once."""

START_ERROR_CODE = 128
UNKNOWN_CODE = 255
"""Exit codes of a container that could not be started, and of one whose end nobody saw; as containerd's."""

ACCOUNT_FILE_LIMIT_BYTES = 1 << 20
PROFILE_LIMIT_BYTES = 1 << 20

Listener = Callable[[ContainerRecord, str], None]
"""Called with a container and a ContainerEventType whenever something has happened to it."""


class Container:
    """A container in memory: its record, and who waits for it."""

    def __init__(self, record: ContainerRecord, bundle: Bundle) -> None:
        self.record = record
        self.bundle = bundle
        self.ended = asyncio.Event()
        self.lock = asyncio.Lock()  # start, stop and remove, one at a time
        self.watch: ProcessWatch | None = None
        if record.state == EXITED:
            self.ended.set()


class Containers:
    def __init__(
        self,
        records: Records,
        paths: RunPaths,
        snapshots: Snapshots,
        images: Images,
        cgroups: Cgroups,
        host: HostFacts,
        clock: Clock,
        listener: Listener,
    ) -> None:
        self._records = records
        self._paths = paths
        self._snapshots = snapshots
        self._images = images
        self._cgroups = cgroups
        self._host = host
        self._clock = clock
        self._listener = listener
        self.to_reap: asyncio.Queue[Container] = asyncio.Queue()  # bounded by the number of containers
        self.by_id: dict[str, Container] = {}
        for identifier, stored in records.load().items():
            container = Container(ContainerRecord(**stored), paths.bundle(identifier))
            self.by_id[identifier] = container
            self._recover(container)

    # Finding.

    def find(self, container_id: str) -> Container:
        """Also by an unambiguous beginning of its id, as people type it."""
        found = self.by_id.get(container_id)
        if found is None and container_id:
            matches = [c for key, c in self.by_id.items() if key.startswith(container_id)]
            found = matches[0] if len(matches) == 1 else None
        if found is None:
            raise RuntimeFault("NotFound", f'an error occurred when try to find container "{container_id}": not found')
        return found

    def running(self, container_id: str) -> Container:
        container = self.find(container_id)
        if container.record.state != RUNNING:
            raise RuntimeFault("Unknown", f"container is in {container.record.state} state")
        return container

    def of_sandbox(self, sandbox_id: str) -> list[Container]:
        return [c for c in self.by_id.values() if c.record.sandbox_id == sandbox_id]

    # Recovering.

    def _recover(self, container: Container) -> None:
        """What has become of it while we were away?"""
        match container.record.state:
            case "CONTAINER_RUNNING":
                self._watch(container)
            case "CONTAINER_CREATED" if not (container.bundle.rootfs / ".").exists():
                self._note_end(container, UNKNOWN_CODE, 0, "Unknown", "the node was started anew")
            case "CONTAINER_CREATED" if (container.bundle.directory / "conmon.pid").exists():
                self._kill_all(container)  # we died between creating the process and saying that it runs
                self._note_end(container, START_ERROR_CODE, 0, "StartError", "the runtime was restarted meanwhile")
            case "CONTAINER_EXITED" if container.bundle.exists():
                self.to_reap.put_nowait(container)

    def _watch(self, container: Container) -> None:
        pid = container.bundle.conmon_pid()
        if pid:
            container.watch = ProcessWatch(pid, lambda: self._ended(container))
        else:
            self._ended(container)

    # Creating.

    async def create(self, sandbox: SandboxRecord, view: SandboxView, config: dict[str, Any]) -> Container:
        metadata = config.get("metadata")
        if not metadata:
            raise RuntimeFault("InvalidArgument", "the container config must have metadata")
        for other in self.of_sandbox(sandbox.id):
            if other.record.config.get("metadata") == metadata:
                name = f"{metadata.get('name', '')}_{metadata.get('attempt', 0)}"
                raise RuntimeFault(
                    "AlreadyExists",
                    f'failed to reserve container name "{name}": it is reserved for "{other.record.id}"',
                )
        image_text = (config.get("image") or {}).get("image", "")
        image = self._images.find(image_text)
        if image is None:
            raise RuntimeFault("NotFound", f'failed to resolve image "{image_text}": not found')
        identifier = f"{self._clock.random.getrandbits(256):064x}"
        bundle = self._paths.bundle(identifier)
        try:
            self._snapshots.create(identifier, image.chain)
            bundle.create()
            self._snapshots.mount(identifier, bundle.rootfs)
            container = self._prepare(identifier, bundle, sandbox, view, config, image)
        except (OSError, ValueError, ContentError, RuntimeFault) as e:
            await self._discard(identifier, bundle)
            if isinstance(e, RuntimeFault):
                raise
            raise RuntimeFault("Unknown", f"failed to create the container: {_readable(e)}") from e
        self.by_id[identifier] = container
        self._save(container)
        self._listener(container.record, "CONTAINER_CREATED_EVENT")
        return container

    def _prepare(
        self,
        identifier: str,
        bundle: Bundle,
        sandbox: SandboxRecord,
        view: SandboxView,
        config: dict[str, Any],
        image: ImageRecord,
    ) -> Container:
        image_config = self._images.config(image).get("config") or {}
        linux = config.get("linux") or {}
        security = linux.get("security_context") or {}
        user = resolve_user(security, image_config.get("User") or "", *_account_files(bundle.rootfs))
        named = config.get("image") or {}
        image_name = named.get("user_specified_image") or next(iter(image.names), named.get("image", image.id))
        parent = sandbox.cgroup_parent.rstrip("/") or f"/{sandbox.id}"
        container_view = ContainerView(
            id=identifier,
            config=config,
            image_config=image_config,
            image_name=image_name,
            user=user,
            cgroup_path=f"{parent}/{identifier}",
            root="rootfs",
            mounts=[self._resolved(bundle, number, m) for number, m in enumerate(config.get("mounts") or ())],
            devices=_devices(config, privileged=bool(security.get("privileged"))),
            seccomp=_localhost_profile(security.get("seccomp") or {}),
        )
        namespaces = self._namespaces(view, security.get("namespace_options") or {})
        joined = SandboxView(view.id, view.config, namespaces, view.files)
        bundle.write_spec(oci_spec(container_view, joined, self._host))
        log_directory, log_path = sandbox.config.get("log_directory", ""), config.get("log_path", "")
        record = ContainerRecord(
            id=identifier,
            sandbox_id=sandbox.id,
            config={key: value for key, value in config.items() if key != "envs"},
            image_id=image.id,
            image_ref=next(iter(image.digests), image.id),
            image_name=image_name,
            cgroup_path=container_view.cgroup_path,
            log_path=os.path.join(log_directory, log_path) if log_directory and log_path else "",
            stop_signal=_stop_signal(config, image_config),
            user=user_message(user),
            resources=dict(linux.get("resources") or {}),
            created_at=self._now(),
        )
        return Container(record, bundle)

    def _resolved(self, bundle: Bundle, number: int, mount: Mapping[str, Any]) -> dict[str, Any]:
        """The mount with the path on this node that it leads to. Raises ValueError or OSError for what cannot be."""
        reference = (mount.get("image") or {}).get("image")
        if not reference:
            return _resolved(mount)
        image = self._images.find(reference)
        if image is None:
            raise ValueError(f'failed to resolve image "{reference}": not found')
        target = bundle.image_volumes / str(number)
        target.mkdir(parents=True)
        self._snapshots.mount_image(bundle.container_id, image.chain, target)
        path = Path(os.path.realpath(target / mount.get("image_sub_path", "").lstrip("/")))
        if not path.is_relative_to(os.path.realpath(target)) or not path.exists():
            raise ValueError(f'the image "{reference}" has no "{mount["image_sub_path"]}"')
        return dict(mount) | {"host_path": str(path), "readonly": True}

    def _namespaces(self, view: SandboxView, options: Mapping[str, Any]) -> dict[str, str]:
        """The sandbox's namespaces, and the PID namespace that this container asks for."""
        joined = dict(view.namespaces)
        match options.get("pid", "POD"):
            case "NODE":
                joined.pop("pid", None)
            case "TARGET":
                target = self.running(options.get("target_id", ""))
                joined["pid"] = f"/proc/{target.record.pid}/ns/pid"
            case "CONTAINER":
                joined["pid"] = ""
            case _:
                joined.setdefault("pid", "")  # the pod shares none: the node's is only for who asks for it
        return joined

    async def _discard(self, identifier: str, bundle: Bundle) -> None:
        bundle.unmount()
        shutil.rmtree(bundle.directory, ignore_errors=True)
        await asyncio.to_thread(self._snapshots.remove, identifier)

    # Starting.

    async def start(self, container_id: str) -> None:
        container = self.find(container_id)
        async with container.lock:
            record, bundle = container.record, container.bundle
            if record.state != CREATED:
                raise RuntimeFault("Unknown", f"container is in {record.state} state")
            if record.log_path:
                os.makedirs(os.path.dirname(record.log_path), exist_ok=True)
            config = record.config
            console = Console(
                terminal=bool(config.get("tty")),
                stdin=bool(config.get("stdin")),
                keep_stdin_open=bool(config.get("stdin")) and not config.get("stdin_once"),
            )
            try:
                record.pid = await bundle.create_container(record.log_path, console)
                record.started_at = self._now()
                await bundle.run_runc("start", record.id)
            except (RuncError, TimeoutError, OSError) as e:
                message = f"failed to create task for container: OCI runtime create failed: {_readable(e)}: unknown"
                await self._start_failed(container, message)
                raise RuntimeFault("Unknown", message) from e
            except asyncio.CancelledError:
                await asyncio.shield(self._start_failed(container, "the start was given up"))
                raise
            record.state = RUNNING
            self._save(container)
            self._listener(record, "CONTAINER_STARTED_EVENT")
            self._watch(container)

    async def _start_failed(self, container: Container, message: str) -> None:
        self._kill_all(container)
        self._note_end(container, START_ERROR_CODE, self._now(), "StartError", message)

    # Ending.

    def _ended(self, container: Container) -> None:
        """conmon has ended: the container has too, or is killed now, because nobody serves it any more."""
        status = container.bundle.exit_status()
        # In a PID namespace that others share, what the first process left behind still runs.
        usage = self._cgroups.usage(container.record.cgroup_path)
        self._kill_all(container)
        if status is None:
            self._note_end(container, UNKNOWN_CODE, self._now(), "Unknown", "the container's end was not seen")
            return
        code, finished_at = status
        reason = "Completed" if code == 0 else "Error"
        if code != 0 and usage.oom_kills:
            reason = "OOMKilled"
        self._note_end(container, code, finished_at, reason, "")

    def _note_end(self, container: Container, code: int, finished_at: int, reason: str, message: str) -> None:
        record = container.record
        if record.state == EXITED:
            return
        record.state, record.exit_code, record.reason, record.message = EXITED, code, reason, message
        record.finished_at = max(finished_at or self._now(), record.started_at)
        record.pid = 0
        if container.watch is not None:
            container.watch.close()
            container.watch = None
        self._save(container)
        container.ended.set()
        self._listener(record, "CONTAINER_STOPPED_EVENT")
        self.to_reap.put_nowait(container)

    def _kill_all(self, container: Container) -> None:
        self._cgroups.kill(container.record.cgroup_path)

    async def reap(self, container: Container) -> None:
        """Takes away what an ended container held: runc's state, cgroup, mount, bundle. Twice is once."""
        bundle = container.bundle
        if not bundle.exists():
            return
        await bundle.run_runc("delete", "--force", bundle.container_id)
        bundle.unmount()
        shutil.rmtree(bundle.directory, ignore_errors=True)
        bundle.exit_file.unlink(missing_ok=True)
        try:
            self._cgroups.remove(container.record.cgroup_path)
        except OSError as e:
            if e.errno != errno.EBUSY:
                raise
            log.warning("the cgroup %s is still in use", container.record.cgroup_path)

    async def stop(self, container_id: str, timeout_seconds: float) -> None:
        """Asks the container to end, and kills it when it has not after the timeout. Twice is once."""
        container = self.by_id.get(container_id)
        if container is None:
            return
        async with container.lock:  # a start under way has done or failed then
            record = container.record
        # The lock is not held while waiting: a second stop, with less patience, must be able to kill.
        if record.state == CREATED:
            return
        if timeout_seconds > 0 and record.pid:
            processes.signal_process(record.pid, processes.signal_number(record.stop_signal))
            await self._wait_ended(container, timeout_seconds)
        if not container.ended.is_set():
            self._kill_all(container)
            if record.pid:  # if it never got into its cgroup
                processes.signal_process(record.pid, signal.SIGKILL)
            await self._wait_ended(container, KILL_WAIT_SECONDS)
        if not container.ended.is_set():
            raise RuntimeFault("DeadlineExceeded", f"container {container_id} has been killed and does not end")

    async def _wait_ended(self, container: Container, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await container.ended.wait()
        except TimeoutError:
            return

    async def remove(self, container_id: str) -> None:
        """Removes the container and all that was its own, killing it first. Twice is once."""
        await self.stop(container_id, 0)
        container = self.by_id.get(container_id)
        if container is None:
            return
        async with container.lock:
            await self.reap(container)
            await asyncio.to_thread(self._snapshots.remove, container_id)
            if self.by_id.pop(container_id, None) is not None:
                self._records.delete(container_id)
                self._listener(container.record, "CONTAINER_DELETED_EVENT")

    # The rest.

    async def update_resources(self, container_id: str, asked: Mapping[str, Any]) -> None:
        """Changes the limits of a running container. Only what is given changes."""
        container = self.running(container_id)
        bundle = container.bundle
        file = bundle.directory / "resources.json"
        file.write_bytes(orjson.dumps(resources(asked, self._host)))
        try:
            await bundle.run_runc("update", "--resources", str(file), bundle.container_id)
        except RuncError as e:
            raise RuntimeFault("Unknown", f"failed to update resources: {e}") from e
        container.record.resources |= {key: value for key, value in asked.items() if value}
        self._save(container)

    async def sweep(self) -> None:
        """Takes away bundles and writable directories that no record knows."""
        for directory in list(self._paths.bundles.iterdir()):
            if directory.name not in self.by_id:
                bundle = self._paths.bundle(directory.name)
                await bundle.run_runc("delete", "--force", directory.name)
                bundle.unmount()
                shutil.rmtree(directory, ignore_errors=True)
        for identifier in self._snapshots.container_ids():
            if identifier not in self.by_id:
                await asyncio.to_thread(self._snapshots.remove, identifier)

    def close(self) -> None:
        """Stops watching; the containers go on."""
        for container in self.by_id.values():
            if container.watch is not None:
                container.watch.close()

    def _save(self, container: Container) -> None:
        self._records.save(container.record.id, container.record.to_json())

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * 1e9)


def _readable(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(error)


def _account_files(rootfs: Path) -> tuple[str, str]:
    """The image's passwd and group, wherever links inside of the image lead; empty when there are none."""
    root = os.open(rootfs, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return _text_in(root, "etc/passwd"), _text_in(root, "etc/group")
    finally:
        os.close(root)


def _text_in(root: int, path: str) -> str:
    try:
        fd = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as e:
        if e.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return ""
        raise
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        return file.read(ACCOUNT_FILE_LIMIT_BYTES).decode(errors="replace")


def _resolved(mount: Mapping[str, Any]) -> dict[str, Any]:
    """The mount with its host path resolved. Raises ValueError or OSError for what cannot be mounted."""
    if not mount.get("container_path") or not mount.get("host_path"):
        raise ValueError("a mount needs a host path and a container path")
    path = os.path.realpath(mount["host_path"])
    if not os.path.exists(path):
        os.makedirs(path, 0o755)  # as containerd does: a hostPath without a type relies on it
    return dict(mount) | {"host_path": path}


def _devices(config: Mapping[str, Any], *, privileged: bool) -> Sequence[HostDevice]:
    if privileged:
        return host_facts.all_devices()
    asked = config.get("devices") or ()
    return [d for device in asked for d in host_facts.devices_at(device["host_path"], device["container_path"])]


def _localhost_profile(seccomp: Mapping[str, Any]) -> dict[str, Any] | None:
    if seccomp.get("profile_type") != "Localhost":
        return None
    path = str(seccomp.get("localhost_ref", "")).removeprefix("localhost/")
    with open(path, "rb") as file:
        try:
            document: dict[str, Any] = orjson.loads(file.read(PROFILE_LIMIT_BYTES))
        except orjson.JSONDecodeError as e:
            raise ValueError(f"cannot load seccomp profile {path!r}: {e}") from e
    return document


def _stop_signal(config: Mapping[str, Any], image_config: Mapping[str, Any]) -> str:
    """The pod's stopSignal, else the image's; CRI's names have a prefix, and PLUS and MINUS for the real-time ones."""
    asked = str(config.get("stop_signal") or "")
    if asked and asked != "SIGNAL_RUNTIME_DEFAULT":
        return asked.removeprefix("SIGNAL_").replace("PLUS", "+").replace("MINUS", "-")
    return image_config.get("StopSignal") or "SIGTERM"
