"""Pod sandboxes: the namespaces, files and cgroup that a pod's containers share.

A sandbox costs no process: its namespaces are pinned by bind mounts in the run directory. Only a pod that shares one
PID namespace gets one, `catatonit -P`, which is its first process and reaps what others leave.

The record is written before anything is made, as NOTREADY: whatever a crash interrupts is known, shows up as
NOTREADY, and goes when the kubelet removes it.
"""

import asyncio
import logging
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaa.cri.bundle import Bundle, RuncError, RunPaths
from kaa.cri.container_record import SandboxRecord
from kaa.cri.cri import PodNetwork, PodNetworkError, RuntimeFault
from kaa.cri.linux import mounts, namespaces, processes
from kaa.cri.linux.cgroups import Cgroups
from kaa.cri.linux.processes import ProcessWatch
from kaa.cri.oci_spec import SandboxView
from kaa.cri.records import Records
from kaa.lib.clock import Clock

log = logging.getLogger(__name__)

SHM_BYTES = 64 * 1024 * 1024
"""The size of a pod's /dev/shm, as every container runtime's."""

PAUSE_PROGRAM = "catatonit"


class Sandboxes:
    def __init__(self, records: Records, paths: RunPaths, network: PodNetwork, cgroups: Cgroups, clock: Clock) -> None:
        self._records = records
        self._paths = paths
        self._network = network
        self._cgroups = cgroups
        self._clock = clock
        self._locks: dict[str, asyncio.Lock] = {}
        self._watches: dict[str, ProcessWatch] = {}
        self.by_id = {key: SandboxRecord(**value) for key, value in records.load().items()}
        for sandbox in self.by_id.values():
            self._recover(sandbox)

    def _directory(self, sandbox_id: str) -> Path:
        return self._paths.sandboxes / sandbox_id

    def _recover(self, sandbox: SandboxRecord) -> None:
        """A sandbox is still ready if its namespaces are: they went with the node if that was started anew."""
        pinned = (path for path in sandbox.namespaces.values() if path.startswith(str(self._paths.directory)))
        gone = any(not namespaces.is_pinned(Path(path)) for path in pinned)
        if sandbox.ready and (gone or not self._directory(sandbox.id).exists()):
            self._not_ready(sandbox)
        elif sandbox.ready and sandbox.pause_pid:
            self._watch_pause(sandbox)

    def find(self, sandbox_id: str) -> SandboxRecord:
        """Also by an unambiguous beginning of its id, as people type it."""
        found = self.by_id.get(sandbox_id)
        if found is None and sandbox_id:
            matches = [s for key, s in self.by_id.items() if key.startswith(sandbox_id)]
            found = matches[0] if len(matches) == 1 else None
        if found is None:
            raise RuntimeFault("NotFound", f'an error occurred when try to find sandbox "{sandbox_id}": not found')
        return found

    def view(self, sandbox: SandboxRecord) -> SandboxView:
        directory = self._directory(sandbox.id)
        files = {
            "/etc/hostname": str(directory / "hostname"),
            "/dev/shm": str(directory / "shm") if self._own(sandbox, "ipc") else "/dev/shm",
        }
        for resolv_conf in (
            directory / "resolv.conf",
            Path("/etc/resolv.conf"),
        ):  # without a dns_config, the node's own
            if resolv_conf.exists():
                files.setdefault("/etc/resolv.conf", str(resolv_conf))
        return SandboxView(sandbox.id, sandbox.config, dict(sandbox.namespaces), files)

    def netns_path(self, sandbox: SandboxRecord) -> str:
        """ "" for a pod on the node's network."""
        return sandbox.namespaces.get("network", "")

    @staticmethod
    def _own(sandbox: SandboxRecord, kind: str) -> bool:
        return bool(sandbox.namespace_options.get(kind, "POD") != "NODE")

    async def run(self, config: dict[str, Any], runtime_handler: str) -> SandboxRecord:
        metadata = config.get("metadata")
        if not metadata:
            raise RuntimeFault("InvalidArgument", "the sandbox config must have metadata")
        if runtime_handler:
            raise RuntimeFault("Unknown", f'no runtime for "{runtime_handler}" is configured')
        for other in self.by_id.values():
            if other.config.get("metadata") == metadata:
                name = "_".join(str(metadata.get(k, "")) for k in ("name", "namespace", "uid", "attempt"))
                raise RuntimeFault(
                    "AlreadyExists", f'failed to reserve sandbox name "{name}": it is reserved for "{other.id}"'
                )
        identifier = f"{self._clock.random.getrandbits(256):064x}"
        sandbox = SandboxRecord(identifier, config, int(self._clock.now().timestamp() * 1e9), runtime_handler)
        self.by_id[identifier] = sandbox
        self._save(sandbox)
        try:
            async with self._lock(identifier):
                await self._make(sandbox)
        except BaseException as e:
            await asyncio.shield(self.remove(identifier))
            if isinstance(e, OSError | RuncError | PodNetworkError):  # a TimeoutError is an OSError
                raise RuntimeFault("Unknown", f"failed to create the sandbox: {e}") from e
            raise
        return sandbox

    async def _make(self, sandbox: SandboxRecord) -> None:
        directory = self._directory(sandbox.id)
        directory.mkdir(mode=0o711)
        if sandbox.cgroup_parent:
            self._cgroups.create(sandbox.cgroup_parent)
            self._cgroups.apply(sandbox.cgroup_parent, sandbox.linux.get("resources") or {})
        await self._make_namespaces(sandbox, directory)
        self._write_files(sandbox, directory)
        if self._own(sandbox, "network"):
            sandbox.ips = await self._network.attach(sandbox.id, self.netns_path(sandbox), sandbox.config)
        if sandbox.namespace_options.get("pid", "POD") == "POD":
            await self._start_pause(sandbox, directory)
        sandbox.ready = True
        self._save(sandbox)

    async def _make_namespaces(self, sandbox: SandboxRecord, directory: Path) -> None:
        targets: dict[str, Path] = {}
        if self._own(sandbox, "network"):
            targets |= {"net": directory / "net", "uts": directory / "uts"}  # a pod on the node's network has its name
        if self._own(sandbox, "ipc"):
            targets["ipc"] = directory / "ipc"
        oci_types = {"net": "network", "uts": "uts", "ipc": "ipc"}
        sandbox.namespaces = {oci_types[kind]: str(path) for kind, path in targets.items()}
        sysctls = dict(sandbox.linux.get("sysctls") or {})
        if targets:
            await namespaces.create_pinned(targets, sandbox.config.get("hostname", ""), sysctls)
        if self._own(sandbox, "ipc"):
            (directory / "shm").mkdir(mode=0o1777)
            mounts.tmpfs(str(directory / "shm"), SHM_BYTES)

    def _write_files(self, sandbox: SandboxRecord, directory: Path) -> None:
        hostname = sandbox.config.get("hostname") or Path("/proc/sys/kernel/hostname").read_text().strip()
        (directory / "hostname").write_text(f"{hostname}\n")
        if (dns := sandbox.config.get("dns_config")) is not None:
            (directory / "resolv.conf").write_text(resolv_conf(dns))

    async def _start_pause(self, sandbox: SandboxRecord, directory: Path) -> None:
        """The first process of the PID namespace that the pod's containers share: catatonit, with no rights at all."""
        bundle = self._pause_bundle(sandbox.id)
        bundle.create()
        program = shutil.which(PAUSE_PROGRAM)
        if program is None:
            raise OSError(f"{PAUSE_PROGRAM} is not installed: apt-get install catatonit")
        (bundle.rootfs / "pause").touch()
        bundle.write_spec(pause_spec(sandbox, program))
        pid_file = directory / "pause.pid"
        await bundle.run_runc(
            "run", "--detach", "--bundle", str(bundle.directory), "--pid-file", str(pid_file), bundle.container_id
        )
        sandbox.pause_pid = int(pid_file.read_text())
        (directory / "pid").touch()
        mounts.bind(f"/proc/{sandbox.pause_pid}/ns/pid", str(directory / "pid"))
        sandbox.namespaces["pid"] = str(directory / "pid")
        self._watch_pause(sandbox)

    def _pause_bundle(self, sandbox_id: str) -> Bundle:
        return Bundle(f"{sandbox_id}-pause", self._directory(sandbox_id) / "pause", self._paths)

    def _watch_pause(self, sandbox: SandboxRecord) -> None:
        self._watches[sandbox.id] = ProcessWatch(sandbox.pause_pid, lambda: self._not_ready(sandbox))

    def _not_ready(self, sandbox: SandboxRecord) -> None:
        sandbox.ready = False
        if sandbox.id in self.by_id:
            self._save(sandbox)

    def update_resources(self, sandbox_id: str, asked: Mapping[str, Any]) -> None:
        """Changes the limits of all that runs in the sandbox together. Only what is given changes."""
        sandbox = self.find(sandbox_id)
        if not sandbox.cgroup_parent:
            return
        try:
            self._cgroups.apply(sandbox.cgroup_parent, dict(asked))
        except OSError as e:
            raise RuntimeFault("Unknown", f"failed to update the sandbox's resources: {e}") from e

    async def stop(self, sandbox_id: str) -> None:
        """Takes back all that the sandbox holds. Its containers have been stopped before. Twice is once."""
        sandbox = self.by_id.get(sandbox_id)
        if sandbox is None:
            return
        async with self._lock(sandbox_id):
            self._not_ready(sandbox)
            if self._own(sandbox, "network"):
                await self._network.detach(sandbox_id)
            if watch := self._watches.pop(sandbox_id, None):
                watch.close()
            directory = self._directory(sandbox_id)
            pause = self._pause_bundle(sandbox_id)
            if pause.exists():
                await self._stop_pause(sandbox, pause)
            for kind in ("net", "uts", "ipc", "pid"):
                namespaces.unpin(directory / kind)
            mounts.unmount(str(directory / "shm"))

    async def _stop_pause(self, sandbox: SandboxRecord, pause: Bundle) -> None:
        if sandbox.pause_pid and "/pause" in processes.command_line(sandbox.pause_pid):
            processes.signal_process(sandbox.pause_pid, signal.SIGKILL)
        await pause.run_runc("delete", "--force", pause.container_id)
        shutil.rmtree(pause.directory, ignore_errors=True)

    async def remove(self, sandbox_id: str) -> None:
        """Removes a sandbox whose containers are gone. Twice is once."""
        await self.stop(sandbox_id)
        sandbox = self.by_id.get(sandbox_id)
        if sandbox is None:
            return
        if sandbox.cgroup_parent:
            try:
                self._cgroups.remove(sandbox.cgroup_parent)
            except OSError as e:  # the kubelet, who named it, may have put something into it
                log.info("the cgroup %s stays: %s", sandbox.cgroup_parent, e)
        shutil.rmtree(self._directory(sandbox_id), ignore_errors=True)
        self._records.delete(sandbox_id)
        self.by_id.pop(sandbox_id, None)
        self._locks.pop(sandbox_id, None)

    def sweep(self) -> None:
        """Takes away what is mounted for sandboxes that no record knows."""
        for directory in list(self._paths.sandboxes.iterdir()):
            if directory.name not in self.by_id:
                for name in ("net", "uts", "ipc", "pid", "shm"):
                    mounts.unmount(str(directory / name))
                shutil.rmtree(directory, ignore_errors=True)

    def close(self) -> None:
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()

    def _save(self, sandbox: SandboxRecord) -> None:
        self._records.save(sandbox.id, sandbox.to_json())

    def _lock(self, sandbox_id: str) -> asyncio.Lock:
        return self._locks.setdefault(sandbox_id, asyncio.Lock())


def resolv_conf(dns: dict[str, Any]) -> str:
    """/etc/resolv.conf for CRI's DNSConfig."""
    lines = []
    if dns.get("searches"):
        lines.append(f"search {' '.join(dns['searches'])}")
    lines += [f"nameserver {server}" for server in dns.get("servers") or ()]
    if dns.get("options"):
        lines.append(f"options {' '.join(dns['options'])}")
    return "".join(f"{line}\n" for line in lines)


def pause_spec(sandbox: SandboxRecord, program: str) -> dict[str, Any]:
    """The OCI specification of the pause process: one program, nothing else, no capabilities, read-only."""
    joined = [{"type": kind, "path": path} for kind, path in sandbox.namespaces.items()]
    spec: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {
            "args": ["/pause", "-P"],
            "cwd": "/",
            "env": [],
            "user": {"uid": 65_535, "gid": 65_535},
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [
            {"destination": "/pause", "source": program, "type": "bind", "options": ["bind", "ro"]},
            {"destination": "/proc", "source": "proc", "type": "proc", "options": ["nosuid", "noexec", "nodev"]},
        ],
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, *joined]},
    }
    if sandbox.cgroup_parent:
        spec["linux"]["cgroupsPath"] = f"{sandbox.cgroup_parent.rstrip('/')}/{sandbox.id}-pause"
    return spec
