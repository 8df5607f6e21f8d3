"""The scheduler component: watches pods and nodes, decides, binds.

Deciding is synchronous and one pod at a time, on the snapshot's columns. The decision is *assumed*, that is put into
the snapshot, before it is written; so the next pod is decided on while the binding is still under way. A binding that
fails is taken out again and the pod backs off. The watch then tells of the same pod on the same node, which changes
nothing.
"""

import asyncio
import logging
from collections.abc import Sequence

from kaa.api.errors import APIError
from kaa.api.objects import Object, condition, is_being_deleted, labels_of, name_of, namespace_of, uid_of
from kaa.client.events import EventRecorder
from kaa.client.informer import Change
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.client.view import Informers
from kaa.lib.clock import Clock, rfc3339
from kaa.scheduler.framework import ClusterEvent, Placed, Plugin, Unschedulable, decide
from kaa.scheduler.plugins import PLUGINS
from kaa.scheduler.pod_info import PodInfo, pod_info
from kaa.scheduler.queue import SchedulingQueue
from kaa.scheduler.snapshot import Snapshot

log = logging.getLogger(__name__)

NAME = "default-scheduler"
COMPONENT = "default-scheduler"
BINDINGS_AT_ONCE = 64
"""Writes under way; each is a round trip that the next decision need not wait for."""

FINISHED = ("Succeeded", "Failed")


class Scheduler:
    def __init__(self, client: Client, clock: Clock, *, name: str = NAME, plugins: Sequence[Plugin] = PLUGINS) -> None:
        self.snapshot = Snapshot()
        self.queue = SchedulingQueue(clock, {plugin.name: plugin.helped_by for plugin in plugins})
        self._client = client
        self._clock = clock
        self._name = name
        self._plugins = plugins
        self._informers = Informers(client, clock)
        self._recorder = EventRecorder(client, clock, COMPONENT)
        self._writes = asyncio.Semaphore(BINDINGS_AT_ONCE)
        self._assumed: dict[tuple[str, str], str] = {}  # pod: node, until the watch tells of it
        for kind, handler in (("Namespace", self._namespace), ("Node", self._node), ("Pod", self._pod)):
            self._informers.informer(kind).subscribe(handler)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._recorder.run())
                tasks.create_task(self._informers.run())
                # Before all is known, a full node looks empty.
                await self._informers.wait_synced()
                await self._schedule(tasks)
        finally:
            self.queue.close()

    async def _schedule(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            pod = await self.queue.next()
            await self._writes.acquire()
            decision = decide(pod, self.snapshot, self._plugins, self._clock.random)
            if isinstance(decision, Placed):
                self._assume(pod, decision.node_name)
                write = self._bind(pod, decision.node_name)
            else:
                self.queue.failed(pod.key, decision.plugins or ALL_PLUGINS)
                write = self._report(pod, decision)
            tasks.create_task(write)

    # What the watches tell

    def _namespace(self, change: Change) -> None:
        if change.new is not None:
            self.snapshot.namespace_labels[name_of(change.new)] = labels_of(change.new)
        elif change.old is not None:
            self.snapshot.namespace_labels.pop(name_of(change.old), None)

    def _node(self, change: Change) -> None:
        if change.new is None:
            if change.old is not None:
                self.snapshot.remove_node(name_of(change.old))
            return
        if events := node_events(change.old, change.new):
            self.snapshot.set_node(change.new)
            for event in events:
                self.queue.moved(event)

    def _pod(self, change: Change) -> None:
        obj = change.new or change.old
        if obj is None:
            return
        key = (namespace_of(obj), name_of(obj))
        known = self.snapshot.pods.get(key)
        if known is not None and known[0].uid != uid_of(obj):
            self._gone(key)  # and made anew while nobody watched
        if change.new is None or obj.get("status", {}).get("phase") in FINISHED:
            self._gone(key)
        elif obj["spec"].get("nodeName"):
            self._bound(key, change.old, obj)
        elif self._is_ours(obj) and needs_try(change.old, obj):
            self.queue.put(pod_info(obj))
        elif is_being_deleted(obj):
            self.queue.drop(key)

    def _gone(self, key: tuple[str, str]) -> None:
        self._assumed.pop(key, None)
        self.queue.drop(key)
        if self.snapshot.remove_pod(key):
            self.queue.moved(ClusterEvent.POD_GONE)

    def _bound(self, key: tuple[str, str], old: Object | None, pod: Object) -> None:
        node_name = pod["spec"]["nodeName"]
        self.queue.drop(key)
        if self._assumed.pop(key, None) == node_name:
            return
        if key not in self.snapshot.pods or is_changed(old, pod):
            self.snapshot.add_pod(pod_info(pod), node_name)
            self.queue.moved(ClusterEvent.POD_BOUND)

    def _is_ours(self, pod: Object) -> bool:
        spec = pod["spec"]
        ours = (spec.get("schedulerName") or NAME) == self._name
        return ours and not spec.get("schedulingGates") and not is_being_deleted(pod)

    # What is written

    def _assume(self, pod: PodInfo, node_name: str) -> None:
        self._assumed[pod.key] = node_name
        self.snapshot.add_pod(pod, node_name)
        self.queue.moved(ClusterEvent.POD_BOUND)

    async def _bind(self, pod: PodInfo, node_name: str) -> None:
        namespace, name = pod.key
        try:
            await self._client.create_subresource("Pod", name, namespace, "binding", binding(pod, node_name))
        except (APIError, TransportError) as error:
            self._forget(pod, node_name, error)
        else:
            self.queue.done(pod.key)
            message = f"Successfully assigned {namespace}/{name} to {node_name}"
            self._recorder.record(pod.obj, "Normal", "Scheduled", message)
        finally:
            self._writes.release()

    def _forget(self, pod: PodInfo, node_name: str, error: Exception) -> None:
        """The binding was not written, as far as is known. If it was after all, the watch will tell."""
        if self._assumed.pop(pod.key, None) is None:
            return
        log.info("binding %s/%s to %s failed: %s", *pod.key, node_name, error)
        self.snapshot.remove_pod(pod.key)
        self.queue.moved(ClusterEvent.POD_GONE)
        self.queue.failed(pod.key)

    async def _report(self, pod: PodInfo, decision: Unschedulable) -> None:
        """The pod's condition and an event. A write that fails is made up for at the next try."""
        try:
            self._recorder.record(pod.obj, "Warning", "FailedScheduling", decision.message)
            if (fresh := unscheduled_condition(pod.obj, decision.message, rfc3339(self._clock.now()))) is not None:
                namespace, name = pod.key
                patch = {"metadata": {"uid": pod.uid}, "status": {"conditions": [fresh]}}
                answer = await self._client.patch(
                    "Pod", name, patch, namespace, patch_type="strategic", subresource="status"
                )
                self._informers.observe(answer)
        except (APIError, TransportError) as error:
            log.info("reporting %s/%s as unschedulable failed: %s", *pod.key, error)
        finally:
            self._writes.release()


ALL_PLUGINS = frozenset(plugin.name for plugin in PLUGINS)
"""When there is no node at all, nobody rejected the pod, and any plugin's events can help it."""


def binding(pod: PodInfo, node_name: str) -> Object:
    namespace, name = pod.key
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name, "namespace": namespace, "uid": pod.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node_name},
    }


def unscheduled_condition(pod: Object, message: str, now: str) -> Object | None:
    """The PodScheduled condition to write; None if the pod says so already."""
    known = condition(pod.get("status", {}).get("conditions"), "PodScheduled") or {}
    fresh = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    if fresh.items() <= known.items():
        return None
    moment = known.get("lastTransitionTime") if known.get("status") == "False" else None
    return {**fresh, "lastTransitionTime": moment or now}


def needs_try(old: Object | None, pod: Object) -> bool:
    """A new pod, or a change that can matter: not the status that we write ourselves."""
    return old is None or uid_of(old) != uid_of(pod) or old["spec"] != pod["spec"] or labels_of(old) != labels_of(pod)


def is_changed(old: Object | None, pod: Object) -> bool:
    """Whether a bound pod counts differently: its labels, or its requests, which can be resized."""
    return old is not None and (labels_of(old) != labels_of(pod) or old["spec"] != pod["spec"])


def node_events(old: Object | None, node: Object) -> list[ClusterEvent]:
    """What of a node has changed; nothing for a heartbeat."""
    if old is None:
        return [ClusterEvent.NODE_ADDED]
    changed = {
        ClusterEvent.NODE_LABELS: labels_of(old) != labels_of(node),
        ClusterEvent.NODE_TAINTS: old["spec"] != node["spec"],
        ClusterEvent.NODE_ALLOCATABLE: any(
            old.get("status", {}).get(field) != node.get("status", {}).get(field)
            for field in ("allocatable", "capacity", "images")
        ),
    }
    return [event for event, happened in changed.items() if happened]


async def run_scheduler(client: Client, clock: Clock, *, name: str = NAME) -> None:
    """Schedules pods of that scheduler name, until cancelled."""
    await Scheduler(client, clock, name=name).run()
