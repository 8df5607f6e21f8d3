"""The columns of pods. STATUS is not the phase but the most telling reason: of init containers first, then of the last
container that has one; a pod that is being deleted is Terminating whatever its containers do.
"""

from datetime import datetime

from kaa.api.objects import Object, condition, is_being_deleted
from kaa.api.printing.cells import AGE, NAME, NONE, joined, labels_text, since, text

TERMINAL_PHASES = ("Succeeded", "Failed")


def is_restartable(container: Object) -> bool:
    """A sidecar: an init container that keeps running."""
    return container.get("restartPolicy") == "Always"


def ready_cell(pod: Object, now: datetime) -> str:
    spec, status = pod["spec"], pod.get("status") or {}
    sidecars = {c["name"] for c in spec.get("initContainers") or () if is_restartable(c)}
    counted = [s for s in status.get("initContainerStatuses") or () if s["name"] in sidecars and s.get("started")]
    if is_past_init(pod):
        counted += [s for s in status.get("containerStatuses") or () if "running" in (s.get("state") or {})]
    ready = sum(1 for s in counted if s.get("ready"))
    return f"{ready}/{len(spec.get('containers') or ()) + len(sidecars)}"


def is_true(pod: Object, kind: str) -> bool:
    found = condition((pod.get("status") or {}).get("conditions"), kind)
    return found is not None and found.get("status") == "True"


def termination_reason(terminated: Object) -> str:
    if terminated.get("reason"):
        reason: str = terminated["reason"]
        return reason
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def failing_init_container(pod: Object) -> str | None:
    """What the first init container that is not done says, e.g. `Init:0/2`; None when all are done."""
    containers = pod["spec"].get("initContainers") or []
    sidecars = {c["name"] for c in containers if is_restartable(c)}
    for i, status in enumerate((pod.get("status") or {}).get("initContainerStatuses") or ()):
        state = status.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if status["name"] in sidecars and status.get("started"):
            continue
        if terminated is not None:
            return f"Init:{termination_reason(terminated)}"
        if waiting and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{i}/{len(containers)}"
    return None


def is_past_init(pod: Object) -> bool:
    return failing_init_container(pod) is None or is_true(pod, "Initialized")


def containers_reason(pod: Object, reason: str) -> str:
    """The reason of the first container, in the spec's order, that waits or has ended; else `reason`."""
    running = False
    for status in reversed((pod.get("status") or {}).get("containerStatuses") or ()):
        state = status.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if waiting and waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated is not None:
            reason = termination_reason(terminated)
        elif status.get("ready") and "running" in state:
            running = True
    if reason == "Completed" and running:
        return "Running" if is_true(pod, "Ready") else "NotReady"
    return reason


def status_cell(pod: Object, now: datetime) -> str:
    status = pod.get("status") or {}
    phase = status.get("phase") or ""
    reason: str = status.get("reason") or phase
    scheduled = condition(status.get("conditions"), "PodScheduled")
    if scheduled is not None and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    failing = failing_init_container(pod)
    if failing is not None:
        reason = failing
    if is_past_init(pod):
        reason = containers_reason(pod, reason)
    if is_being_deleted(pod):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if phase not in TERMINAL_PHASES:
            return "Terminating"
    return reason


def restarts_cell(pod: Object, now: datetime) -> str:
    """The containers' restarts and when the last one was; the init containers' while those are still at it."""
    spec, status = pod["spec"], pod.get("status") or {}
    init_statuses = status.get("initContainerStatuses") or []
    counted: list[Object] = init_statuses
    if is_past_init(pod):
        sidecars = {c["name"] for c in spec.get("initContainers") or () if is_restartable(c)}
        counted = [s for s in init_statuses if s["name"] in sidecars] + (status.get("containerStatuses") or [])
    restarts = sum(s.get("restartCount", 0) for s in counted)
    ends = [((s.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for s in counted]
    last = max((end for end in ends if end), default=None)
    return f"{restarts} ({since(last, now)} ago)" if restarts and last else str(restarts)


def ip_cell(pod: Object, now: datetime) -> str:
    status = pod.get("status") or {}
    addresses = status.get("podIPs") or [{"ip": status.get("podIP")}]
    return addresses[0].get("ip") or NONE


def node_cell(pod: Object, now: datetime) -> str:
    return pod["spec"].get("nodeName") or NONE


def nominated_node_cell(pod: Object, now: datetime) -> str:
    return (pod.get("status") or {}).get("nominatedNodeName") or NONE


def readiness_gates_cell(pod: Object, now: datetime) -> str:
    gates = pod["spec"].get("readinessGates") or []
    passed = sum(1 for gate in gates if is_true(pod, gate["conditionType"]))
    return f"{passed}/{len(gates)}" if gates else NONE


POD = (
    NAME,
    text("Ready", ready_cell, description="Containers that are ready, of all that shall be."),
    text("Status", status_cell, description="The most telling reason of the pod or its containers."),
    text("Restarts", restarts_cell, description="Restarts of the containers, and when the last one was."),
    AGE,
    text("IP", ip_cell, wide=True),
    text("Node", node_cell, wide=True),
    text("Nominated Node", nominated_node_cell, wide=True),
    text("Readiness Gates", readiness_gates_cell, wide=True),
)


def containers_of(pod_spec: Object | None) -> list[Object]:
    return (pod_spec or {}).get("containers") or []


def container_names(pod_spec: Object | None) -> str:
    return joined((c.get("name", "") for c in containers_of(pod_spec)), absent="")


def container_images(pod_spec: Object | None) -> str:
    return joined((c.get("image", "") for c in containers_of(pod_spec)), absent="")


POD_TEMPLATE = (
    NAME,
    text("Containers", lambda template, now: container_names(template["template"].get("spec"))),
    text("Images", lambda template, now: container_images(template["template"].get("spec"))),
    text("Pod Labels", lambda template, now: labels_text(template["template"].get("metadata", {}).get("labels"))),
)
