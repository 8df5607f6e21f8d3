"""What a simulated runtime keeps: sandboxes, containers, addresses; and how CRI's messages tell of them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network
from pathlib import Path

from kaa.cri.cri import Message, RuntimeFault
from kaa.cri.simulated_behaviour import Behaviour
from kaa.cri.simulated_program import ContainerLog, Exit, SimulatedContainer


@dataclass(slots=True)
class Sandbox:
    id: str
    config: Message
    ip: str
    created_at: int
    handler: str
    is_ready: bool = True


@dataclass(slots=True)
class Container:
    id: str
    sandbox: Sandbox
    config: Message
    image_ref: str
    behaviour: Behaviour
    created_at: int
    log: ContainerLog
    state: str = "CONTAINER_CREATED"
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    timer: asyncio.TimerHandle | None = None
    inside: SimulatedContainer | None = None
    program: "asyncio.Task[Exit] | None" = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Addresses:
    """The node's pod addresses, each given out again only when all others have been."""

    def __init__(self, cidr: str) -> None:
        self.cidr = cidr
        self._taken: set[str] = set()
        self._hosts: Iterator[str] = iter(())

    def take(self) -> str:
        """Raises RuntimeFault when there is none."""
        if not self.cidr:
            raise RuntimeFault("Unavailable", "the node has no pod range yet")
        network = IPv4Network(self.cidr)
        for _ in range(2):
            for address in self._hosts:
                if address not in self._taken:
                    self._taken.add(address)
                    return address
            # The first address is the node's own, the last the broadcast's.
            self._hosts = (str(network[index]) for index in range(2, network.num_addresses - 1))
        raise RuntimeFault("ResourceExhausted", f"no free address in {self.cidr}")

    def reserve(self, address: str) -> None:
        """Somebody has it already."""
        self._taken.add(address)

    def give_back(self, address: str) -> None:
        self._taken.discard(address)


def sandbox_message(sandbox: Sandbox) -> Message:
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


def container_message(container: Container) -> Message:
    config = container.config
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
        "resources": {"linux": (container.config.get("linux") or {}).get("resources") or {}},
        "image_id": container.image_ref,
        "reason": container.reason,
        "labels": config.get("labels") or {},
        "annotations": config.get("annotations") or {},
        "mounts": config.get("mounts") or [],
        "log_path": str(container.log.path),
    }


def log_path(sandbox: Sandbox, config: Message) -> Path:
    return Path(sandbox.config.get("log_directory", ""), config.get("log_path", ""))


def nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000


def matches(item: Message, chosen: Message) -> bool:
    """CRI's filters: every criterion that is given."""
    if chosen.get("id") and chosen["id"] != item["id"]:
        return False
    if chosen.get("state") and chosen["state"].get("state") != item["state"]:
        return False
    if chosen.get("pod_sandbox_id") and chosen["pod_sandbox_id"] != item.get("pod_sandbox_id"):
        return False
    wanted = chosen.get("label_selector") or {}
    return all(item["labels"].get(key) == value for key, value in wanted.items())
