"""What a volume is to the kubelet: a function that makes a directory (or file) on the node ready for a pod.

Mounting is idempotent and repeated: the first call sets up, each later one brings the content up to date and repairs
what a crash left half done. Everything below the volume's own directory is unmounted and removed with the pod, so no
volume needs a function for that.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kaa.api.objects import Object
from kaa.client.rest import Client
from kaa.kubelet.environment import Objects
from kaa.kubelet.field_ref import PodFacts
from kaa.lib.clock import Clock


class VolumeFault(Exception):
    """The volume cannot be mounted now; the pod waits and the kubelet tries again."""


def told(fault: Exception) -> str:
    """The fault as users read it: without the file that the operating system names, which may be new each time."""
    return fault.strerror or str(fault) if isinstance(fault, OSError) else str(fault)


class Tokens(Protocol):
    async def token(self, pod: Object, audience: str, expiration_seconds: int) -> str: ...


class Credentials(Protocol):
    """A private key and its certificates, in PEM."""

    @property
    def key(self) -> str: ...
    @property
    def chain(self) -> str: ...


class Certificates(Protocol):
    async def credentials(self, request: "Request", source: Object, number: int) -> Credentials: ...


class Mounts(Protocol):
    """The mount table, as far as volumes need it."""

    def tmpfs(self, target: Path, size_bytes: int) -> None:
        """A memory file system at `target`, of mode 0777. Twice is once."""
        ...

    def detach_below(self, directory: Path) -> None:
        """Unmounts everything at and below the directory."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One volume of one pod. `source` is what stands under the volume's type in the spec."""

    pod: Object
    name: str
    source: Object
    directory: Path
    facts: PodFacts
    objects: Objects
    client: Client
    tokens: Tokens
    certificates: Certificates
    mounts: Mounts
    clock: Clock
    node_files: Path = Path("/")

    def on_node(self, path: str) -> Path:
        """Where a path of the node lies for this process."""
        return self.node_files / path.lstrip("/")


@dataclass(frozen=True, slots=True)
class Volume:
    """A row of `VOLUMES`. `plugin` names the directory, as upstream's."""

    field: str
    plugin: str
    mount: Callable[[Request], Awaitable[Path]]
