"""Probes: one task a probe of a running container, and what they have found so far.

A probe waits `initialDelaySeconds` from the container's start, then runs every `periodSeconds`. Its result turns only
after `failureThreshold` failures or `successThreshold` successes in a row. Liveness and readiness wait until the
startup probe has passed. A task belongs to one container id: a restarted container has probes of its own. Bounded by
three probes a container.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from kaa.api.objects import Object
from kaa.kubelet.handlers import PROBE_FIELDS, Handlers, Result, Target
from kaa.kubelet.pod_actions import Health, ProbeKind
from kaa.kubelet.pod_events import PodEvents
from kaa.kubelet.pod_runtime import PodRuntime, RuntimeContainer
from kaa.kubelet.pod_spec import app_containers, sidecars
from kaa.lib.clock import Clock

KILLING: tuple[ProbeKind, ...] = ("startup", "liveness")
"""Probes whose failure ends the container."""

ERROR_TRIES = 3
"""A handler that could not run at all is tried this often before the error counts (as nothing)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a probe has found: `passing`, from so many equal results in a row. `decided`: a threshold was reached."""

    passing: bool
    decided: bool = False
    last: bool | None = None
    streak: int = 0


def initial(kind: ProbeKind) -> Verdict:
    """Liveness is trusted until it fails; readiness and startup must be earned."""
    return Verdict(passing=kind == "liveness")


def judge(verdict: Verdict, probe: Object, succeeded: bool) -> Verdict:
    """The verdict after one more result."""
    streak = verdict.streak + 1 if verdict.last is succeeded else 1
    threshold = int(probe.get("successThreshold") or 1) if succeeded else int(probe.get("failureThreshold") or 3)
    if streak < threshold:
        return replace(verdict, last=succeeded, streak=streak)
    return Verdict(passing=succeeded, decided=True, last=succeeded, streak=streak)


@dataclass(slots=True)
class _Watched:
    """One container's probes."""

    verdicts: dict[ProbeKind, Verdict] = field(default_factory=dict)
    tasks: dict[ProbeKind, asyncio.Task[None]] = field(default_factory=dict)
    started: asyncio.Event = field(default_factory=asyncio.Event)


class Prober:
    """All probes of the node. `on_change` is told a pod's uid when one of its verdicts has turned."""

    def __init__(
        self,
        handlers: Handlers,
        events: PodEvents,
        clock: Clock,
        group: asyncio.TaskGroup,
        on_change: Callable[[str], None],
        host_ip: str,
    ) -> None:
        self._host_ip = host_ip
        self._handlers = handlers
        self._events = events
        self._clock = clock
        self._group = group
        self._on_change = on_change
        self._watched: dict[str, dict[str, _Watched]] = {}  # by pod uid, then container id

    def observe(self, pod: Object, seen: PodRuntime, *, terminating: bool = False) -> None:
        """Starts the probes of containers that run and have none; ends those of containers that run no more.

        A pod that is being stopped keeps its readiness probes only.
        """
        uid = pod["metadata"]["uid"]
        watched = self._watched.setdefault(uid, {})
        running = {c.name: c for c in reversed(seen.containers) if c.is_running}
        alive = {c.id for c in running.values()}
        for gone in [container_id for container_id in watched if container_id not in alive]:
            self._end(watched.pop(gone))
        for container in (*app_containers(pod), *sidecars(pod)):
            found = running.get(container["name"])
            if found is not None and found.id not in watched and not terminating:
                watched[found.id] = self._start(pod, container, found, seen)
        if terminating:
            for entry in watched.values():
                for kind in KILLING:
                    if task := entry.tasks.pop(kind, None):
                        task.cancel()

    def health(self, uid: str) -> Health:
        watched = self._watched.get(uid, {})
        failed: dict[str, ProbeKind] = {}
        for container_id, entry in watched.items():
            for kind in KILLING:
                verdict = entry.verdicts.get(kind)
                if verdict is not None and verdict.decided and not verdict.passing:
                    failed[container_id] = kind
        return Health(frozenset(c for c, entry in watched.items() if entry.started.is_set()), failed)

    def ready(self, uid: str) -> frozenset[str]:
        """Ids of containers that are ready: they have passed their probe, or have none."""
        return frozenset(
            container_id
            for container_id, entry in self._watched.get(uid, {}).items()
            if "readiness" not in entry.verdicts or entry.verdicts["readiness"].passing
        )

    def forget(self, uid: str) -> None:
        for entry in self._watched.pop(uid, {}).values():
            self._end(entry)

    def _start(self, pod: Object, container: Object, running: RuntimeContainer, seen: PodRuntime) -> _Watched:
        entry = _Watched()
        if self._handlers.probe(pod, container, "startup") is None:
            entry.started.set()
        for kind in PROBE_FIELDS:
            if (probe := self._handlers.probe(pod, container, kind)) is not None:
                entry.verdicts[kind] = initial(kind)
                entry.tasks[kind] = self._group.create_task(
                    self._run(pod, container, running, seen, kind, probe, entry),
                    name=f"{kind} probe of {pod['metadata']['name']}/{container['name']}",
                )
        return entry

    def _end(self, entry: _Watched) -> None:
        for task in entry.tasks.values():
            task.cancel()

    async def _run(
        self,
        pod: Object,
        container: Object,
        running: RuntimeContainer,
        seen: PodRuntime,
        kind: ProbeKind,
        probe: Object,
        entry: _Watched,
    ) -> None:
        if kind != "startup":
            await entry.started.wait()
        age = (self._clock.now() - running.started_at).total_seconds() if running.started_at else 0.0
        await self._clock.sleep(max(float(probe.get("initialDelaySeconds") or 0) - age, 0.0))
        ip = next(iter(seen.ips), "") or self._host_ip
        target = Target(running.id, container, ip)
        uid = pod["metadata"]["uid"]
        while True:
            result = await self._ask(kind, target, probe)
            if result.outcome != "success":
                self._tell(pod, container, kind, result)
            if result.outcome != "error":
                before = entry.verdicts[kind]
                entry.verdicts[kind] = judge(before, probe, result.succeeded)
                if kind == "startup" and entry.verdicts[kind].passing:
                    entry.started.set()
                    self._on_change(uid)
                    return
                after = entry.verdicts[kind]
                if (before.passing, before.decided) != (after.passing, after.decided):
                    self._on_change(uid)
            await self._clock.sleep(float(probe.get("periodSeconds") or 10))

    async def _ask(self, kind: ProbeKind, target: Target, probe: Object) -> Result:
        for _ in range(ERROR_TRIES):
            result = await self._handlers.run(kind, target, probe, float(probe.get("timeoutSeconds") or 1))
            if result.outcome != "error":
                break
        return result

    def _tell(self, pod: Object, container: Object, kind: ProbeKind, result: Result) -> None:
        what = "errored and resulted in unknown state" if result.outcome == "error" else "failed"
        message = f"{kind.capitalize()} probe {what}: {result.output}"
        self._events.container(pod, container["name"], "Warning", "Unhealthy", message)
