"""What is known of a container, kept in a file across our own restarts, and CRI's messages made of it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from kaa.cri.cri import Message
from kaa.cri.users import User

CREATED, RUNNING, EXITED = "CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED"


@dataclass(slots=True)
class ContainerRecord:
    """`state` only ever moves CREATED -> RUNNING -> EXITED, or CREATED -> EXITED when it cannot be started.

    `config` is CRI's ContainerConfig without its environment: that may hold secrets, and only runc needs it.
    """

    id: str
    sandbox_id: str
    config: dict[str, Any]
    image_id: str
    image_ref: str  # repo@digest, or the id of an image that was never pulled
    image_name: str
    cgroup_path: str
    log_path: str
    stop_signal: str  # as the image names it
    user: dict[str, Any]
    resources: dict[str, Any]  # the latest LinuxContainerResources
    created_at: int
    state: str = CREATED
    started_at: int = 0
    finished_at: int = 0
    pid: int = 0  # of the first process, while it runs
    exit_code: int = 0
    reason: str = ""
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.config.get("labels") or {})

    @property
    def image_spec(self) -> Message:
        return {"image": self.image_name, "user_specified_image": self.image_name}

    def summary(self) -> Message:
        """CRI's Container."""
        return {
            "id": self.id,
            "pod_sandbox_id": self.sandbox_id,
            "metadata": self.config.get("metadata") or {},
            "image": self.image_spec,
            "image_ref": self.image_ref,
            "image_id": self.image_id,
            "state": self.state,
            "created_at": self.created_at,
            "labels": self.labels,
            "annotations": dict(self.config.get("annotations") or {}),
        }

    def status(self) -> Message:
        """CRI's ContainerStatus."""
        return {
            "id": self.id,
            "metadata": self.config.get("metadata") or {},
            "state": self.state,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "exit_code": self.exit_code,
            "image": self.image_spec,
            "image_ref": self.image_ref,
            "image_id": self.image_id,
            "reason": self.reason,
            "message": self.message,
            "labels": self.labels,
            "annotations": dict(self.config.get("annotations") or {}),
            "mounts": list(self.config.get("mounts") or ()),
            "log_path": self.log_path,
            "resources": {"linux": self.resources},
            "user": {"linux": self.user},
        }


def user_message(user: User) -> Message:
    return {"uid": user.uid, "gid": user.gid, "supplemental_groups": [user.gid, *user.groups]}


@dataclass(slots=True)
class SandboxRecord:
    """A pod sandbox. `namespaces` as in `SandboxView`; NOTREADY also while it is being made."""

    id: str
    config: dict[str, Any]
    created_at: int
    runtime_handler: str = ""
    ready: bool = False
    ips: list[str] = field(default_factory=list)
    namespaces: dict[str, str] = field(default_factory=dict)
    pause_pid: int = 0  # of the first process of a shared PID namespace

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def linux(self) -> dict[str, Any]:
        return dict(self.config.get("linux") or {})

    @property
    def security(self) -> dict[str, Any]:
        return dict(self.linux.get("security_context") or {})

    @property
    def namespace_options(self) -> dict[str, Any]:
        return dict(self.security.get("namespace_options") or {})

    @property
    def cgroup_parent(self) -> str:
        return str(self.linux.get("cgroup_parent") or "")

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.config.get("labels") or {})

    @property
    def state(self) -> str:
        return "SANDBOX_READY" if self.ready else "SANDBOX_NOTREADY"

    def summary(self) -> Message:
        """CRI's PodSandbox."""
        return {
            "id": self.id,
            "metadata": self.config.get("metadata") or {},
            "state": self.state,
            "created_at": self.created_at,
            "labels": self.labels,
            "annotations": dict(self.config.get("annotations") or {}),
            "runtime_handler": self.runtime_handler,
        }

    def status(self) -> Message:
        """CRI's PodSandboxStatus."""
        network = {"ip": self.ips[0], "additional_ips": [{"ip": ip} for ip in self.ips[1:]]} if self.ips else {}
        return self.summary() | {
            "network": network,
            "linux": {"namespaces": {"options": self.namespace_options}},
        }
