"""One pod on a light node: the kubelet's decisions, carried out on values instead of containers. No I/O.

`pod_actions` says what is to be done and `pod_status` how that looks, as in the real kubelet; between them containers
are entries of a `PodRuntime`, which start, become ready and end when their behaviour says so. A step brings the pod up
to now and says when the next one is due. After a restart `adopted` takes up the thread from the pod's status.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from kaa.api.objects import Object, is_being_deleted, uid_of
from kaa.cluster.simulation.images import Images
from kaa.cri.cri import RuntimeFault
from kaa.cri.simulated_behaviour import KILLED, NEVER, Behaviour
from kaa.kubelet.container_statuses import Readings, StartError
from kaa.kubelet.delays import RESTART_BACKOFF, DelayTable, spell
from kaa.kubelet.images import with_default_tag
from kaa.kubelet.pod_actions import (
    Action,
    BackOff,
    CreateSandbox,
    Facts,
    Health,
    KillContainer,
    ProbeKind,
    ResizeContainer,
    ResizeSandbox,
    StartContainer,
    StopPod,
    pod_actions,
)
from kaa.kubelet.pod_runtime import PodRuntime, RuntimeContainer, RuntimeSandbox
from kaa.kubelet.pod_spec import all_containers, container_hash, container_named, full_name, grace_seconds
from kaa.kubelet.pod_spec import uses_host_network as on_host_network
from kaa.kubelet.pod_status import StatusFacts, pod_status
from kaa.lib.clock import parse_rfc3339

RUNTIME_NAME = "simulated"

MAX_ROUNDS = 20
"""Of decisions in one step; a pod with more init containers that end at once goes on in the next."""

POLL_SECONDS = 1.0
"""How often a `probe_answer` is asked."""

BROKEN = Behaviour()
"""Of a container whose annotations cannot be read; it never starts."""


@dataclass(frozen=True, slots=True)
class Step:
    """The pod's status, when to look again, and whether nothing of it runs."""

    status: Object
    next_at: datetime | None
    is_stopped: bool


class LightPod:
    __slots__ = ("_behaviours", "_delays", "_due", "_errors", "_images", "_new_id", "runtime")

    def __init__(self, uid: str, images: Images, new_id: Callable[[], str]) -> None:
        self.runtime = PodRuntime(uid)
        self._images = images
        self._new_id = new_id
        self._behaviours: dict[str, Behaviour] = {}  # by container name
        self._errors: dict[str, StartError] = {}
        self._due: dict[str, datetime] = {}  # when a container that is starting will run
        self._delays: DelayTable[str] | None = None

    def step(self, pod: Object, take_address: Callable[[], str], host_ip: str, now: datetime) -> Step:
        """Brings the pod up to `now`. `take_address` is asked for each new sandbox that has a network of its own."""
        next_at, health = self._pass_time(pod, now), self._health(pod, now)
        for _ in range(MAX_ROUNDS):
            progress = False
            for action in pod_actions(Facts(pod, self.runtime, health, self._not_before(pod, now))):
                done, until = self._carry_out(pod, action, take_address, now)
                progress, next_at = progress or done, _earlier(next_at, until)
            if not progress:
                break
            next_at, health = _earlier(next_at, self._pass_time(pod, now)), self._health(pod, now)
        stopped = not self.runtime.is_active
        readings = Readings(self._errors, self._ready(now), health.started, RUNTIME_NAME)
        has_stopped = stopped and bool(self.runtime.containers)
        status = pod_status(StatusFacts(pod, self.runtime, readings, (host_ip,), now, has_stopped))
        return Step(status, next_at, stopped)

    # Time

    def _pass_time(self, pod: Object, now: datetime) -> datetime | None:
        """Ends the containers whose time is over; returns when something else will happen by itself."""
        next_at: datetime | None = None
        for container in self.runtime.containers:
            if not container.is_running or container.started_at is None:
                continue
            behaviour = self._behaviour(pod, container.name)
            age = (now - container.started_at).total_seconds()
            lasts = behaviour.exit_after_seconds if behaviour.exit_after_seconds is not None else NEVER
            if age >= lasts:
                ended_at = container.started_at + timedelta(seconds=lasts)
                self._end(container, behaviour.exit_code, ended_at, behaviour.exit_reason)
                continue
            changes = [lasts, _readiness_changes(behaviour, age), *_probe_changes(pod, container.name, behaviour, age)]
            if (change := min(changes)) != NEVER:
                next_at = _earlier(next_at, container.started_at + timedelta(seconds=change))
        return next_at

    def _end(self, container: RuntimeContainer, code: int, at: datetime, reason: str = "") -> None:
        reason = reason or ("Completed" if code == 0 else "Error")
        ended = replace(container, state="CONTAINER_EXITED", finished_at=at, exit_code=code, reason=reason)
        changed = tuple(ended if c is container else c for c in self.runtime.containers)
        self.runtime = replace(self.runtime, containers=changed)

    # Probes

    def _health(self, pod: Object, now: datetime) -> Health:
        started, failed = set(), {}
        for container, age in self._running(now):
            behaviour, spec = self._behaviour(pod, container.name), _spec(pod, container.name)
            if not spec.get("startupProbe") or behaviour.passes("startup", age):
                started.add(container.id)
                if spec.get("livenessProbe") and not behaviour.passes("liveness", age):
                    failed[container.id] = _LIVENESS
            elif age >= _patience_seconds(spec["startupProbe"]):
                failed[container.id] = _STARTUP
        return Health(started, failed)

    def _ready(self, now: datetime) -> set[str]:
        return {c.id for c, age in self._running(now) if self._behaviours[c.name].passes("readiness", age)}

    def _running(self, now: datetime) -> list[tuple[RuntimeContainer, float]]:
        return [
            (container, (now - container.started_at).total_seconds())
            for container in self.runtime.containers
            if container.is_running and container.started_at is not None
        ]

    def _not_before(self, pod: Object, now: datetime) -> dict[str, datetime]:
        """When containers of which one has ended may start again."""
        if self._delays is None:
            return {}
        found = {}
        for name in self._delays.entries:
            ended = self.runtime.last_ended(name)
            if ended is not None and ended.finished_at is not None:
                until = self._delays.until(name, ended.finished_at, now)
                if until is not None:
                    found[name] = until
        return found

    # Actions

    def _carry_out(
        self, pod: Object, action: Action, take_address: Callable[[], str], now: datetime
    ) -> tuple[bool, datetime | None]:
        """Whether something was done, and when there is more to do."""
        match action:
            case StopPod():
                return self._stop(pod, now)
            case KillContainer(id=container_id):
                container = next(c for c in self.runtime.containers if c.id == container_id)
                self._end(container, KILLED, now)
            case BackOff(name=name, until=until):
                assert self._delays is not None
                waits = spell(self._delays.entries[name].seconds)
                what = f"back-off {waits} restarting failed container={name} pod={full_name(pod)}"
                self._errors[name] = StartError("CrashLoopBackOff", what)
                return False, until
            case CreateSandbox(attempt=attempt):
                on_host = on_host_network(pod)
                ips = () if on_host else (take_address(),)
                sandbox = RuntimeSandbox(self._new_id(), attempt, True, ips, now, "NODE" if on_host else "POD")
                self.runtime = replace(self.runtime, sandboxes=(sandbox, *self.runtime.sandboxes[:1]))
            case StartContainer():
                return self._start(pod, action, now)
            case ResizeContainer() | ResizeSandbox():
                return False, None  # nothing is measured out, so a container has what its spec says
            case _:
                assert_never(action)
        return True, None

    def _start(self, pod: Object, action: StartContainer, now: datetime) -> tuple[bool, datetime | None]:
        name = action.name
        behaviour = self._behaviour(pod, name)
        if (error := self._start_error(name, behaviour)) is not None:
            self._errors[name] = error
            return False, None
        due = self._due.setdefault(name, now + timedelta(seconds=behaviour.pull_seconds + behaviour.start_seconds))
        if due > now:
            return False, due
        del self._due[name]
        if action.counts:
            self._delays = self._delays or DelayTable(RESTART_BACKOFF)
            self._delays.count(name, now)
        self._errors.pop(name, None)
        assert self.runtime.sandbox is not None
        spec = _spec(pod, name)
        image = spec.get("image", "")
        started = RuntimeContainer(
            id=self._new_id(),
            name=name,
            sandbox_id=self.runtime.sandbox.id,
            attempt=action.attempt,
            state="CONTAINER_RUNNING",
            image=image,
            image_ref=f"simulated.kaa.dev/{image}",
            hash=container_hash(spec),
            created_at=now,
            started_at=now,
        )
        before = [c for c in self.runtime.containers if c.name == name][:1]
        others = [c for c in self.runtime.containers if c.name != name]
        self.runtime = replace(self.runtime, containers=(started, *before, *others))
        return True, None

    def _start_error(self, name: str, behaviour: Behaviour) -> StartError | None:
        if behaviour is BROKEN:
            return self._errors[name]
        for fault, reason in (
            (behaviour.pull_error, "ImagePullBackOff"),
            (behaviour.create_error, "CreateContainerError"),
            (behaviour.start_error, "RunContainerError"),
        ):
            if fault is not None:
                return StartError(reason, fault.message)
        return None

    def _stop(self, pod: Object, now: datetime) -> tuple[bool, datetime | None]:
        """Ends what runs, as soon as it is ready to; then the sandboxes."""
        waits: datetime | None = None
        grace = grace_seconds(pod)
        begun = now
        if is_being_deleted(pod):
            begun = parse_rfc3339(pod["metadata"]["deletionTimestamp"]) - timedelta(seconds=grace)
        for container, _ in self._running(now):
            behaviour = self._behaviour(pod, container.name)
            is_killed = behaviour.stop_seconds > grace
            ends_at = begun + timedelta(seconds=grace if is_killed else behaviour.stop_seconds)
            if ends_at > now:
                waits = _earlier(waits, ends_at)
            else:
                self._end(container, KILLED if is_killed else behaviour.stop_exit_code, now)
        if waits is not None:
            return False, waits
        stopped = tuple(replace(sandbox, is_ready=False) for sandbox in self.runtime.sandboxes)
        self.runtime = replace(self.runtime, sandboxes=stopped)
        return True, None

    # Behaviours

    def _behaviour(self, pod: Object, name: str) -> Behaviour:
        """Chosen once for each container, when it is first asked for."""
        known = self._behaviours.get(name)
        if known is None:
            image = with_default_tag(_spec(pod, name).get("image", "")) or ""
            try:
                known = self._images.behaviour_of(pod, name, image)
            except RuntimeFault as fault:
                self._errors[name] = StartError("CreateContainerError", fault.message)
                known = BROKEN
            self._behaviours[name] = known
        return known

    def output(self, name: str) -> str:
        """What the container has written."""
        return self._behaviours[name].output if self.runtime.latest(name) is not None else ""


_LIVENESS: ProbeKind = "liveness"
_STARTUP: ProbeKind = "startup"


def adopted(pod: Object, images: Images, new_id: Callable[[], str]) -> LightPod:
    """The pod as its status tells of it, for a component that begins to look after it."""
    made = LightPod(uid_of(pod), images, new_id)
    status = pod.get("status") or {}
    entries = [e for field in ("initContainerStatuses", "containerStatuses") for e in status.get(field) or ()]
    entries = [entry for entry in entries if entry.get("containerID")]
    if not entries:
        return made
    sandbox = RuntimeSandbox(
        new_id(),
        0,
        True,
        tuple(entry["ip"] for entry in status.get("podIPs") or ()),
        parse_rfc3339(status["startTime"]) if status.get("startTime") else None,
        "NODE" if on_host_network(pod) else "POD",
    )
    containers = tuple(_recorded(pod, entry, sandbox.id) for entry in reversed(entries))
    made.runtime = replace(made.runtime, sandboxes=(sandbox,), containers=containers)
    for _, container in all_containers(pod):
        made._behaviour(pod, container["name"])
    return made


def _recorded(pod: Object, entry: Object, sandbox_id: str) -> RuntimeContainer:
    state, last = entry.get("state") or {}, entry.get("lastState") or {}
    running = state.get("running")
    ended = state.get("terminated") or last.get("terminated") or {}
    told = running or ended
    return RuntimeContainer(
        id=entry["containerID"].rpartition("//")[2],
        name=entry["name"],
        sandbox_id=sandbox_id,
        attempt=entry.get("restartCount", 0),
        state="CONTAINER_RUNNING" if running is not None else "CONTAINER_EXITED",
        image=entry.get("image", ""),
        image_ref=entry.get("imageID", ""),
        hash=container_hash(_spec(pod, entry["name"])),
        created_at=parse_rfc3339(told["startedAt"]) if told.get("startedAt") else None,
        started_at=parse_rfc3339(told["startedAt"]) if told.get("startedAt") else None,
        finished_at=parse_rfc3339(ended["finishedAt"]) if running is None and ended.get("finishedAt") else None,
        exit_code=ended.get("exitCode", 0) if running is None else 0,
        reason=ended.get("reason", "") if running is None else "",
    )


def _spec(pod: Object, name: str) -> Object:
    named = container_named(pod, name)
    return named[1] if named is not None else {}


def _readiness_changes(behaviour: Behaviour, age: float) -> float:
    """The age at which the container's readiness changes next."""
    if behaviour.probe_answer is not None:
        return age + POLL_SECONDS
    since = age - behaviour.ready_after_seconds
    if since < 0:
        return behaviour.ready_after_seconds
    if behaviour.flapping is None:
        return NEVER
    period = behaviour.flapping.ready_seconds + behaviour.flapping.unready_seconds
    into = since % period
    until = behaviour.flapping.ready_seconds if into < behaviour.flapping.ready_seconds else period
    return age - into + until


def _probe_changes(pod: Object, name: str, behaviour: Behaviour, age: float) -> list[float]:
    spec = _spec(pod, name)
    changes = []
    if spec.get("startupProbe"):
        changes += [behaviour.started_after_seconds, _patience_seconds(spec["startupProbe"])]
    if spec.get("livenessProbe"):
        changes.append(behaviour.healthy_seconds)
    return [change for change in changes if change > age]


def _patience_seconds(probe: Object) -> float:
    """After how long a startup probe that does not pass is given up."""
    threshold, period = probe.get("failureThreshold", 3), probe.get("periodSeconds", 10)
    return float(probe.get("initialDelaySeconds", 0) + threshold * period)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)
