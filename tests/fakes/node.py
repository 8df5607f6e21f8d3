"""A node for tests of the container runtime: mount namespace, directories, cgroup, and a pod network of loopbacks.

Mounts that a runtime makes are never seen outside: the whole test process moves into a mount namespace of its own once,
and stays there (a process with threads cannot go back). What runs is killed by its cgroup when the node ends.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaa.cri.archive import write_oci_archive
from kaa.cri.cri import Message
from kaa.cri.linux import cgroups
from kaa.lib import libc
from kaa.network.links import configure_async

IMAGE = "docker.io/library/kaa-test:latest"
APPLETS = (
    "cat",
    "echo",
    "env",
    "false",
    "head",
    "id",
    "ls",
    "mkdir",
    "mount",
    "nc",
    "od",
    "pwd",
    "sh",
    "sleep",
    "stat",
    "stty",
    "tail",
    "touch",
    "true",
)


MS_REC_PRIVATE = 0x4000 | 0x40000

_in_own_mount_namespace = False


class LoopbackNetwork:
    """Every pod has the address 127.0.0.1 of its own namespace, and reports one nobody else has."""

    def __init__(self) -> None:
        self.attached: dict[str, str] = {}

    async def attach(self, sandbox_id: str, netns_path: str, config: Message) -> list[str]:
        await configure_async(["link set lo up"], netns_path)
        self.attached.setdefault(sandbox_id, f"10.0.0.{len(self.attached) + 1}")
        return [self.attached[sandbox_id]]

    async def detach(self, sandbox_id: str) -> None:
        self.attached.pop(sandbox_id, None)

    def ready(self) -> str:
        return ""


@dataclass
class Node:
    directory: Path
    cgroup: str
    network: LoopbackNetwork = field(default_factory=LoopbackNetwork)
    pods: int = 0

    @property
    def root(self) -> Path:
        return self.directory / "root"

    @property
    def run(self) -> Path:
        return self.directory / "run"

    @property
    def archive(self) -> Path:
        return self.directory / "image.tar"

    def sandbox_config(self, **options: Any) -> dict[str, Any]:
        """A pod that nobody had before. Options go into `linux.security_context.namespace_options`."""
        self.pods += 1
        name = f"pod{self.pods}"
        return {
            "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "attempt": 0},
            "hostname": name,
            "log_directory": str(self.directory / "logs" / name),
            "dns_config": {
                "servers": ["10.96.0.10"],
                "searches": ["default.svc.cluster.local"],
                "options": ["ndots:5"],
            },
            "labels": {"app": name},
            "linux": {
                "cgroup_parent": f"{self.cgroup}/{name}",
                "security_context": {"namespace_options": {"pid": "CONTAINER"} | options},
            },
        }


def container_config(name: str, *command: str, **more: Any) -> dict[str, Any]:
    """`security` goes into `linux.security_context`, `resources` into `linux.resources`; `pid` is its PID namespace."""
    security = {"namespace_options": {"pid": more.pop("pid", "CONTAINER")}} | more.pop("security", {})
    linux = {"security_context": security, "resources": more.pop("resources", {})}
    config = {
        "metadata": {"name": name, "attempt": 0},
        "image": {"image": IMAGE},
        "command": list(command),
        "log_path": f"{name}.log",
        "linux": linux,
    }
    return config | more


def write_image(path: Path, files: Path) -> None:
    (files / "bin").mkdir(parents=True)
    (files / "etc").mkdir()
    (files / "tmp").mkdir(mode=0o777)
    shutil.copy("/bin/busybox", files / "bin" / "busybox")
    for applet in APPLETS:
        (files / "bin" / applet).symlink_to("busybox")
    (files / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\nweb:x:101:102::/:/bin/sh\n")
    (files / "etc" / "group").write_text("root:x:0:\nweb:x:102:\nextra:x:300:web\n")
    write_oci_archive(path, IMAGE, files, {"Cmd": ["/bin/sh", "-c", "echo from the image"], "Env": ["A=image"]})


@contextmanager
def node() -> Iterator[Node]:
    """Needs root."""
    global _in_own_mount_namespace
    if not _in_own_mount_namespace:
        libc.unshare(libc.CLONE_NEWNS)
        libc.mount("none", "/", "", MS_REC_PRIVATE)
        _in_own_mount_namespace = True
    directory = Path(tempfile.mkdtemp(prefix="kaa-node-"))
    made = Node(directory, f"/kaa-test-{directory.name}")
    write_image(made.archive, directory / "files")
    try:
        yield made
    finally:
        layout = cgroups.detect()
        layout.kill(made.cgroup)
        _remove_cgroup(layout, made.cgroup)
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            target = line.split()[1]
            if target.startswith(str(directory)):
                libc.umount2(target, 2)
        shutil.rmtree(directory)


def _remove_cgroup(layout: cgroups.Cgroups, path: str) -> None:
    for _ in range(100):  # a killed process leaves its cgroup a moment later
        try:
            layout.remove(path)
            return
        except OSError:
            time.sleep(0.02)
    layout.remove(path)
