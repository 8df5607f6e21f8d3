"""What to do next for one pod: the kubelet's central decision, pure.

Observed: the pod as the API has it, its sandboxes and containers as the runtime has them, which probes have failed,
and how long each container must still wait. Wanted: one ready sandbox; init containers run to completion in order,
sidecars started on the way; then all app containers running, restarted as their policy says; everything stopped once
the pod is deleted or done. Executed in order and observed again, the actions lead to a state with no actions: then
only the world (an exit, a probe, a timer) makes new ones.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from kaa.api.objects import Object, is_being_deleted
from kaa.cri.cri import Message
from kaa.kubelet.pod_runtime import PodRuntime, RuntimeContainer
from kaa.kubelet.pod_spec import (
    ContainerKind,
    app_containers,
    container_hash,
    ephemeral_containers,
    init_containers,
    is_finished,
    is_sidecar,
    restart_policy,
    sidecars,
    uses_host_network,
)
from kaa.kubelet.resize import changes, needs_restart, sandbox_resources, without_limits
from kaa.kubelet.restart_policy import restarts_on_failure, should_restart

ProbeKind = Literal["startup", "liveness", "readiness"]


@dataclass(frozen=True, slots=True)
class StopPod:
    """Stop all containers (app before sidecars, each with its hook and grace), then all sandboxes."""

    reason: str


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    attempt: int


@dataclass(frozen=True, slots=True)
class KillContainer:
    """Stop one container; its hook runs first. `failed_probe` may bring its own grace period."""

    id: str
    name: str
    message: str
    failed_probe: ProbeKind | None = None


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Pull, create and start; `attempt` is the restart count. `counts`: one has ended before: back-off counts this."""

    name: str
    kind: ContainerKind
    attempt: int
    counts: bool = False


@dataclass(frozen=True, slots=True)
class ResizeContainer:
    """Change what a running container may use. `linux`: only what changes of CRI's LinuxContainerResources."""

    id: str
    name: str
    linux: Message


@dataclass(frozen=True, slots=True)
class ResizeSandbox:
    """Change what the pod's containers may use together."""

    id: str
    linux: Message


@dataclass(frozen=True, slots=True)
class BackOff:
    """The container is to be started, but not before `until`."""

    name: str
    until: datetime


Action: TypeAlias = StopPod | CreateSandbox | KillContainer | StartContainer | ResizeContainer | ResizeSandbox | BackOff


@dataclass(frozen=True, slots=True)
class Health:
    """What probes have found, by container id. `started`: has passed its startup probe, or has none."""

    started: Set[str] = frozenset()
    failed: Mapping[str, ProbeKind] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decision looks at.

    `pod` with the resources that the node grants it. `not_before`: when a container may start again of which one has
    ended. `sandbox_linux`: what the pod's cgroup was last given; None: what it should have.
    """

    pod: Object
    runtime: PodRuntime
    health: Health = field(default_factory=Health)
    not_before: Mapping[str, datetime] = field(default_factory=dict)
    sandbox_linux: Message | None = None


def pod_actions(facts: Facts) -> list[Action]:
    pod, runtime = facts.pod, facts.runtime
    if is_being_deleted(pod) or is_finished(pod):
        return [StopPod("the pod is deleted or finished")] if runtime.is_active else []
    if reason := sandbox_fault(pod, runtime):
        return list(_replace_sandbox(facts, reason))
    return _with_room(facts, list(_container_actions(facts)))


def _with_room(facts: Facts, actions: list[Action]) -> list[Action]:
    """When the pod's resources have changed: containers change, or start, while its cgroup has no limits."""
    sandbox = facts.runtime.sandbox
    if sandbox is None or facts.sandbox_linux is None or any(isinstance(a, StopPod) for a in actions):
        return actions
    wanted = sandbox_resources(facts.pod)
    if facts.sandbox_linux == wanted:
        return actions
    return [ResizeSandbox(sandbox.id, without_limits(wanted)), *actions, ResizeSandbox(sandbox.id, wanted)]


def sandbox_fault(pod: Object, runtime: PodRuntime) -> str:
    """Why the pod needs a new sandbox; "" when the one it has will do."""
    sandbox = runtime.sandbox
    if sandbox is None:
        return "no sandbox"
    if sum(s.is_ready for s in runtime.sandboxes) > 1:
        return "more than one ready sandbox"
    if not sandbox.is_ready:
        return "the sandbox is not ready"
    wants_host = uses_host_network(pod)
    if wants_host != (sandbox.network_mode == "NODE"):
        return "the network mode has changed"
    if not wants_host and not sandbox.ips:
        return "the sandbox has no address"
    return ""


def _replace_sandbox(facts: Facts, reason: str) -> Iterator[Action]:
    pod, runtime = facts.pod, facts.runtime
    if not _anything_to_run(pod, runtime):
        if runtime.is_active:
            yield StopPod("nothing is left to run")
        return
    if runtime.is_active:
        yield StopPod(reason)
    yield CreateSandbox(runtime.sandbox.attempt + 1 if runtime.sandbox else 0)


def _anything_to_run(pod: Object, runtime: PodRuntime) -> bool:
    """Whether a new sandbox would have a container to run: not when all have ended for good."""
    if restart_policy(pod) == "Never" and any(not runtime.latest(c["name"]) for c in app_containers(pod)):
        # A sandbox lost before the app containers started: init containers may only run again if none ran yet.
        return not any(runtime.latest(c["name"]) for c in init_containers(pod))
    return any(_wants_start(pod, c, runtime.latest(c["name"])) for c in app_containers(pod))


def _wants_start(pod: Object, container: Object, latest: RuntimeContainer | None) -> bool:
    if latest is None or latest.state == "CONTAINER_CREATED":
        return True
    if latest.is_running:
        # It dies with its sandbox: as a failure.
        return restarts_on_failure(pod, "app", container)
    return should_restart(pod, "app", container, latest.exit_code)


def _container_actions(facts: Facts) -> Iterator[Action]:
    pod, runtime = facts.pod, facts.runtime
    for container in ephemeral_containers(pod):
        if runtime.latest(container["name"]) is None:
            yield StartContainer(container["name"], "ephemeral", 0)
    if any(runtime.in_current_sandbox(c["name"]) for c in app_containers(pod)):
        yield from _run_app_containers(facts)
        return
    for action in _run_init_containers(facts):
        if action is None:  # still initializing
            return
        yield action
    yield from _run_app_containers(facts)


def _run_init_containers(facts: Facts) -> Iterator[Action | None]:
    """The step of initialization that is due, then None when app containers must wait for it."""
    pod, runtime = facts.pod, facts.runtime
    containers = init_containers(pod)
    seen = [i for i, c in enumerate(containers) if runtime.in_current_sandbox(c["name"])]
    for index, container in enumerate(containers):
        latest = runtime.in_current_sandbox(container["name"])
        if latest is None and seen and index < seen[-1] and not is_sidecar(container):
            continue  # a later one has run, so this one is done; the runtime no longer has it
        if latest is not None and latest.is_running:
            if kill := _failed_or_changed(facts, "init", container, latest):
                yield from kill
            elif is_sidecar(container) and latest.id in facts.health.started:
                continue
            yield None
            return
        if latest is not None and latest.has_ended and latest.exit_code == 0 and not is_sidecar(container):
            continue
        if latest is not None and latest.has_ended and not should_restart(pod, "init", container, latest.exit_code):
            yield StopPod(f"init container {container['name']} failed")
            yield None
            return
        yield _start(facts, "init", container, latest or runtime.latest(container["name"]))
        yield None
        return


def _run_app_containers(facts: Facts) -> Iterator[Action]:
    """Keeps app containers and sidecars running; stops the pod when no app container is left to run."""
    pod, runtime = facts.pod, facts.runtime
    side: list[Action] = [action for container in sidecars(pod) for action in _keep_running(facts, "init", container)]
    wanted: list[Action] = []
    alive = False
    for container in app_containers(pod):
        latest = runtime.latest(container["name"])
        steps = list(_keep_running(facts, "app", container))
        wanted += steps
        alive = alive or bool(steps) or (latest is not None and latest.is_running)
    if not alive:
        if runtime.is_active:
            yield StopPod("all containers have ended")
        return
    yield from side
    yield from wanted


def _keep_running(facts: Facts, kind: ContainerKind, container: Object) -> Iterator[Action]:
    latest = facts.runtime.latest(container["name"])
    if latest is not None and latest.is_running:
        yield from _failed_or_changed(facts, kind, container, latest)
    elif latest is None or not latest.has_ended or should_restart(facts.pod, kind, container, latest.exit_code):
        yield _start(facts, kind, container, latest)


def _failed_or_changed(facts: Facts, kind: ContainerKind, container: Object, running: RuntimeContainer) -> list[Action]:
    """Kill, and start again unless the policy forbids it (the kill's exit code has no say in that); or just resize.

    The first restart is free; after that back-off looks at when the one before this has ended, so that a container
    that is killed again and again comes to CrashLoopBackOff.
    """
    name = container["name"]
    probe = facts.health.failed.get(running.id)
    changed = bool(running.hash) and running.hash != container_hash(container)
    linux = changes(container, running.resources)
    resized = bool(linux) and needs_restart(container, linux)
    if probe is None and not changed and not resized:
        return [ResizeContainer(running.id, name, linux)] if linux else []
    restarts = changed or resized or restarts_on_failure(facts.pod, kind, container)
    what = _why_killed(probe, changed)
    message = f"Container {name} {what}" + (", will be restarted" if restarts else "")
    kill = KillContainer(running.id, name, message, probe)
    if not restarts:
        return [kill]
    if name in facts.not_before:
        return [kill, BackOff(name, facts.not_before[name])]
    return [kill, StartContainer(name, kind, running.attempt + 1, counts=facts.runtime.previous(name) is not None)]


def _why_killed(probe: ProbeKind | None, changed: bool) -> str:
    if probe is not None:
        return f"failed {probe} probe"
    return "definition changed" if changed else "resize requires restart"


def _start(facts: Facts, kind: ContainerKind, container: Object, last: RuntimeContainer | None) -> Action:
    name = container["name"]
    if last is not None and name in facts.not_before:
        return BackOff(name, facts.not_before[name])
    attempt = last.attempt + 1 if last is not None else _restarts_on_record(facts.pod, name)
    return StartContainer(name, kind, attempt, counts=last is not None)


def _restarts_on_record(pod: Object, name: str) -> int:
    """The restart count of a container that the runtime has forgotten (a new root directory, say)."""
    status = pod.get("status") or {}
    for group in ("initContainerStatuses", "containerStatuses"):
        for known in status.get(group) or ():
            if known["name"] == name and known.get("containerID"):
                return int(known.get("restartCount", 0)) + 1
    return 0


def stop_waves(pod: Object, running: list[RuntimeContainer]) -> list[list[RuntimeContainer]]:
    """The order in which containers are stopped: all but sidecars at once, then sidecars one by one, last first."""
    order = [container["name"] for container in sidecars(pod)]
    first = [c for c in running if c.name not in order]
    waves = [first] if first else []
    for name in reversed(order):
        waves += [[c] for c in running if c.name == name]
    return waves
