"""What runc is told: the OCI runtime specification of a container, a pure function of what is known about it.

In: CRI's ContainerConfig and PodSandboxConfig, the image's configuration, where the sandbox's namespaces and files are,
and what the host can do. Out: the `config.json` of the bundle. Nothing here looks at the machine.

Deliberately not done: SELinux labels, id-mapped mounts and user namespaces, and directories for an image's VOLUMEs
(they are part of the container's own writable directory).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kaa.cri import capabilities
from kaa.cri.linux.host import HostDevice, HostFacts
from kaa.cri.seccomp import runtime_default
from kaa.cri.users import User

Spec = dict[str, Any]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROPAGATION = {
    "PROPAGATION_PRIVATE": "rprivate",
    "PROPAGATION_HOST_TO_CONTAINER": "rslave",
    "PROPAGATION_BIDIRECTIONAL": "rshared",
}


@dataclass(frozen=True, slots=True)
class SandboxView:
    """What a container gets from its sandbox.

    `namespaces` maps OCI types (network, ipc, uts, pid) to the path to join; a type that is absent is the node's own,
    and an empty path means a new one.
    """

    id: str
    config: Mapping[str, Any]
    namespaces: Mapping[str, str]
    files: Mapping[str, str]  # path in the container -> file of the sandbox


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container to be. `mounts` have resolved host paths; `seccomp` is a Localhost profile's document."""

    id: str
    config: Mapping[str, Any]
    image_config: Mapping[str, Any]  # `config` of the image's configuration document
    image_name: str
    user: User
    cgroup_path: str
    root: str
    mounts: Sequence[Mapping[str, Any]] = ()
    devices: Sequence[HostDevice] = ()
    seccomp: Mapping[str, Any] | None = field(default=None)


def oci_spec(container: ContainerView, sandbox: SandboxView, host: HostFacts) -> Spec:
    """Raises ValueError, with the text for people, when the container cannot be made as asked."""
    config = container.config
    linux = config.get("linux") or {}
    security = linux.get("security_context") or {}
    privileged = bool(security.get("privileged"))
    granted = granted_capabilities(security, host)
    spec: Spec = {
        "ociVersion": "1.0.2",
        "process": process(container, sandbox, granted, host),
        "root": {"path": container.root, "readonly": bool(security.get("readonly_rootfs"))},
        "mounts": mounts(container, sandbox, privileged=privileged),
        "annotations": annotations(container, sandbox),
        "linux": {
            "namespaces": namespaces(sandbox.namespaces, private_cgroup=host.unified_cgroups and not privileged),
            "cgroupsPath": container.cgroup_path,
            "resources": resources(linux.get("resources") or {}, host),
            "devices": [device_node(device) for device in container.devices],
            "rootfsPropagation": root_propagation(container.mounts),
        },
    }
    spec["linux"]["resources"]["devices"] = device_rules(container.devices, everything=privileged)
    if not privileged:
        spec["linux"]["maskedPaths"] = list(security.get("masked_paths") or ())
        spec["linux"]["readonlyPaths"] = list(security.get("readonly_paths") or ())
        profile = seccomp(security, container.seccomp, granted, host)
        if profile is not None:
            spec["linux"]["seccomp"] = profile
    return spec


def process(container: ContainerView, sandbox: SandboxView, granted: list[str], host: HostFacts) -> Spec:
    config = container.config
    linux = config.get("linux") or {}
    security = linux.get("security_context") or {}
    ambient = capabilities.in_order(
        capabilities.short_name(name)
        for name in (security.get("capabilities") or {}).get("add_ambient_capabilities") or ()
    )
    asked_score = int((linux.get("resources") or {}).get("oom_score_adj", 0))
    result: Spec = {
        "terminal": bool(config.get("tty")),
        "user": {
            "uid": container.user.uid,
            "gid": container.user.gid,
            "additionalGids": [container.user.gid, *container.user.groups],
        },
        "args": arguments(config, container.image_config),
        "env": environment(config, container.image_config, str(sandbox.config.get("hostname", ""))),
        "cwd": config.get("working_dir") or container.image_config.get("WorkingDir") or "/",
        "capabilities": {
            "bounding": granted,
            "effective": granted,
            "permitted": granted,
            "inheritable": ambient,
            "ambient": ambient,
        },
        "noNewPrivileges": bool(security.get("no_new_privs")),
        "oomScoreAdj": max(asked_score, host.lowest_oom_score_adj),
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": host.open_files, "hard": host.open_files}],
    }
    apparmor = security.get("apparmor") or {}
    if host.apparmor and apparmor.get("profile_type") == "Localhost" and not security.get("privileged"):
        result["apparmorProfile"] = apparmor.get("localhost_ref", "")
    return result


def arguments(config: Mapping[str, Any], image: Mapping[str, Any]) -> list[str]:
    """A command replaces the image's entrypoint and its cmd; args alone replace only the cmd."""
    command, args = list(config.get("command") or ()), list(config.get("args") or ())
    if not command:
        command = list(image.get("Entrypoint") or ())
        args = args or list(image.get("Cmd") or ())
    if not command + args:
        raise ValueError("no command specified")
    return command + args


def environment(config: Mapping[str, Any], image: Mapping[str, Any], hostname: str) -> list[str]:
    """The image's variables, then the container's; of one name the last wins."""
    variables = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if config.get("tty"):
        variables["TERM"] = "xterm"
    for entry in image.get("Env") or ():
        name, _, value = str(entry).partition("=")
        variables[name] = value
    for pair in config.get("envs") or ():
        value = pair.get("value", "")
        variables[pair["key"]] = value.decode(errors="surrogateescape") if isinstance(value, bytes) else value
    return [f"{name}={value}" for name, value in variables.items()]


def granted_capabilities(security: Mapping[str, Any], host: HostFacts) -> list[str]:
    if security.get("privileged"):
        return capabilities.in_order(host.capabilities)
    wanted = security.get("capabilities") or {}
    add, drop = wanted.get("add_capabilities") or (), wanted.get("drop_capabilities") or ()
    return capabilities.granted(add, drop, host.capabilities)


def namespaces(joined: Mapping[str, str], *, private_cgroup: bool) -> list[Spec]:
    result: list[Spec] = [{"type": "mount"}]
    for kind, path in joined.items():
        result.append({"type": kind, "path": path} if path else {"type": kind})
    if private_cgroup:
        result.append({"type": "cgroup"})
    return result


def mounts(container: ContainerView, sandbox: SandboxView, *, privileged: bool) -> list[Spec]:
    """The kernel's file systems, the sandbox's files, then what the kubelet asks for, which may hide either."""
    access = "rw" if privileged else "ro"
    quiet = ["nosuid", "noexec", "nodev"]
    result: list[Spec] = [
        _mount("/proc", "proc", "proc", quiet),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        _mount("/dev/mqueue", "mqueue", "mqueue", quiet),
        _mount("/sys", "sysfs", "sysfs", [*quiet, access]),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", [*quiet, "relatime", access]),
    ]
    asked = sorted(container.mounts, key=lambda m: m["container_path"].rstrip("/").count("/"))
    taken = {mount["container_path"].rstrip("/") for mount in asked}
    result = [mount for mount in result if mount["destination"] not in taken]
    read_only_root = bool(((container.config.get("linux") or {}).get("security_context") or {}).get("readonly_rootfs"))
    for path, source in sandbox.files.items():
        if path not in taken:
            options = ["rbind", "rprivate", "ro" if read_only_root and path.startswith("/etc/") else "rw"]
            result.append(_mount(path, source, "bind", options))
    result += [_bind(mount) for mount in asked]
    return result


def _mount(destination: str, source: str, kind: str, options: list[str]) -> Spec:
    return {"destination": destination, "source": source, "type": kind, "options": options}


def _bind(mount: Mapping[str, Any]) -> Spec:
    read_only = "rro" if mount.get("recursive_read_only") else "ro"
    propagation = PROPAGATION[mount.get("propagation") or "PROPAGATION_PRIVATE"]
    options = ["rbind", propagation, read_only if mount.get("readonly") else "rw", *(mount.get("mount_options") or ())]
    return _mount(mount["container_path"], mount["host_path"], "bind", options)


def root_propagation(asked: Sequence[Mapping[str, Any]]) -> str:
    """The widest propagation any mount asks for: the container's root must pass on what its mounts receive."""
    kinds = {mount.get("propagation") for mount in asked}
    if "PROPAGATION_BIDIRECTIONAL" in kinds:
        return "rshared"
    return "rslave" if "PROPAGATION_HOST_TO_CONTAINER" in kinds else "private"


def resources(asked: Mapping[str, Any], host: HostFacts) -> Spec:
    """CRI's LinuxContainerResources as OCI's; a limit that is 0 or absent is left out."""
    cpu = {
        "shares": asked.get("cpu_shares"),
        "quota": asked.get("cpu_quota"),
        "period": asked.get("cpu_period"),
        "cpus": asked.get("cpuset_cpus"),
        "mems": asked.get("cpuset_mems"),
    }
    memory: Spec = {}
    if limit := asked.get("memory_limit_in_bytes"):
        memory["limit"] = limit
        if host.swap_accounting:
            # Memory and swap together: equal to the limit unless the kubelet grants swap.
            memory["swap"] = asked.get("memory_swap_limit_in_bytes") or limit
    result: Spec = {"cpu": {name: value for name, value in cpu.items() if value}, "memory": memory}
    hugepages = asked.get("hugepage_limits") or ()
    if hugepages:
        result["hugepageLimits"] = [{"pageSize": h["page_size"], "limit": h.get("limit", 0)} for h in hugepages]
    if host.unified_cgroups and asked.get("unified"):
        result["unified"] = dict(asked["unified"])
    return result


def device_node(device: HostDevice) -> Spec:
    return {
        "path": device.path,
        "type": device.kind,
        "major": device.major,
        "minor": device.minor,
        "fileMode": device.mode,
        "uid": device.uid,
        "gid": device.gid,
    }


def device_rules(devices: Sequence[HostDevice], *, everything: bool) -> list[Spec]:
    """None but those given; runc itself allows the harmless ones (null, zero, random, tty, ...)."""
    if everything:
        return [{"allow": True, "access": "rwm"}]
    allowed = [{"allow": True, "type": d.kind, "major": d.major, "minor": d.minor, "access": "rwm"} for d in devices]
    return [{"allow": False, "access": "rwm"}, *allowed]


def seccomp(
    security: Mapping[str, Any], document: Mapping[str, Any] | None, granted: list[str], host: HostFacts
) -> Mapping[str, Any] | None:
    """The profile, or None for Unconfined, which is also what no profile at all means."""
    profile = security.get("seccomp")
    if profile is None or profile.get("profile_type") == "Unconfined":
        return None
    if profile.get("profile_type") == "Localhost":
        return document
    return runtime_default(granted, host.architecture)


def annotations(container: ContainerView, sandbox: SandboxView) -> dict[str, str]:
    """The names that tools which read runc's state know."""
    metadata = sandbox.config.get("metadata") or {}
    return {
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.container-name": (container.config.get("metadata") or {}).get("name", ""),
        "io.kubernetes.cri.image-name": container.image_name,
        "io.kubernetes.cri.sandbox-id": sandbox.id,
        "io.kubernetes.cri.sandbox-name": metadata.get("name", ""),
        "io.kubernetes.cri.sandbox-namespace": metadata.get("namespace", ""),
        "io.kubernetes.cri.sandbox-uid": metadata.get("uid", ""),
    }
