"""What of its machine a kubelet uses beside the runtime: measures, mounts, files, and the way to containers.

`LinuxHost` is the machine that the process runs on. A simulated node has a host that touches nothing of it.
"""

from pathlib import Path
from typing import Protocol

from kaa.cri.cri import RuntimeService
from kaa.kubelet.handlers import Handlers, NodeHandlers
from kaa.kubelet.node_status import MachineFacts, machine_facts
from kaa.kubelet.volume_manager import LinuxMounts
from kaa.kubelet.volumes.volume import Mounts


class Host(Protocol):
    @property
    def mounts(self) -> Mounts: ...

    @property
    def files(self) -> Path:
        """Where the node's own files are: hostPath volumes are below it."""
        ...

    def facts(self, root: Path) -> MachineFacts:
        """The machine as it is now; its disk is the one that has `root`."""
        ...

    def handlers(self, runtime: RuntimeService) -> Handlers:
        """How probes and hooks reach the runtime's containers."""
        ...


class LinuxHost:
    mounts = LinuxMounts()
    files = Path("/")

    def facts(self, root: Path) -> MachineFacts:
        return machine_facts(root)

    def handlers(self, runtime: RuntimeService) -> Handlers:
        return NodeHandlers(runtime)
