"""One pod's life on this node: observe, decide, carry out, write the status; then the same again when woken.

A worker is one task, so nothing ever happens to a pod twice at the same time. It is woken by a change of the pod, an
event of the runtime, a probe, a timer. Its life has two parts: the pod *runs* until it is deleted, finished, rejected
or removed from the API; from then on it *ends*, never to run again. What waits for long (an image, a hook) is dropped
when the end begins.
"""

import asyncio
import logging
import shutil
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import assert_never

from kaa.api.errors import APIError
from kaa.api.objects import Object, is_being_deleted
from kaa.client.transport import TransportError
from kaa.cri.cri import Message, RuntimeFault
from kaa.kubelet.container_config import pod_log_directory
from kaa.kubelet.container_statuses import Readings, StartError
from kaa.kubelet.delays import spell
from kaa.kubelet.garbage import dead_containers, dead_sandboxes
from kaa.kubelet.machinery import Interrupted, Machinery, unless
from kaa.kubelet.pod_actions import (
    Action,
    BackOff,
    CreateSandbox,
    Facts,
    KillContainer,
    ResizeContainer,
    ResizeSandbox,
    StartContainer,
    StopPod,
    pod_actions,
)
from kaa.kubelet.pod_resizer import resize_container, resize_sandbox
from kaa.kubelet.pod_runtime import PodRuntime
from kaa.kubelet.pod_spec import all_containers, full_name, grace_seconds, is_finished
from kaa.kubelet.pod_starter import create_sandbox, pod_facts, start_container
from kaa.kubelet.pod_status import OWNED_CONDITIONS, Resize, StatusFacts, pod_status
from kaa.kubelet.pod_stopper import kill_grace, stop_container, stop_pod
from kaa.kubelet.resize import desired_resources, recorded_resources, sandbox_resources, with_resources
from kaa.kubelet.start_failure import StartFailure
from kaa.lib.backoff import Backoff
from kaa.lib.clock import parse_rfc3339

log = logging.getLogger(__name__)

RESYNC_SECONDS = 60.0
"""A pod that nothing happens to is looked at this often or up to half as much later: its volumes are renewed."""

RETRY = Backoff(initial_seconds=0.5, limit_seconds=60.0)
"""After a sync that failed: the runtime or the API did not answer, a volume could not be mounted."""

START_RETRY_SECONDS = 10.0
"""After a sandbox or container that could not be started for a reason that has no back-off of its own."""

POD = ""
"""Stands for the pod itself among its containers' names."""

REMOVED_GRACE_SECONDS = 1
"""For containers of a pod that is gone from the API: somebody has forced its deletion."""


class PodWorker:
    def __init__(self, machinery: Machinery, pod: Object) -> None:
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.seen = PodRuntime(self.uid)
        self._machinery = machinery
        self._removed = False
        self._failure: tuple[str, str] | None = None
        self._start_errors: dict[str, StartError] = {}
        self._granted: dict[str, Object] | None = None  # resources by container; None: not looked at yet
        self._resize = Resize()
        self._sandbox_linux: Message = {}  # what the pod's cgroup was last given; of an older sandbox it is not known
        self._cleaned_up = False
        self._failed_syncs = 0
        self._wakeup = asyncio.Event()
        self._ending = asyncio.Event()
        self._shortened = asyncio.Event()

    # What the kubelet tells it

    def wake(self) -> None:
        self._wakeup.set()

    def update(self, pod: Object) -> None:
        if grace_seconds(pod) < grace_seconds(self.pod):
            self._shortened.set()
        before, self.pod = self.pod, pod
        if _concerns(before) != _concerns(pod):
            self._note_end()

    def remove(self) -> None:
        """The pod is gone from the API: end it, tell nobody."""
        self._removed = True
        self._shortened.set()
        self._note_end()

    def fail(self, reason: str, message: str) -> None:
        """The kubelet itself ends the pod: it is evicted, or has run too long."""
        if self._failure is None:
            self._failure = (reason, message)
        self._note_end()

    @property
    def is_ending(self) -> bool:
        return self._removed or self._failure is not None or is_being_deleted(self.pod) or is_finished(self.pod)

    @property
    def granted(self) -> Object:
        """The pod with the resources that the node has set aside for it."""
        return with_resources(self.pod, recorded_resources(self.pod) if self._granted is None else self._granted)

    @property
    def waits_for_room(self) -> bool:
        """It asks for more than the node has granted."""
        return self._resize.refusal is not None

    def _note_end(self) -> None:
        if self.is_ending:
            self._ending.set()
        self.wake()

    # The task

    async def run(self) -> None:
        """Until the pod is gone from both the API and the node."""
        self._note_end()
        while True:
            self._wakeup.clear()
            try:
                pause_seconds = await self._sync()
                self._failed_syncs = 0
            except (RuntimeFault, APIError, TransportError, OSError) as error:
                self._failed_syncs += 1
                pause_seconds = RETRY.delay(self._failed_syncs)
                log.warning("pod %s: %s; next try in %.1f s", full_name(self.pod), error, pause_seconds)
            if self._removed and self._cleaned_up:
                return
            await self._pause(pause_seconds)

    async def _pause(self, seconds: float) -> None:
        timer = self._machinery.clock.call_later(max(seconds, 0.0), self.wake)
        try:
            await self._wakeup.wait()
        finally:
            timer.cancel()

    async def _sync(self) -> float:
        """One round; returns after how many seconds the next is due at the latest."""
        machinery = self._machinery
        self._grant()
        pod = self._current()
        self.seen = await machinery.view.pod(self.uid)
        deadline_seconds = self._check_deadline(pod)
        machinery.prober.observe(pod, self.seen, terminating=self.is_ending)
        if self.is_ending or is_finished(pod):
            await self._end(pod)
            return RESYNC_SECONDS
        try:
            pause_seconds = await self._keep_running(pod)
        except Interrupted:
            return 0.0
        return min(pause_seconds, deadline_seconds)

    def _grant(self) -> None:
        """Takes the resources that the pod asks for, if the node has room for them."""
        desired = desired_resources(self.pod)
        if self._granted is None:
            self._granted = recorded_resources(self.pod)
        refusal = self._machinery.resize_refusal(self.pod) if self._granted != desired else None
        if refusal is None:
            self._granted = desired
        self._resize = replace(self._resize, refusal=(refusal.reason, refusal.message) if refusal else None)

    def _current(self) -> Object:
        """The pod with its newest status, and the resources it is granted."""
        return with_resources(self._machinery.status.current(self.pod), self._granted or {})

    def _check_deadline(self, pod: Object) -> float:
        """Seconds until spec.activeDeadlineSeconds; fails the pod when they are over."""
        limit = pod["spec"].get("activeDeadlineSeconds")
        started = (pod.get("status") or {}).get("startTime")
        if limit is None or not started or is_finished(pod):
            return RESYNC_SECONDS
        left = parse_rfc3339(started) + timedelta(seconds=limit) - self._machinery.clock.now()
        if left <= timedelta(0):
            self.fail("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        return left.total_seconds()

    # Running

    async def _keep_running(self, pod: Object) -> float:
        machinery = self._machinery
        health = machinery.prober.health(self.uid)
        facts = Facts(pod, self.seen, health, self._not_before(pod), self._sandbox_linux)
        actions = pod_actions(facts)
        self._write_status(pod)
        mounted = await machinery.volumes.mount(pod_facts(machinery, pod, self.seen.ips))
        for fault in mounted.faults:
            machinery.events.pod(pod, "Warning", "FailedMount", fault)
        if mounted.faults and any(isinstance(action, CreateSandbox | StartContainer) for action in actions):
            self._failed_syncs += 1
            return RETRY.delay(self._failed_syncs)
        progress, pause_seconds = False, RESYNC_SECONDS * (1 + machinery.clock.random.random() / 2)
        for action in actions:
            done, next_seconds = await self._carry_out(pod, action, mounted.paths)
            progress, pause_seconds = progress or done, min(pause_seconds, next_seconds)
        await self._collect_garbage()
        if actions:
            self.seen = await machinery.view.pod(self.uid)
            machinery.prober.observe(pod, self.seen)
            self._write_status(self._current())
        return 0.0 if progress else pause_seconds  # once more, until nothing is left to do

    def _not_before(self, pod: Object) -> dict[str, datetime]:
        """When each container of which one has ended (or never got to run) may start again."""
        now, found = self._machinery.clock.now(), {}
        for _, container in all_containers(pod):
            ended = self.seen.last_ended(container["name"])
            since = (ended.finished_at or ended.created_at) if ended is not None else None
            if since is None:
                continue
            until = self._machinery.delays.until((self.uid, container["name"]), since, now)
            if until is not None:
                found[container["name"]] = until
        return found

    async def _carry_out(self, pod: Object, action: Action, volumes: dict[str, Path]) -> tuple[bool, float]:
        """Whether something was done, and in how many seconds there is more to do."""
        machinery = self._machinery
        match action:
            case StopPod():
                await stop_pod(machinery, pod, self.seen, grace_seconds(pod))
            case KillContainer(id=container_id, name=name, message=message, failed_probe=probe):
                running = next(c for c in self.seen.containers if c.id == container_id)
                await stop_container(machinery, pod, running, message, kill_grace(pod, name, probe))
            case BackOff(name=name, until=until):
                return False, self._back_off(pod, name, until)
            case CreateSandbox(attempt=attempt):
                done = await self._attempt(POD, create_sandbox(machinery, pod, attempt))
                self._sandbox_linux = sandbox_resources(pod)
                return done
            case ResizeSandbox(id=sandbox_id, linux=linux):
                await resize_sandbox(machinery, sandbox_id, linux)
                self._sandbox_linux = linux
                return False, RESYNC_SECONDS
            case ResizeContainer():
                await self._resize_container(pod, action)
                return False, RESYNC_SECONDS
            case StartContainer(name=name):
                work = start_container(machinery, pod, action, self.seen, volumes, self._ending)
                return await self._attempt(name, work)
            case _:
                assert_never(action)
        return True, RESYNC_SECONDS

    async def _resize_container(self, pod: Object, action: ResizeContainer) -> None:
        """Raises RuntimeFault, after which it is tried again."""
        try:
            await resize_container(self._machinery, action)
        except RuntimeFault as fault:
            self._resize = replace(self._resize, error=fault.message)
            raise
        self._resize = replace(self._resize, error="")

    async def _attempt(self, name: str, work: Coroutine[None, None, None]) -> tuple[bool, float]:
        try:
            await work
        except StartFailure as failure:
            if name != POD:
                self._start_errors[name] = StartError(failure.reason, failure.message)
            if failure.retry_at is None:
                return False, START_RETRY_SECONDS
            return False, (failure.retry_at - self._machinery.clock.now()).total_seconds()
        self._start_errors.pop(name, None)
        return True, RESYNC_SECONDS

    def _back_off(self, pod: Object, name: str, until: datetime) -> float:
        machinery = self._machinery
        entry = machinery.delays.entries[(self.uid, name)]
        what = f"restarting failed container={name} pod={full_name(pod)}"
        self._start_errors[name] = StartError("CrashLoopBackOff", f"back-off {spell(entry.seconds)} {what}")
        told = f"Back-off restarting failed container {name} in pod {full_name(pod)}"
        machinery.events.container(pod, name, "Warning", "BackOff", told)
        return (until - machinery.clock.now()).total_seconds()

    async def _collect_garbage(self) -> None:
        for container_id in dead_containers(self.seen):
            await self._machinery.runtime.remove_container({"container_id": container_id})
        for sandbox_id in dead_sandboxes(self.seen):
            await self._machinery.runtime.remove_pod_sandbox({"pod_sandbox_id": sandbox_id})

    def _write_status(self, pod: Object, *, has_stopped: bool = False) -> None:
        """A pod that is gone from the API has no status to write."""
        if self._removed:
            return
        machinery = self._machinery
        health = machinery.prober.health(self.uid)
        readings = Readings(
            self._start_errors, machinery.prober.ready(self.uid), health.started, machinery.runtime_name
        )
        facts = StatusFacts(
            pod,
            self.seen,
            readings,
            machinery.host_ips,
            machinery.clock.now(),
            has_stopped,
            self._failure,
            self._resize,
        )
        machinery.status.set(pod, pod_status(facts))

    # Ending

    async def _end(self, pod: Object) -> None:
        """Stops everything, writes the last status, takes away what the pod had, and lets the API remove it."""
        machinery = self._machinery
        if self.seen.is_active:
            self._write_status(pod)
            await self._stop(pod)
            self.seen = await machinery.view.pod(self.uid)
        self._write_status(self._current(), has_stopped=True)
        machinery.prober.forget(self.uid)
        machinery.images.forget(self.uid)
        machinery.volumes.unmount(self.uid)
        for name in dict.fromkeys(container.name for container in self.seen.containers):
            machinery.delays.forget((self.uid, name))
        if not (self._removed or is_being_deleted(self.pod)):
            return  # finished: its containers stay for their logs until it is deleted
        await self._erase()
        if not self._removed:
            machinery.status.finish(self.pod)
        self._cleaned_up = True

    async def _stop(self, pod: Object) -> None:
        """Waits for the containers to end; starts over when the grace period is shortened meanwhile."""
        while True:
            self._shortened.clear()
            grace = REMOVED_GRACE_SECONDS if self._removed else grace_seconds(self.pod)
            try:
                await unless(self._shortened, stop_pod(self._machinery, pod, self.seen, grace))
                return
            except Interrupted:
                self.seen = await self._machinery.view.pod(self.uid)

    async def _erase(self) -> None:
        for sandbox in self.seen.sandboxes:
            await self._machinery.runtime.remove_pod_sandbox({"pod_sandbox_id": sandbox.id})
        for container in self.seen.containers:
            await self._machinery.runtime.remove_container({"container_id": container.id})
        if self.pod["metadata"].get("name"):
            shutil.rmtree(self._machinery.node_facts.pod_log_dir / pod_log_directory(self.pod), ignore_errors=True)


def _concerns(pod: Object) -> tuple[Object, Object, list[Object]]:
    """What of a pod the kubelet acts on: not the status that it has written itself."""
    bookkeeping = ("resourceVersion", "managedFields")
    metadata = {key: value for key, value in pod["metadata"].items() if key not in bookkeeping}
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return metadata, pod["spec"], [c for c in conditions if c.get("type") not in OWNED_CONDITIONS]


def unknown_pod(seen: PodRuntime) -> Object:
    """A pod that only the runtime knows, as much of it as it takes to end it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": seen.name, "namespace": seen.namespace, "uid": seen.uid},
        "spec": {"containers": []},
    }
