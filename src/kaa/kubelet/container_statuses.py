"""A pod's containerStatuses: the runtime's containers as v1.ContainerStatus. Pure.

A container that waits to be started says why: `start_errors` holds the reason of the last failed try (ErrImagePull,
CrashLoopBackOff, ...), else it is ContainerCreating, or PodInitializing for every container of a pod that has init
containers, those included.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime

from kaa.api.objects import Object
from kaa.kubelet.pod_runtime import PodRuntime, RuntimeContainer
from kaa.kubelet.pod_spec import ContainerKind, init_containers, is_finished, is_sidecar
from kaa.kubelet.resize import changes
from kaa.kubelet.restart_policy import should_restart
from kaa.lib.clock import rfc3339

CONTAINER_CREATING = "ContainerCreating"
POD_INITIALIZING = "PodInitializing"


@dataclass(frozen=True, slots=True)
class StartError:
    """Why a container could not be started: a waiting reason and its message."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Readings:
    """What the kubelet knows beside the runtime: errors of starts by name; probe results by container id."""

    start_errors: Mapping[str, StartError] = field(default_factory=dict)
    ready: Set[str] = frozenset()
    started: Set[str] = frozenset()
    runtime_name: str = "kaa"


def container_statuses(
    pod: Object, kind: ContainerKind, containers: list[Object], runtime: PodRuntime, readings: Readings
) -> list[Object]:
    """One status a container, in the order of the spec."""
    return [_status(pod, kind, container, runtime, readings) for container in containers]


def _status(pod: Object, kind: ContainerKind, container: Object, runtime: PodRuntime, readings: Readings) -> Object:
    name = container["name"]
    latest = runtime.latest(name)
    if latest is None:
        return _never_created(pod, kind, container, readings)
    previous = runtime.previous(name)
    recorded = _recorded(pod, kind, name)
    running = latest.is_running
    started = running and (latest.id in readings.started)
    status: Object = {
        "name": name,
        "state": _state(latest, readings, recorded),
        "lastState": {"terminated": _terminated(previous, readings, recorded)}
        if previous and previous.has_ended
        else {},
        "ready": _is_ready(kind, container, latest, readings),
        "restartCount": latest.attempt,
        "image": latest.image or container.get("image", ""),
        "imageID": latest.image_ref,
        "containerID": f"{readings.runtime_name}://{latest.id}",
        "started": started,
    }
    if latest.user is not None:
        status["user"] = {"linux": _linux_user(latest.user)}
    status["resources"] = _actual_resources(container, latest, recorded)
    if requests := (container.get("resources") or {}).get("requests"):
        status["allocatedResources"] = requests
    error = readings.start_errors.get(name)
    if error is not None and not running and _waits_for_restart(pod, kind, container, latest):
        if latest.has_ended:
            status["lastState"] = status["state"]
        status["state"] = {"waiting": _waiting(error)}
    return status


def _actual_resources(container: Object, latest: RuntimeContainer, recorded: Object | None) -> Object:
    """What is granted, as soon as the runtime has it; until then what the status said before."""
    granted: Object = container.get("resources") or {}
    if latest.is_running and changes(container, latest.resources):
        return (recorded or {}).get("resources") or granted
    return granted


def _never_created(pod: Object, kind: ContainerKind, container: Object, readings: Readings) -> Object:
    name = container["name"]
    known = _recorded(pod, kind, name)
    if known is not None and ((known.get("containerID") and is_finished(pod)) or _is_terminated(known)):
        return known  # its container has been collected; what it came to stays on record
    error = readings.start_errors.get(name)
    if error is None:
        error = StartError(POD_INITIALIZING if init_containers(pod) else CONTAINER_CREATING, "")
    status: Object = {
        "name": name,
        "state": {"waiting": _waiting(error)},
        "lastState": {},
        "ready": False,
        "restartCount": int(known.get("restartCount", 0)) if known else 0,
        "image": container.get("image", ""),
        "imageID": "",
        "started": False,
    }
    return status


STATUS_FIELDS: dict[ContainerKind, str] = {
    "init": "initContainerStatuses",
    "app": "containerStatuses",
    "ephemeral": "ephemeralContainerStatuses",
}


def _recorded(pod: Object, kind: ContainerKind, name: str) -> Object | None:
    statuses = (pod.get("status") or {}).get(STATUS_FIELDS[kind]) or ()
    return next((status for status in statuses if status["name"] == name), None)


def _is_terminated(status: Object) -> bool:
    return bool((status.get("state") or {}).get("terminated"))


def _state(container: RuntimeContainer, readings: Readings, recorded: Object | None) -> Object:
    match container.state:
        case "CONTAINER_RUNNING":
            return {"running": {"startedAt": _time(container.started_at)}}
        case "CONTAINER_EXITED":
            return {"terminated": _terminated(container, readings, recorded)}
        case "CONTAINER_UNKNOWN":
            unknown = {
                "exitCode": 137,
                "reason": "ContainerStatusUnknown",
                "message": "The container could not be located when the pod was terminated",
            }
            return {"terminated": unknown}
        case "CONTAINER_CREATED":
            return {"waiting": {"reason": CONTAINER_CREATING}}


def _terminated(container: RuntimeContainer, readings: Readings, recorded: Object | None) -> Object:
    container_id = f"{readings.runtime_name}://{container.id}"
    terminated: Object = {
        "exitCode": container.exit_code,
        "reason": container.reason or ("Completed" if container.exit_code == 0 else "Error"),
        "startedAt": _time(container.started_at),
        "finishedAt": _time(container.finished_at),
        "containerID": container_id,
    }
    # The file that it was read from goes with the pod's directory, before the pod does.
    if message := container.message or _recorded_message(recorded, container_id):
        terminated["message"] = message
    return terminated


def _recorded_message(recorded: Object | None, container_id: str) -> str:
    """The termination message of that container in the pod's status."""
    for state in ("state", "lastState"):
        ended = ((recorded or {}).get(state) or {}).get("terminated") or {}
        if ended.get("containerID") == container_id:
            return str(ended.get("message", ""))
    return ""


def _is_ready(kind: ContainerKind, container: Object, latest: RuntimeContainer, readings: Readings) -> bool:
    if kind == "init" and not is_sidecar(container):
        return latest.has_ended and latest.exit_code == 0
    if kind == "ephemeral":
        return False
    return latest.is_running and latest.id in readings.started and latest.id in readings.ready


def _waits_for_restart(pod: Object, kind: ContainerKind, container: Object, latest: RuntimeContainer) -> bool:
    return not latest.has_ended or should_restart(pod, kind, container, latest.exit_code)


def _waiting(error: StartError) -> Object:
    return {"reason": error.reason, "message": error.message} if error.message else {"reason": error.reason}


def _linux_user(user: Object) -> Object:
    return {
        "uid": user.get("uid", 0),
        "gid": user.get("gid", 0),
        "supplementalGroups": list(user.get("supplemental_groups") or ()),
    }


def _time(at: datetime | None) -> str | None:
    return rfc3339(at) if at is not None else None
