"""A pod's status as the kubelet writes it: phase, conditions, addresses, container statuses. Pure.

The kubelet owns some conditions and keeps all others as they are. A condition's lastTransitionTime moves only with its
status. A phase that is Succeeded or Failed never changes again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from kaa.api.objects import Object, condition
from kaa.kubelet.container_statuses import Readings, container_statuses
from kaa.kubelet.pod_runtime import PodRuntime
from kaa.kubelet.pod_spec import (
    all_containers,
    app_containers,
    ephemeral_containers,
    init_containers,
    is_finished,
    is_sidecar,
    restart_policy,
    uses_host_network,
)
from kaa.kubelet.qos import qos_class
from kaa.kubelet.resize import changes
from kaa.lib.clock import rfc3339

PASSING_CONDITIONS = ("PodResizePending", "PodResizeInProgress")
"""Conditions that are there only while they hold."""

OWNED_CONDITIONS = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    *PASSING_CONDITIONS,
)


@dataclass(frozen=True, slots=True)
class Resize:
    """New resources: why the node has not granted them (reason, message), why the runtime refused what was granted."""

    refusal: tuple[str, str] | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """`has_stopped`: every container has ended and none will be started again (deleted, evicted, or done)."""

    pod: Object
    runtime: PodRuntime
    readings: Readings
    host_ips: tuple[str, ...]
    now: datetime
    has_stopped: bool = False
    failure: tuple[str, str] | None = None  # (reason, message) of a pod that the kubelet itself ends: evicted, rejected
    resize: Resize = field(default_factory=Resize)


def pod_status(facts: StatusFacts) -> Object:
    pod, runtime = facts.pod, facts.runtime
    old = pod.get("status") or {}
    init = container_statuses(pod, "init", init_containers(pod), runtime, facts.readings)
    app = container_statuses(pod, "app", app_containers(pod), runtime, facts.readings)
    ephemeral = [
        status
        for status in container_statuses(pod, "ephemeral", ephemeral_containers(pod), runtime, facts.readings)
        if status.get("containerID") or status["name"] in facts.readings.start_errors
    ]
    status: Object = {
        "observedGeneration": pod["metadata"].get("generation"),
        "phase": _phase(facts, init, app),
        "startTime": old.get("startTime") or rfc3339(facts.now),
        "qosClass": old.get("qosClass") or qos_class(pod),
        "hostIP": facts.host_ips[0] if facts.host_ips else None,
        "hostIPs": [{"ip": ip} for ip in facts.host_ips],
        "initContainerStatuses": init,
        "containerStatuses": app,
        "ephemeralContainerStatuses": ephemeral,
    }
    if ips := _pod_ips(facts, old):
        status |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    reason = facts.failure or (old.get("reason", ""), old.get("message", ""))
    status |= {"reason": reason[0], "message": reason[1]}
    status["conditions"] = _conditions(facts, status)
    return {key: value for key, value in status.items() if value not in (None, "", [])}


def rejected_status(pod: Object, reason: str, message: str, now: datetime) -> Object:
    """The status of a pod that the node does not admit: it fails without ever running."""
    return {
        "observedGeneration": pod["metadata"].get("generation"),
        "phase": "Failed",
        "reason": reason,
        "message": message,
        "startTime": rfc3339(now),
        "qosClass": qos_class(pod),
    }


def _pod_ips(facts: StatusFacts, old: Object) -> list[str]:
    if uses_host_network(facts.pod):
        return list(facts.host_ips)
    if facts.runtime.ips:
        return list(facts.runtime.ips)
    # A stopped sandbox has no address any more; the last one stays on record.
    return [entry["ip"] for entry in old.get("podIPs") or ()]


# Phase


def _phase(facts: StatusFacts, init: list[Object], app: list[Object]) -> str:
    pod = facts.pod
    if facts.failure is not None:
        return "Failed"
    if is_finished(pod):
        return str(pod["status"]["phase"])
    specs = {container["name"]: container for container in init_containers(pod)}
    regular = [status for status in init if not is_sidecar(specs[status["name"]])]
    side = [status for status in init if is_sidecar(specs[status["name"]])]
    if restart_policy(pod) == "Never" and any(_last_exit(status) not in (None, 0) for status in regular):
        return "Failed"
    app_started = any(status.get("containerID") for status in app)
    pending_init = any(_exit_code(status) != 0 for status in regular)
    pending_sidecar = not app_started and any(not status.get("started") for status in side)
    if facts.has_stopped:
        return "Succeeded" if all(_exit_code(status) == 0 for status in app) else "Failed"
    if pending_init or pending_sidecar or any(_is_waiting(s) and _last_exit(s) is None for s in app):
        return "Pending"
    if any("running" in status["state"] for status in app):
        return "Running"
    return _phase_of_ended(pod, app)


def _phase_of_ended(pod: Object, app: list[Object]) -> str:
    """No app container runs and each has ended at least once. Its own policy decides whether it comes back."""
    specs = {container["name"]: container for container in app_containers(pod)}
    policies = {s["name"]: specs[s["name"]].get("restartPolicy") or restart_policy(pod) for s in app}
    if any(_is_waiting(s) or policies[s["name"]] == "Always" for s in app):
        return "Running"
    failed = [s["name"] for s in app if _exit_code(s) != 0]
    if not failed:
        return "Succeeded"
    return "Failed" if all(policies[name] == "Never" for name in failed) else "Running"


def _is_waiting(status: Object) -> bool:
    return "waiting" in status["state"]


def _exit_code(status: Object) -> int | None:
    """The exit code of a container that has ended, else None."""
    terminated = status["state"].get("terminated")
    return int(terminated.get("exitCode", 0)) if terminated else None


def _last_exit(status: Object) -> int | None:
    """The exit code of the last end, also of a container that waits to be started again."""
    terminated = status["state"].get("terminated") or (status.get("lastState") or {}).get("terminated")
    return int(terminated.get("exitCode", 0)) if terminated and "running" not in status["state"] else None


# Conditions


@dataclass(frozen=True, slots=True)
class _Finding:
    type: str
    holds: bool
    reason: str = ""
    message: str = ""


def _conditions(facts: StatusFacts, status: Object) -> list[Object]:
    pod = facts.pod
    old = (pod.get("status") or {}).get("conditions") or []
    containers_ready = _containers_ready(pod, status)
    sandbox = facts.runtime.sandbox
    has_sandbox = sandbox is not None and sandbox.is_ready and (bool(sandbox.ips) or uses_host_network(pod))
    findings = [
        _Finding("PodReadyToStartContainers", has_sandbox),
        _initialized(pod, status),
        _ready(pod, containers_ready, old),
        containers_ready,
        _Finding("PodScheduled", True),
        *_resizing(facts),
    ]
    kept = [c for c in old if c.get("type") not in OWNED_CONDITIONS]
    return [_condition(finding, old, pod, facts.now) for finding in findings] + kept


def _condition(finding: _Finding, old: Iterable[Object], pod: Object, now: datetime) -> Object:
    value = "True" if finding.holds else "False"
    before = condition(old, finding.type)
    unchanged = before is not None and before.get("status") == value
    since = before.get("lastTransitionTime") if unchanged and before else None
    fields: Object = {"type": finding.type}
    if (generation := pod["metadata"].get("generation")) is not None:
        fields["observedGeneration"] = generation
    fields |= {"status": value, "lastProbeTime": None, "lastTransitionTime": since or rfc3339(now)}
    if finding.reason:
        fields["reason"] = finding.reason
    if finding.message:
        fields["message"] = finding.message
    return fields


def _completed(kind: str, phase: str) -> _Finding | None:
    reasons = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}
    return _Finding(kind, False, reasons[phase]) if phase in reasons else None


def _containers_ready(pod: Object, status: Object) -> _Finding:
    if ended := _completed("ContainersReady", status["phase"]):
        return ended
    specs = {container["name"]: container for container in init_containers(pod)}
    side = [s for s in status["initContainerStatuses"] if is_sidecar(specs[s["name"]])]
    unready = [s["name"] for s in (*side, *status["containerStatuses"]) if not s["ready"]]
    return _unless("ContainersReady", "ContainersNotReady", "containers with unready status", unready)


def _initialized(pod: Object, status: Object) -> _Finding:
    if status["phase"] == "Succeeded":
        return _Finding("Initialized", True, "PodCompleted")
    specs = {container["name"]: container for container in init_containers(pod)}
    app_started = any(s.get("containerID") for s in status["containerStatuses"])
    incomplete = [
        s["name"]
        for s in status["initContainerStatuses"]
        if not (s.get("started") if is_sidecar(specs[s["name"]]) else s["ready"])
    ]
    if app_started:
        incomplete = []  # initialization is once a sandbox; a sidecar that restarts later does not undo it
    return _unless("Initialized", "ContainersNotInitialized", "containers with incomplete status", incomplete)


def _resizing(facts: StatusFacts) -> Iterator[_Finding]:
    resize = facts.resize
    if resize.refusal is not None:
        yield _Finding("PodResizePending", True, *resize.refusal)
    running = ((c, facts.runtime.latest(c["name"])) for _, c in all_containers(facts.pod))
    if any(latest and latest.is_running and changes(c, latest.resources) for c, latest in running):
        yield _Finding("PodResizeInProgress", True, "Error" if resize.error else "", resize.error)


def _unless(kind: str, reason: str, what: str, names: list[str]) -> _Finding:
    return _Finding(kind, False, reason, f"{what}: [{' '.join(names)}]") if names else _Finding(kind, True)


def _ready(pod: Object, containers_ready: _Finding, old: list[Object]) -> _Finding:
    if not containers_ready.holds:
        return _Finding("Ready", False, containers_ready.reason, containers_ready.message)
    messages = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        found = condition(old, kind)
        if found is None:
            messages.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif found.get("status") != "True":
            messages.append(f'the status of pod readiness gate "{kind}" is not "True", but {found.get("status")}')
    if messages:
        return _Finding("Ready", False, "ReadinessGatesNotReady", ", ".join(messages))
    return _Finding("Ready", True)
