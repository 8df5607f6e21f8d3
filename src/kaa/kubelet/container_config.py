"""A container and a sandbox as CRI configurations. Pure: everything looked up beforehand comes in as `Prepared`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kaa.api.objects import Object, annotations_of, labels_of
from kaa.cri.cri import Message
from kaa.kubelet import pod_runtime
from kaa.kubelet.dns_config import Resolver, dns_config
from kaa.kubelet.expansion import expand
from kaa.kubelet.hosts_file import hostname
from kaa.kubelet.pod_spec import app_containers, container_hash, grace_seconds, init_containers, is_sidecar
from kaa.kubelet.qos import qos_class
from kaa.kubelet.resources import container_resources, pod_resources
from kaa.kubelet.security_context import container_security_context, sandbox_security_context

TERMINATION_LOG = "/dev/termination-log"

PROPAGATION = {
    None: "PROPAGATION_PRIVATE",
    "None": "PROPAGATION_PRIVATE",
    "HostToContainer": "PROPAGATION_HOST_TO_CONTAINER",
    "Bidirectional": "PROPAGATION_BIDIRECTIONAL",
}


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What every pod's configuration takes from the node."""

    resolver: Resolver = field(default_factory=Resolver)
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    cgroup_root: str = "/kubepods"
    memory_capacity_bytes: int = 0
    pod_log_dir: Path = Path("/var/log/pods")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was looked up for one container: its image as pulled, environment, and host paths by mount path."""

    image_ref: str
    environment: Mapping[str, str]
    mount_sources: Mapping[str, Path]
    hosts_path: Path | None = None
    termination_path: Path | None = None
    target_id: str = ""
    image_volumes: Mapping[str, str] = field(default_factory=dict)  # images as pulled, by volume name


def sandbox_config(pod: Object, attempt: int, node: NodeFacts) -> Message:
    """CRI's PodSandboxConfig."""
    meta = pod["metadata"]
    linux: Message = {
        "cgroup_parent": pod_cgroup(pod, node),
        "security_context": sandbox_security_context(pod),
        "sysctls": {s["name"]: s["value"] for s in (pod["spec"].get("securityContext") or {}).get("sysctls") or ()},
        "resources": pod_resources(pod),
    }
    return {
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"], "attempt": attempt},
        "hostname": "" if pod["spec"].get("hostNetwork") else hostname(pod),
        "log_directory": str(node.pod_log_dir / pod_log_directory(pod)),
        "dns_config": dns_config(pod, node.resolver, node.cluster_dns, node.cluster_domain),
        "port_mappings": port_mappings(pod),
        "labels": {**labels_of(pod), **identity_labels(pod)},
        "annotations": {**annotations_of(pod), pod_runtime.GRACE_ANNOTATION: str(grace_seconds(pod))},
        "linux": linux,
    }


def pod_cgroup(pod: Object, node: NodeFacts) -> str:
    """Guaranteed pods right below the root, the others below their class, as upstream lays them out."""
    classes = {"Guaranteed": "", "Burstable": "burstable/", "BestEffort": "besteffort/"}
    return f"{node.cgroup_root}/{classes[qos_class(pod)]}pod{pod['metadata']['uid']}"


def pod_log_directory(pod: Object) -> str:
    meta = pod["metadata"]
    return f"{meta['namespace']}_{meta['name']}_{meta['uid']}"


def identity_labels(pod: Object) -> dict[str, str]:
    meta = pod["metadata"]
    return {
        pod_runtime.POD_NAME_LABEL: meta["name"],
        pod_runtime.POD_NAMESPACE_LABEL: meta["namespace"],
        pod_runtime.POD_UID_LABEL: meta["uid"],
    }


def port_mappings(pod: Object) -> list[Message]:
    containers = [*app_containers(pod), *(c for c in init_containers(pod) if is_sidecar(c))]
    return [
        {
            "protocol": port.get("protocol", "TCP"),
            "container_port": port["containerPort"],
            "host_port": port.get("hostPort", 0),
            "host_ip": port.get("hostIP", ""),
        }
        for container in containers
        for port in container.get("ports") or ()
        if port.get("hostPort") and not pod["spec"].get("hostNetwork")
    ]


def container_config(pod: Object, container: Object, attempt: int, prepared: Prepared, node: NodeFacts) -> Message:
    """CRI's ContainerConfig."""
    name = container["name"]
    variables = prepared.environment
    path = container.get("terminationMessagePath") or TERMINATION_LOG
    return {
        "metadata": {"name": name, "attempt": attempt},
        "image": {"image": prepared.image_ref, "user_specified_image": container.get("image", "")},
        "command": [expand(word, variables) for word in container.get("command") or ()],
        "args": [expand(word, variables) for word in container.get("args") or ()],
        "working_dir": container.get("workingDir", ""),
        "envs": [{"key": key, "value": value.encode()} for key, value in variables.items()],
        "mounts": mounts(container, prepared, path),
        "labels": {**identity_labels(pod), pod_runtime.CONTAINER_NAME_LABEL: name},
        "annotations": {
            pod_runtime.HASH_ANNOTATION: container_hash(container),
            pod_runtime.RESTART_COUNT_ANNOTATION: str(attempt),
            pod_runtime.TERMINATION_PATH_ANNOTATION: path,
            pod_runtime.TERMINATION_POLICY_ANNOTATION: container.get("terminationMessagePolicy") or "File",
            pod_runtime.GRACE_ANNOTATION: str(grace_seconds(pod)),
        },
        "log_path": f"{name}/{attempt}.log",
        "stdin": bool(container.get("stdin")),
        "stdin_once": bool(container.get("stdinOnce")),
        "tty": bool(container.get("tty")),
        "linux": {
            "resources": container_resources(pod, container, node.memory_capacity_bytes),
            "security_context": container_security_context(pod, container, prepared.target_id),
        },
    }


def mounts(container: Object, prepared: Prepared, termination_path: str) -> list[Message]:
    """Volumes (images among them), then the hosts file and termination log unless a volume is already there."""
    result: list[Message] = []
    for mount in container.get("volumeMounts") or ():
        path = "/" + mount["mountPath"].removeprefix("/")
        if image := prepared.image_volumes.get(mount["name"]):
            sub_path = mount.get("subPath", "")
            result.append(
                {"container_path": path, "image": {"image": image}, "image_sub_path": sub_path, "readonly": True}
            )
        source = prepared.mount_sources.get(mount["mountPath"])
        if source is None:
            continue  # an image, or an optional volume without a directory
        readonly = bool(mount.get("readOnly"))
        result.append(
            {
                "container_path": path,
                "host_path": str(source),
                "readonly": readonly,
                "propagation": PROPAGATION[mount.get("mountPropagation")],
                "recursive_read_only": readonly and mount.get("recursiveReadOnly") == "Enabled",
            }
        )
    taken = {mount["container_path"] for mount in result}
    files = ((prepared.hosts_path, "/etc/hosts"), (prepared.termination_path, termination_path))
    result += [
        {"container_path": target, "host_path": str(source), "propagation": "PROPAGATION_PRIVATE"}
        for source, target in files
        if source is not None and target not in taken
    ]
    return result
