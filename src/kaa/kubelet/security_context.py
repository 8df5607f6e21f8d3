"""Security contexts of pod and container -> CRI's. Pure. A container's own setting wins over its pod's."""

from typing import Any

from kaa.api.objects import Object
from kaa.cri.cri import Message
from kaa.kubelet.environment import ConfigError
from kaa.kubelet.pod_spec import uses_host_network

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def pod_context(pod: Object) -> Object:
    return pod["spec"].get("securityContext") or {}


def effective(pod: Object, container: Object, field: str) -> Any:
    own = (container.get("securityContext") or {}).get(field)
    return own if own is not None else pod_context(pod).get(field)


def namespace_options(pod: Object, target_id: str = "") -> Message:
    """CRI's NamespaceOption; `target_id` is the container whose processes an ephemeral one is to see."""
    spec = pod["spec"]
    pid = "CONTAINER"
    if spec.get("shareProcessNamespace"):
        pid = "POD"
    if spec.get("hostPID"):
        pid = "NODE"
    options: Message = {
        "network": "NODE" if uses_host_network(pod) else "POD",
        "pid": "TARGET" if target_id else pid,
        "ipc": "NODE" if spec.get("hostIPC") else "POD",
    }
    return options | {"target_id": target_id} if target_id else options


def container_security_context(pod: Object, container: Object, target_id: str = "") -> Message:
    """CRI's LinuxContainerSecurityContext."""
    own = container.get("securityContext") or {}
    privileged = bool(own.get("privileged"))
    context: Message = {
        "namespace_options": namespace_options(pod, target_id),
        "privileged": privileged,
        "readonly_rootfs": bool(own.get("readOnlyRootFilesystem")),
        "no_new_privs": own.get("allowPrivilegeEscalation") is False and not privileged,
        "supplemental_groups": supplemental_groups(pod),
        "supplemental_groups_policy": pod_context(pod).get("supplementalGroupsPolicy") or "Merge",
        "seccomp": _profile(effective(pod, container, "seccompProfile"), "Unconfined"),
        "apparmor": _profile(effective(pod, container, "appArmorProfile"), "RuntimeDefault"),
    }
    if not privileged and own.get("procMount") != "Unmasked":
        context |= {"masked_paths": list(MASKED_PATHS), "readonly_paths": list(READONLY_PATHS)}
    if capabilities := own.get("capabilities"):
        context["capabilities"] = {
            "add_capabilities": list(capabilities.get("add") or ()),
            "drop_capabilities": list(capabilities.get("drop") or ()),
        }
    for field, target in (("runAsUser", "run_as_user"), ("runAsGroup", "run_as_group")):
        value = effective(pod, container, field)
        if value is not None:
            context[target] = {"value": value}
    return context


def sandbox_security_context(pod: Object) -> Message:
    """CRI's LinuxSandboxSecurityContext."""
    own = pod_context(pod)
    context: Message = {
        "namespace_options": namespace_options(pod),
        "supplemental_groups": supplemental_groups(pod),
        "privileged": any((c.get("securityContext") or {}).get("privileged") for c in pod["spec"]["containers"]),
        "seccomp": {"profile_type": "RuntimeDefault"},
    }
    for field, target in (("runAsUser", "run_as_user"), ("runAsGroup", "run_as_group")):
        if own.get(field) is not None:
            context[target] = {"value": own[field]}
    return context


def supplemental_groups(pod: Object) -> list[int]:
    own = pod_context(pod)
    groups = list(own.get("supplementalGroups") or ())
    if own.get("fsGroup") is not None:
        groups.append(own["fsGroup"])
    return groups


def _profile(profile: Object | None, default: str) -> Message:
    if not profile:
        return {"profile_type": default}
    message: Message = {"profile_type": profile["type"]}
    return message | {"localhost_ref": profile["localhostProfile"]} if profile.get("localhostProfile") else message


def check_non_root(pod: Object, container: Object, image: Message) -> None:
    """Raises ConfigError when runAsNonRoot forbids the user that the container would run as; `image` is CRI's Image."""
    if not effective(pod, container, "runAsNonRoot"):
        return
    user = effective(pod, container, "runAsUser")
    where = f'(pod: "{_pod_text(pod)}", container: {container["name"]})'
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if "uid" not in image or image["uid"] is None:
        name = image.get("username") or ""
        if name:
            reason = f"image has non-numeric user ({name}), cannot verify user is non-root"
            raise ConfigError(f"container has runAsNonRoot and {reason} {where}")
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if image["uid"].get("value", 0) == 0:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")


def _pod_text(pod: Object) -> str:
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"
