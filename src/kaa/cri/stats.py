"""CRI's statistics messages, made of what the cgroups, the disk and the network interfaces say."""

from pathlib import Path
from typing import Any

from kaa.cri.container_record import ContainerRecord, SandboxRecord
from kaa.cri.cri import Message
from kaa.cri.linux.cgroups import Usage
from kaa.cri.linux.namespaces import in_namespace

DEFAULT_INTERFACE = "eth0"


def _value(number: int) -> Message:
    return {"value": number}


def _cpu(usage: Usage, now: int) -> Message:
    return {"timestamp": now, "usage_core_nano_seconds": _value(usage.cpu_nanoseconds)}


def _memory(usage: Usage, now: int) -> Message:
    message = {
        "timestamp": now,
        "working_set_bytes": _value(usage.working_set_bytes),
        "usage_bytes": _value(usage.memory_bytes),
        "rss_bytes": _value(usage.rss_bytes),
        "page_faults": _value(usage.page_faults),
        "major_page_faults": _value(usage.major_page_faults),
    }
    if usage.memory_limit_bytes:
        message["available_bytes"] = _value(max(usage.memory_limit_bytes - usage.working_set_bytes, 0))
    return message


def _attributes(record: ContainerRecord | SandboxRecord) -> Message:
    return {
        "id": record.id,
        "metadata": record.config.get("metadata") or {},
        "labels": record.labels,
        "annotations": dict(record.config.get("annotations") or {}),
    }


def container_stats(record: ContainerRecord, usage: Usage, disk: tuple[int, int], mountpoint: str, now: int) -> Message:
    """`disk` is (bytes, inodes) of the writable directory, `mountpoint` where that is."""
    return {
        "attributes": _attributes(record),
        "cpu": _cpu(usage, now),
        "memory": _memory(usage, now),
        "writable_layer": {
            "timestamp": now,
            "fs_id": {"mountpoint": mountpoint},
            "used_bytes": _value(disk[0]),
            "inodes_used": _value(disk[1]),
        },
    }


def sandbox_stats(
    record: SandboxRecord, usage: Usage, containers: list[Message], interfaces: list[Message], now: int
) -> Message:
    linux: dict[str, Any] = {
        "cpu": _cpu(usage, now),
        "memory": _memory(usage, now),
        "process": {"timestamp": now, "process_count": _value(usage.process_count)},
        "containers": containers,
    }
    if interfaces:
        default = next((i for i in interfaces if i["name"] == DEFAULT_INTERFACE), interfaces[0])
        linux["network"] = {"timestamp": now, "default_interface": default, "interfaces": interfaces}
    return {"attributes": _attributes(record), "linux": linux}


async def read_interfaces(netns_path: str) -> list[Message]:
    """The counters of a network namespace's interfaces, without the loopback."""
    text = await in_namespace(netns_path, lambda: Path("/proc/thread-self/net/dev").read_text())
    return parse_net_dev(text)


def parse_net_dev(text: str) -> list[Message]:
    """/proc/net/dev: after two lines of headings, a line an interface, 8 numbers received, then 8 sent."""
    interfaces = []
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        fields = [int(number) for number in numbers.split()]
        if name.strip() != "lo" and len(fields) >= 11:
            interfaces.append(
                {
                    "name": name.strip(),
                    "rx_bytes": _value(fields[0]),
                    "rx_errors": _value(fields[2]),
                    "tx_bytes": _value(fields[8]),
                    "tx_errors": _value(fields[10]),
                }
            )
    return interfaces
