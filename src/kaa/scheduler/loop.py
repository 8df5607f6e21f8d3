"""The scheduler component: watches, decides, and sends pods on their way.

Deciding is one pod at a time, on the snapshot's columns. What comes after the decision (`placing.py`) happens for many
pods at once, while the next are decided on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kaa.api.errors import APIError
from kaa.api.objects import Object, uid_of
from kaa.api.resource import Resource
from kaa.client.events import EventRecorder
from kaa.client.leader import LeaderElector
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.client.view import Informers
from kaa.lib.backoff import Backoff
from kaa.lib.clock import Clock, rfc3339
from kaa.scheduler import placing, preempting
from kaa.scheduler.answers import Remembered
from kaa.scheduler.cluster_events import ClusterEvent, Event
from kaa.scheduler.decision import FRESH, Decision, Failed, Placed, Unschedulable, decide, describe
from kaa.scheduler.decision_log import MAX_DECISIONS, DecisionLog
from kaa.scheduler.explain_socket import serve_explanations
from kaa.scheduler.explaining import NODES_SHOWN, explanation, untried
from kaa.scheduler.framework import Context, Nomination, Placement, Plugin, Profile
from kaa.scheduler.permits import Permits, Waiter
from kaa.scheduler.placing import UNANSWERED, Stopped
from kaa.scheduler.plugin_files import News, PluginFile, follow
from kaa.scheduler.plugins import PLUGINS
from kaa.scheduler.pod_info import Key, PodInfo, pod_info
from kaa.scheduler.queue import BACKOFF, SchedulingQueue
from kaa.scheduler.reporting import SCHEDULER_ERROR, UNSCHEDULABLE, reference, unscheduled_status
from kaa.scheduler.snapshot import Snapshot
from kaa.scheduler.tracker import DEFAULT_NAME, Tracker
from kaa.scheduler.trimming import trimmed
from kaa.scheduler.watched import Hung, Noted, Watch

if TYPE_CHECKING:  # reading one needs what few schedulers do
    from kaa.scheduler.config.configuration import Configuration

log = logging.getLogger(__name__)

COMPONENT = "default-scheduler"
BINDINGS_AT_ONCE = 64
"""Pods on their way and reports under way; each is a round trip or more that the next decision need not wait for."""

LEASE_NAME = "kube-scheduler"
LEASE: Object = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": LEASE_NAME, "namespace": "kube-system"},
}

DEFAULT_PROFILE = Profile(DEFAULT_NAME, PLUGINS)


class Scheduler:
    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        profiles: Sequence[Profile] = (DEFAULT_PROFILE,),
        backoff: Backoff = BACKOFF,
        files: Sequence[PluginFile] = (),
    ) -> None:
        """`files` are those of the profiles' plugins that are to follow their files."""
        self.decisions = DecisionLog()
        self._files = files
        self._client = client
        self._clock = clock
        self._profiles = {profile.name: profile for profile in profiles}
        self._informers = Informers(client, clock)
        self._informers.informer("Pod", trim=trimmed)
        self._recorder = EventRecorder(client, clock, COMPONENT)
        self._permits = Permits()
        self._context = Context(client, clock, self._informers.view, self._recorder, self._permits, self._uncounted)
        self.snapshot = Snapshot(self._informers.view)
        hints = {plugin.name: plugin.helped_by for profile in profiles for plugin in profile.plugins}
        self.queue = SchedulingQueue(clock, hints, gate=self._gate, backoff=backoff)
        self._tracker = Tracker(self.snapshot, self.queue, self._permits, self._profiles)
        self._answers = Remembered()
        self._watch = Watch()
        self._writes = asyncio.Semaphore(BINDINGS_AT_ONCE)
        indexes = {index: keys for profile in profiles for p in profile.plugins for index, keys in p.indexes.items()}
        for (kind, index), keys in indexes.items():
            self._informers.informer(kind).add_index(index, keys)
        # Pods come last: what their plugins look at is there by then.
        for kind in sorted(frozenset[str]().union(*(profile.kinds for profile in profiles))):
            self._informers.informer(kind).subscribe(self._tracker.object(kind))
        self._informers.informer("Namespace").subscribe(self._tracker.namespace)
        self._informers.informer("Node").subscribe(self._tracker.node)
        self._informers.informer("Pod").subscribe(self._tracker.pod)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._recorder.run())
                await self._drop_unserved()
                tasks.create_task(self._informers.run())
                # Before all is known, a full node looks empty.
                await self._informers.wait_synced()
                self._tracker.renominate()
                if self._files:
                    tasks.create_task(follow(self._files, self._clock, self._plugin_changed))
                await self._schedule(tasks)
        finally:
            self.queue.close()
            self._watch.close()

    async def _drop_unserved(self) -> None:
        """Kinds that not every server has are not waited for."""
        plugins = [plugin for profile in self._profiles.values() for plugin in profile.plugins]
        for kind in sorted({kind for plugin in plugins for kind in plugin.optional}):
            if not await is_served(self._client, self._clock, kind):
                await self._informers.drop(kind)

    def explain(self, namespace: str, name: str, nodes: int = NODES_SHOWN) -> Object:
        """The pod's last decision, as `explaining.py` tells it."""
        key = (namespace, name)
        if (kept := self.decisions.get(key)) is not None:
            return explanation(kept, nodes)
        return untried(namespace, name, self._why_untried(key))

    def _why_untried(self, key: Key) -> str:
        obj = self._informers.view.get("Pod", key[1], key[0])
        if obj is None:
            return "there is no such pod"
        pod = pod_info(obj)
        if pod.node_name:
            return f"it is on {pod.node_name}, and was not among the last {MAX_DECISIONS} pods decided on"
        if (profile := self._profiles.get(pod.scheduler_name)) is None:
            return f'it is left to the scheduler "{pod.scheduler_name}"'
        gates = (plugin.enqueue(pod, self._informers.view) for plugin in profile.plugins if plugin.enqueue is not None)
        return next((reason for reason in gates if reason is not None), "it has not been tried yet")

    def _plugin_changed(self, news: News) -> None:
        """What it rejected before it may have now. People look for such news where leaders are told of."""
        kind, reason = ("Normal", "PluginLoaded") if news.is_good else ("Warning", "PluginNotLoaded")
        self._recorder.record(LEASE, kind, reason, news.text)
        self.queue.moved(Event(ClusterEvent.PLUGIN_CHANGED))

    def _gate(self, pod: PodInfo) -> str | None:
        """The plugin that does not let the pod be tried yet."""
        for plugin in self._profiles[pod.scheduler_name].plugins:
            if plugin.enqueue is None:
                continue
            try:
                reason = plugin.enqueue(pod, self._informers.view)
            except Exception as error:  # whatever somebody's plugin raises is this pod's affair alone
                message = f'running PreEnqueue plugin "{plugin.name}": {describe(error)}'
                self._recorder.record(reference(pod), "Warning", "FailedScheduling", message)
                return plugin.name
            if reason is not None:
                return plugin.name
        return None

    async def _schedule(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._writes.acquire()
            pod = await self.queue.next()
            profile = self._profiles[pod.scheduler_name]
            decision = await self._decide(pod, profile)
            if not self.queue.is_tried(pod):  # it went while another thread decided
                self._writes.release()
                continue
            self.decisions.put(pod, decision, self._clock.now())
            tasks.create_task(self._release_after(self._carry_out(pod, profile, decision)))

    async def _decide(self, pod: PodInfo, profile: Profile) -> Decision:
        if not profile.limit_seconds:
            return decide(pod, self.snapshot, profile.plugins, self._clock.random, self._answers)
        answers = Noted(FRESH)

        def work() -> Decision:
            return decide(pod, self.snapshot, profile.plugins, self._clock.random, answers, read_only=True)

        try:
            with self._tracker.held():
                decision = await self._watch.call(work, profile.limit_seconds)
        except Hung:
            seconds = f"{profile.limit_seconds:g} seconds"
            return Failed(f'plugin "{answers.asking}" did not answer within {seconds}', answers.asking)
        if isinstance(decision, Placed) and not self._tracker.has_node(decision.node_name):
            return Failed(f"node {decision.node_name} is gone", answers.asking)
        return decision

    async def _release_after(self, work: Awaitable[None]) -> None:
        try:
            await work
        finally:
            self._writes.release()

    def _carry_out(self, pod: PodInfo, profile: Profile, decision: Decision) -> Awaitable[None]:
        """Does at once what the next decision must know of, and returns what is to be awaited."""
        match decision:
            case Placed(node_name):
                return self._begin(Placement(pod, node_name, self.snapshot, self._context), profile.plugins)
            case Unschedulable(message, plugins, nomination):
                losers = preempting.begin(pod, nomination, self._tracker)
                if not nomination.node_name:
                    self._tell_unplaced(pod, profile)
                # When there is no node at all, nobody rejected the pod, and any plugin's events can help it.
                self.queue.failed(pod.key, plugins or {plugin.name for plugin in profile.plugins})
                return self._preempt(pod, message, nomination, losers)
            case Failed(message):
                self.queue.failed(pod.key)
                return self._report(pod, SCHEDULER_ERROR, message)

    def _tell_unplaced(self, pod: PodInfo, profile: Profile) -> None:
        for plugin in profile.plugins:
            if plugin.unplaced is None:
                continue
            try:
                plugin.unplaced(pod, self._context)
            except Exception:  # somebody's plugin: what waits for the pod will wait too long, then
                log.exception("plugin %s failed to give up what waits for %s/%s", plugin.name, *pod.key)

    # A pod that has a node

    def _begin(self, placement: Placement, plugins: Sequence[Plugin]) -> Awaitable[None]:
        self._tracker.assume(placement.pod, placement.node_name)
        try:
            placing.reserve(placement, plugins)
            waits = placing.permit(placement, plugins)
        except Stopped as stop:
            return self._give_up(placement, plugins, stop)
        waiter = self._permits.register(placement, set(waits)) if waits else None
        return self._finish(placement, plugins, waiter, min(waits.values(), default=0.0))

    async def _finish(
        self, placement: Placement, plugins: Sequence[Plugin], waiter: Waiter | None, wait_seconds: float
    ) -> None:
        pod = placement.pod
        try:
            if waiter is not None:
                await self._uncounted(self._permits.wait(waiter, wait_seconds))
            writing = placing.pre_bind(placement, plugins)
            await (self._uncounted(writing) if placing.may_take_long(pod, plugins) else writing)
            await placing.bind(placement, plugins)
        except Stopped as stop:
            await self._give_up(placement, plugins, stop)
            return
        self.queue.done(pod.key)
        message = f"Successfully assigned {pod.namespace}/{pod.name} to {placement.node_name}"
        self._recorder.record(reference(pod), "Normal", "Scheduled", message)

    async def _uncounted(self, waiting: Awaitable[None]) -> None:
        """Who waits for others takes no place among the writes: a gang may be larger than their number."""
        self._writes.release()
        try:
            await waiting
        finally:
            await self._writes.acquire()

    def _give_up(self, placement: Placement, plugins: Sequence[Plugin], stop: Stopped) -> Awaitable[None]:
        pod = placement.pod
        self._tracker.forget(pod, {stop.plugin} - {""}, lambda: placing.unreserve(placement, plugins))
        return self._report(pod, UNSCHEDULABLE if stop.plugin else SCHEDULER_ERROR, str(stop))

    # A pod that has none

    async def _preempt(self, pod: PodInfo, message: str, nomination: Nomination, losers: Sequence[PodInfo]) -> None:
        """The nomination is written first: whoever takes over from us knows for whom the victims go."""
        await self._report(pod, UNSCHEDULABLE, message, nomination.node_name)
        await preempting.finish(pod, nomination, losers, self._tracker, self._context)

    async def _report(self, pod: PodInfo, reason: str, message: str, nominated: str | None = None) -> None:
        """The pod's condition, its nominated node unless that is None, and an event. A write that fails is made up for
        at the next try.
        """
        obj = self._informers.view.get("Pod", pod.name, pod.namespace)
        if obj is None or uid_of(obj) != pod.uid:  # gone meanwhile
            return
        self._recorder.record(obj, "Warning", "FailedScheduling", message)
        status = unscheduled_status(obj, reason, message, nominated, rfc3339(self._clock.now()))
        if not status:
            return
        patch = {"metadata": {"uid": pod.uid}, "status": status}
        try:
            answer = await self._client.patch(
                "Pod", pod.name, patch, pod.namespace, patch_type="strategic", subresource="status"
            )
        except (APIError, TransportError) as error:
            log.info("reporting %s/%s as unschedulable failed: %s", *pod.key, error)
        else:
            self._informers.observe(answer)


async def is_served(client: Client, clock: Clock, kind: str | Resource) -> bool:
    """Whether the server has the kind and lets us list it. Waits for a server that does not answer."""
    unanswered = 0
    while True:
        try:
            await client.call("GET", client.resource(kind).path(None), query=[("limit", "1")])
        except APIError as error:
            if error.reason in ("NotFound", "Forbidden"):
                log.info("doing without %s: %s", kind, error)
                return False
            log.info("whether there are %s is not known: %s", kind, error)
        except TransportError as error:
            log.info("the server does not answer: %s", error)
        else:
            return True
        unanswered += 1
        await clock.sleep(UNANSWERED.delay(unanswered))


async def run_scheduler(
    client: Client,
    clock: Clock,
    *,
    configuration: "Configuration | None" = None,
    socket: Path | None = None,
    identity: str = "",
    started: Callable[[Scheduler], None] | None = None,
) -> None:
    """Schedules until cancelled. At `socket` it explains its decisions, and so does the scheduler that `started` gets.

    With an `identity` only while this candidate holds the lease `kube-scheduler`, so that several can run;
    `client.leader.LeadershipLost` is raised when it is lost, and the process should end and start anew.
    """

    async def work() -> None:
        # Made only now: what waits for its turn fills no caches.
        if configuration is None:
            scheduler = Scheduler(client, clock)
        else:
            scheduler = Scheduler(
                client,
                clock,
                profiles=configuration.profiles,
                backoff=configuration.backoff,
                files=configuration.files,
            )
        if started is not None:
            started(scheduler)
        async with asyncio.TaskGroup() as tasks:
            if socket is not None:
                tasks.create_task(serve_explanations(socket, scheduler.explain))
            tasks.create_task(scheduler.run())

    if identity:
        await LeaderElector(client, clock, LEASE_NAME, identity).lead(work)
    else:
        await work()
