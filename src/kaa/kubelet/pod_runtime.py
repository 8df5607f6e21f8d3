"""What the container runtime knows of one pod, as values, newest first. Pure.

The labels and annotations on sandboxes and containers are upstream's, so that either kubelet recognises the other's
containers after a restart.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, cast

from kaa.cri.cri import Message

POD_NAME_LABEL = "io.kubernetes.pod.name"
POD_NAMESPACE_LABEL = "io.kubernetes.pod.namespace"
POD_UID_LABEL = "io.kubernetes.pod.uid"
CONTAINER_NAME_LABEL = "io.kubernetes.container.name"
HASH_ANNOTATION = "io.kubernetes.container.hash"
RESTART_COUNT_ANNOTATION = "io.kubernetes.container.restartCount"
TERMINATION_PATH_ANNOTATION = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY_ANNOTATION = "io.kubernetes.container.terminationMessagePolicy"
GRACE_ANNOTATION = "io.kubernetes.pod.terminationGracePeriod"

ContainerState = Literal["CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED", "CONTAINER_UNKNOWN"]


@dataclass(frozen=True, slots=True)
class RuntimeContainer:
    """One container, running or ended. Times are None until they happened."""

    id: str
    name: str
    sandbox_id: str
    attempt: int
    state: ContainerState
    image: str = ""
    image_ref: str = ""
    hash: str = ""
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    log_path: str = ""
    user: Message | None = None
    resources: Message = field(default_factory=dict)  # LinuxContainerResources that it was last given

    @property
    def is_running(self) -> bool:
        return self.state == "CONTAINER_RUNNING"

    @property
    def has_ended(self) -> bool:
        return self.state == "CONTAINER_EXITED"


@dataclass(frozen=True, slots=True)
class RuntimeSandbox:
    id: str
    attempt: int
    is_ready: bool
    ips: tuple[str, ...] = ()
    created_at: datetime | None = None
    network_mode: str = "POD"


@dataclass(frozen=True, slots=True)
class PodRuntime:
    """All sandboxes and containers of one pod, each newest first. Empty: the runtime has never seen it."""

    uid: str
    name: str = ""
    namespace: str = ""
    sandboxes: tuple[RuntimeSandbox, ...] = ()
    containers: tuple[RuntimeContainer, ...] = ()
    grace_seconds: int | None = None

    @property
    def sandbox(self) -> RuntimeSandbox | None:
        """The newest sandbox."""
        return self.sandboxes[0] if self.sandboxes else None

    @property
    def ips(self) -> tuple[str, ...]:
        return self.sandbox.ips if self.sandbox is not None and self.sandbox.is_ready else ()

    def latest(self, name: str) -> RuntimeContainer | None:
        for container in self.containers:
            if container.name == name:
                return container
        return None

    def previous(self, name: str) -> RuntimeContainer | None:
        """The one before the latest."""
        return next((c for c in [c for c in self.containers if c.name == name][1:]), None)

    def last_ended(self, name: str) -> RuntimeContainer | None:
        """The newest of that name that does not run (any more)."""
        return next((c for c in self.containers if c.name == name and not c.is_running), None)

    def in_current_sandbox(self, name: str) -> RuntimeContainer | None:
        """The latest of that name, if it belongs to the newest sandbox."""
        latest, sandbox = self.latest(name), self.sandbox
        return latest if latest and sandbox and latest.sandbox_id == sandbox.id else None

    @property
    def is_active(self) -> bool:
        """Something is left to stop."""
        return any(c.is_running for c in self.containers) or any(s.is_ready for s in self.sandboxes)


def moment(nanoseconds: int) -> datetime | None:
    """CRI's times are nanoseconds since 1970; 0 means not yet."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC) if nanoseconds else None


def sandbox_of(status: Message) -> RuntimeSandbox:
    """From a PodSandboxStatus."""
    network = status.get("network") or {}
    ips = [network.get("ip", "")] + [extra.get("ip", "") for extra in network.get("additional_ips") or ()]
    options = ((status.get("linux") or {}).get("namespaces") or {}).get("options") or {}
    return RuntimeSandbox(
        id=status["id"],
        attempt=status.get("metadata", {}).get("attempt", 0),
        is_ready=status.get("state", "SANDBOX_READY") == "SANDBOX_READY",
        ips=tuple(ip for ip in ips if ip),
        created_at=moment(status.get("created_at", 0)),
        network_mode=options.get("network", "POD"),
    )


def container_of(status: Message, sandbox_id: str, message: str = "") -> RuntimeContainer:
    """From a ContainerStatus, which does not name its sandbox; `message` is what the termination log held."""
    annotations = status.get("annotations") or {}
    metadata = status.get("metadata") or {}
    restarts = annotations.get(RESTART_COUNT_ANNOTATION, "")
    user = (status.get("user") or {}).get("linux")
    return RuntimeContainer(
        id=status["id"],
        name=metadata.get("name", ""),
        sandbox_id=sandbox_id,
        attempt=int(restarts) if restarts.isdigit() else metadata.get("attempt", 0),
        state=cast(ContainerState, status.get("state", "CONTAINER_CREATED")),
        image=(status.get("image") or {}).get("user_specified_image") or (status.get("image") or {}).get("image", ""),
        image_ref=status.get("image_ref", ""),
        hash=annotations.get(HASH_ANNOTATION, ""),
        created_at=moment(status.get("created_at", 0)),
        started_at=moment(status.get("started_at", 0)),
        finished_at=moment(status.get("finished_at", 0)),
        exit_code=status.get("exit_code", 0),
        reason=status.get("reason", ""),
        message="\n".join(part for part in (status.get("message", ""), message) if part),
        log_path=status.get("log_path", ""),
        user=user,
        resources=(status.get("resources") or {}).get("linux") or {},
    )


def newest_first(
    uid: str,
    name: str,
    namespace: str,
    sandboxes: Iterable[RuntimeSandbox],
    containers: Iterable[RuntimeContainer],
    grace_seconds: int | None = None,
) -> PodRuntime:
    epoch = datetime.fromtimestamp(0, UTC)
    return PodRuntime(
        uid=uid,
        name=name,
        namespace=namespace,
        sandboxes=tuple(sorted(sandboxes, key=lambda s: (s.created_at or epoch, s.attempt), reverse=True)),
        containers=tuple(sorted(containers, key=lambda c: (c.created_at or epoch, c.attempt), reverse=True)),
        grace_seconds=grace_seconds,
    )
