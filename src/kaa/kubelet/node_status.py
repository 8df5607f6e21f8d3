"""The Node that stands for this machine: what it is, what it can give, how it is. Pure but for `machine_facts`."""

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kaa.api.objects import Object, condition
from kaa.cri.cri import Message
from kaa.kubelet.options import KubeletOptions
from kaa.lib.clock import rfc3339

KUBELET_VERSION = "v1.37.2"
"""The Kubernetes version that the kubelet behaves as."""

MAX_IMAGES = 50
"""Listed in the status, the largest first, as upstream's nodeStatusMaxImages."""

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}

MEMORY_PRESSURE_BYTES = 100 * 1024**2
DISK_PRESSURE_SHARE = 0.10
PID_PRESSURE_SHARE = 0.05
"""Upstream's default hard eviction thresholds, but for pids, which upstream leaves unset."""


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """Read from the machine at one moment."""

    cpus: int
    memory_bytes: int
    memory_available_bytes: int
    disk_bytes: int
    disk_available_bytes: int
    pids_max: int
    pids_used: int
    kernel: str
    os_image: str
    architecture: str
    machine_id: str
    boot_id: str


def machine_facts(root: Path) -> MachineFacts:
    memory = _meminfo()
    disk = os.statvfs(root)
    return MachineFacts(
        cpus=os.cpu_count() or 1,
        memory_bytes=memory.get("MemTotal", 0),
        memory_available_bytes=memory.get("MemAvailable", 0),
        disk_bytes=disk.f_blocks * disk.f_frsize,
        disk_available_bytes=disk.f_bavail * disk.f_frsize,
        pids_max=int(_read("/proc/sys/kernel/pid_max") or 32768),
        pids_used=int(_read("/proc/loadavg").split()[3].partition("/")[2] or 0),
        kernel=platform.release(),
        os_image=_os_name(),
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
        machine_id=_read("/etc/machine-id"),
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
    )


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text().strip() if file.exists() else ""


def _meminfo() -> dict[str, int]:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}


def _os_name() -> str:
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"


def new_node(options: KubeletOptions, facts: MachineFacts) -> Object:
    """What is registered when the API has no such node yet."""
    spec: Object = {"taints": list(options.node_taints)} if options.node_taints else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": options.node_name, "labels": node_labels(options, facts)},
        "spec": spec,
    }


def node_labels(options: KubeletOptions, facts: MachineFacts) -> dict[str, str]:
    """The labels that the kubelet keeps as they should be; others are their owners'."""
    return {
        "kubernetes.io/hostname": options.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": facts.architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": facts.architecture,
        **options.node_labels,
    }


def capacity(options: KubeletOptions, facts: MachineFacts) -> dict[str, str]:
    own = {
        "cpu": str(facts.cpus),
        "memory": f"{facts.memory_bytes // 1024}Ki",
        "ephemeral-storage": f"{facts.disk_bytes // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": str(options.max_pods),
    }
    return {**own, **(options.capacity or {})}


def allocatable(options: KubeletOptions, facts: MachineFacts) -> dict[str, str]:
    """Capacity less what eviction keeps free; a given capacity is taken at its word."""
    given = capacity(options, facts)
    kept = {
        "memory": f"{max(facts.memory_bytes - MEMORY_PRESSURE_BYTES, 0) // 1024}Ki",
        "ephemeral-storage": str(int(facts.disk_bytes * (1 - DISK_PRESSURE_SHARE))),
    }
    return {**given, **{k: v for k, v in kept.items() if k not in (options.capacity or {})}}


def node_status(
    options: KubeletOptions,
    facts: MachineFacts,
    runtime: Message,
    images: Iterable[Message],
    not_ready: str,
    old: Object,
    now: datetime,
) -> Object:
    """`runtime` is CRI's VersionResponse; `not_ready` says why the runtime or network is not, or is ""."""
    return {
        "addresses": [
            {"type": "InternalIP", "address": options.node_ip},
            {"type": "Hostname", "address": options.node_name},
        ],
        "capacity": capacity(options, facts),
        "allocatable": allocatable(options, facts),
        "conditions": _conditions(facts, not_ready, old.get("conditions") or [], now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": options.port}},
        "nodeInfo": {
            "machineID": facts.machine_id,
            "systemUUID": facts.machine_id,
            "bootID": facts.boot_id,
            "kernelVersion": facts.kernel,
            "osImage": facts.os_image,
            "containerRuntimeVersion": f"{runtime['runtime_name']}://{runtime['runtime_version']}",
            "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": facts.architecture,
        },
        "images": _images(images),
    }


def _images(images: Iterable[Message]) -> list[Object]:
    largest = sorted(images, key=lambda image: (-image.get("size", 0), image["id"]))[:MAX_IMAGES]
    return [
        {
            "names": [*(image.get("repo_digests") or ()), *(image.get("repo_tags") or ())],
            "sizeBytes": image.get("size", 0),
        }
        for image in largest
    ]


def pressures(facts: MachineFacts) -> Mapping[str, bool]:
    """Which of the node's resources are nearly used up, by condition type."""
    return {
        "MemoryPressure": facts.memory_available_bytes < MEMORY_PRESSURE_BYTES,
        "DiskPressure": facts.disk_available_bytes < facts.disk_bytes * DISK_PRESSURE_SHARE,
        "PIDPressure": facts.pids_max - facts.pids_used < facts.pids_max * PID_PRESSURE_SHARE,
    }


PRESSURE_TEXTS = {
    "MemoryPressure": ("KubeletHasInsufficientMemory", "KubeletHasSufficientMemory", "sufficient memory available"),
    "DiskPressure": ("KubeletHasDiskPressure", "KubeletHasNoDiskPressure", "no disk pressure"),
    "PIDPressure": ("KubeletHasInsufficientPID", "KubeletHasSufficientPID", "sufficient PID available"),
}
WORSE = {
    "MemoryPressure": "insufficient memory available",
    "DiskPressure": "disk pressure",
    "PIDPressure": "insufficient PID available",
}


def _conditions(facts: MachineFacts, not_ready: str, old: list[Object], now: datetime) -> list[Object]:
    found: list[tuple[str, bool, str, str]] = []
    for kind, holds in pressures(facts).items():
        bad, good, text = PRESSURE_TEXTS[kind]
        found.append((kind, holds, bad if holds else good, f"kubelet has {WORSE[kind] if holds else text}"))
    if not_ready:
        found.append(("Ready", False, "KubeletNotReady", not_ready))
    else:
        found.append(("Ready", True, "KubeletReady", "kubelet is posting ready status"))
    return [_condition(*entry, old, now) for entry in found]


def _condition(kind: str, holds: bool, reason: str, message: str, old: list[Object], now: datetime) -> Object:
    before = condition(old, kind)
    value = "True" if holds else "False"
    same = before is not None and before.get("status") == value
    return {
        "type": kind,
        "status": value,
        "lastHeartbeatTime": rfc3339(now),
        "lastTransitionTime": before["lastTransitionTime"] if same and before else rfc3339(now),
        "reason": reason,
        "message": message,
    }
