"""What a kubelet is told when it is started."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kaa.api.objects import Object

PORT = 10250


@dataclass(frozen=True, slots=True)
class KubeletOptions:
    """`serving_cert`, `serving_key` and `client_ca` None: the HTTP server is not started (simulated nodes)."""

    node_name: str
    node_ip: str
    root_dir: Path
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    serving_cert: Path | None = None
    serving_key: Path | None = None
    client_ca: Path | None = None
    port: int = PORT
    max_pods: int = 110
    node_labels: Mapping[str, str] = field(default_factory=dict)
    node_taints: tuple[Object, ...] = ()
    capacity: Mapping[str, str] | None = None  # None: the machine's own
    cgroup_root: str = "/kubepods"
    pod_log_dir: Path | None = None  # None: <root_dir>/pod-logs
    resolv_conf: Path = Path("/etc/resolv.conf")
    hosts_file: Path = Path("/etc/hosts")

    @property
    def logs(self) -> Path:
        return self.pod_log_dir or self.root_dir / "pod-logs"
