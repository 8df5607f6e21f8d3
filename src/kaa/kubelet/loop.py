"""The kubelet: makes what is bound to its node run, and says how it is.

It watches the pods bound to the node and gives each a worker; what the runtime tells (events, and a list now and
then in case one was missed) wakes the worker it is about. Pods that the runtime has and the API has not are ended.
Nothing of importance is kept in memory only: after a restart the runtime and the API say all there is to know, and
running containers are left running.
"""

import asyncio
import logging
import shutil

from kaa.api.objects import Object, name_of, namespace_of, uid_of
from kaa.client.events import EventRecorder
from kaa.client.informer import Change, Informer
from kaa.client.rest import Client
from kaa.cri.cri import ImageService, RuntimeFault, RuntimeService
from kaa.kubelet import pod_runtime
from kaa.kubelet.admission import Refusal, refusal, resize_refusal
from kaa.kubelet.container_config import NodeFacts
from kaa.kubelet.dns_config import Resolver, parse_resolv_conf
from kaa.kubelet.host import Host, LinuxHost
from kaa.kubelet.images import ImagePuller
from kaa.kubelet.machinery import Machinery
from kaa.kubelet.node_agent import NodeAgent
from kaa.kubelet.object_source import ObjectSource
from kaa.kubelet.options import KubeletOptions
from kaa.kubelet.pod_events import PodEvents
from kaa.kubelet.pod_spec import is_finished
from kaa.kubelet.pod_status import rejected_status
from kaa.kubelet.pod_worker import PodWorker, unknown_pod
from kaa.kubelet.probes import Prober
from kaa.kubelet.runtime_view import RuntimeView
from kaa.kubelet.status_manager import WRITERS, StatusManager
from kaa.kubelet.upkeep import collect_images, evict_pods, rotate_logs
from kaa.kubelet.volume_manager import VolumeManager
from kaa.lib.clock import Clock

log = logging.getLogger(__name__)

RELIST_SECONDS = 30.0
"""With events: only in case one was missed."""
RELIST_WITHOUT_EVENTS_SECONDS = 1.0
EVENTS_RETRY_SECONDS = 1.0


class Kubelet:
    def __init__(
        self,
        client: Client,
        runtime: RuntimeService,
        images: ImageService,
        clock: Clock,
        options: KubeletOptions,
        host: Host | None = None,
    ) -> None:
        """`host` None: the machine that this process runs on."""
        self.client = client
        self.runtime = runtime
        self.images = images
        self.clock = clock
        self.options = options
        self.host = host if host is not None else LinuxHost()
        options.root_dir.mkdir(parents=True, exist_ok=True)
        options.logs.mkdir(parents=True, exist_ok=True)
        self.pods = Informer(client, "Pod", clock, field_selector=f"spec.nodeName={options.node_name}")
        self.services = Informer(client, "Service", clock)
        self.nodes = Informer(client, "Node", clock, field_selector=f"metadata.name={options.node_name}")
        self.node_agent = NodeAgent(client, runtime, images, self.nodes, clock, options, self.host)
        self.view = RuntimeView(runtime)
        self.workers: dict[str, PodWorker] = {}
        self._objects = ObjectSource(client, clock)
        self._recorder = EventRecorder(client, clock, "kubelet", options.node_name)
        self._events = PodEvents(self._recorder)
        self._status = StatusManager(client, self.pods, clock)
        self._volumes = VolumeManager(options.root_dir, client, self._objects, self.host.mounts, clock, self.host.files)
        self._outline: dict[str, frozenset[tuple[str, str]]] = {}
        self._has_events = True

    async def run(self) -> None:
        """Until cancelled. Containers go on running."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._start(group)
        finally:
            self._status.close()

    async def _start(self, group: asyncio.TaskGroup) -> None:
        for informer in (self.nodes, self.pods, self.services):
            group.create_task(informer.run(), name=f"informer of {informer.resource.plural}")
        group.create_task(self._recorder.run(), name="events")
        for _ in range(WRITERS):
            group.create_task(self._status.run(), name="pod statuses")
        await self.node_agent.register()
        group.create_task(self.node_agent.run_lease(), name="node lease")
        group.create_task(self.node_agent.run_status(), name="node status")
        group.create_task(self.node_agent.run_pod_range(), name="pod range")
        if self.options.serving_cert is not None:
            from kaa.kubelet.server import serve

            group.create_task(serve(self), name="kubelet server")
        await self.nodes.wait_synced()
        await self.pods.wait_synced()
        machinery = await self._machinery(group)
        self.pods.subscribe(lambda change: self._on_change(change, machinery, group))
        group.create_task(self._watch_runtime(), name="runtime events")
        group.create_task(self._relist(machinery, group), name="runtime relist")
        self._start_upkeep(group)

    def _start_upkeep(self, group: asyncio.TaskGroup) -> None:
        root = self.options.root_dir
        group.create_task(rotate_logs(self.runtime, self.clock, self.workers.values), name="log rotation")
        group.create_task(
            collect_images(self.runtime, self.images, self.clock, self.host, root), name="image collection"
        )
        group.create_task(evict_pods(self.runtime, self.clock, self.host, root, self.workers.values), name="eviction")

    async def _machinery(self, group: asyncio.TaskGroup) -> Machinery:
        options = self.options
        version = await self.runtime.version({})
        facts = NodeFacts(
            resolver=parse_resolv_conf(options.resolv_conf.read_text()) if options.resolv_conf.exists() else Resolver(),
            cluster_dns=options.cluster_dns,
            cluster_domain=options.cluster_domain,
            cgroup_root=options.cgroup_root,
            memory_capacity_bytes=self.node_agent.memory_bytes,
            pod_log_dir=options.logs,
        )
        handlers = self.host.handlers(self.runtime)
        return Machinery(
            runtime=self.runtime,
            runtime_name=version["runtime_name"],
            view=self.view,
            volumes=self._volumes,
            images=ImagePuller(self.images, self._objects, self._events, self.clock),
            objects=self._objects,
            services=self.services,
            status=self._status,
            handlers=handlers,
            prober=Prober(handlers, self._events, self.clock, group, self.wake, options.node_ip),
            events=self._events,
            clock=self.clock,
            options=options,
            node_facts=facts,
            node=self.node_agent.node,
            resize_refusal=self._resize_refusal,
        )

    # Pods

    def _on_change(self, change: Change, machinery: Machinery, group: asyncio.TaskGroup) -> None:
        if change.old is not None and (change.new is None or uid_of(change.new) != uid_of(change.old)):
            self._gone(change.old)
        if change.new is None:
            return
        self._status.observe(change.new)
        worker = self.workers.get(uid_of(change.new))
        if worker is not None:
            worker.update(change.new)
        elif self._admit(change.new):
            self._start_worker(PodWorker(machinery, change.new), group)

    def _gone(self, pod: Object) -> None:
        self._status.forget(uid_of(pod))
        if worker := self.workers.get(uid_of(pod)):
            worker.remove()

    def _admit(self, pod: Object) -> bool:
        """Whether the node takes the pod; one that it has taken before is not asked again."""
        if (pod.get("status") or {}).get("startTime") or pod["metadata"].get("deletionTimestamp"):
            return True
        refused = refusal(pod, self.node_agent.node(), self._granted())
        if refused is None:
            return True
        self._events.pod(pod, "Warning", refused.reason, refused.message)
        self._status.set(pod, rejected_status(pod, refused.reason, refused.message, self.clock.now()))
        return False

    def _granted(self) -> list[Object]:
        """The pods that count on this node, each with what it was granted."""
        return [worker.granted for worker in self.workers.values() if not is_finished(worker.pod)]

    def _resize_refusal(self, pod: Object) -> Refusal | None:
        others = [other for other in self._granted() if uid_of(other) != uid_of(pod)]
        return resize_refusal(pod, self.node_agent.node(), others)

    def _start_worker(self, worker: PodWorker, group: asyncio.TaskGroup) -> None:
        self.workers[worker.uid] = worker
        task = group.create_task(worker.run(), name=f"pod {namespace_of(worker.pod)}/{name_of(worker.pod)}")
        task.add_done_callback(lambda _: self._ended(worker))

    def _ended(self, worker: PodWorker) -> None:
        """What the pod had is free: for those, too, that wait to become larger."""
        self.workers.pop(worker.uid, None)
        for other in self.workers.values():
            if other.waits_for_room:
                other.wake()

    def worker_named(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of the pod that has that name now."""
        found = [w for w in self.workers.values() if name_of(w.pod) == name and namespace_of(w.pod) == namespace]
        current = self.pods.get(name, namespace)
        return next((w for w in found if current is not None and w.uid == uid_of(current)), next(iter(found), None))

    def current(self, pod: Object) -> Object:
        """The pod with the status that the kubelet has last given it."""
        return self._status.current(pod)

    def wake(self, uid: str) -> None:
        if worker := self.workers.get(uid):
            worker.wake()

    # The runtime

    async def _watch_runtime(self) -> None:
        while True:
            try:
                async for event in self.runtime.get_container_events({}):
                    self._has_events = True
                    if uid := _pod_of(event):
                        self.wake(uid)
            except RuntimeFault as fault:
                self._has_events = False
                log.warning("no runtime events, listing more often: %s", fault.message)
                if fault.code == "Unimplemented":
                    return
            await self.clock.sleep(EVENTS_RETRY_SECONDS)

    async def _relist(self, machinery: Machinery, group: asyncio.TaskGroup) -> None:
        """Wakes workers whose pods have changed, ends pods that have no worker."""
        while True:
            try:
                outline = await self.view.outline()
                for uid in {**outline, **self._outline}:
                    if outline.get(uid) != self._outline.get(uid):
                        self.wake(uid)
                self._outline = outline
                for uid in [uid for uid in outline if uid not in self.workers]:
                    orphan = PodWorker(machinery, unknown_pod(await self.view.pod(uid)))
                    log.info("ending pod %s, which the API does not have on this node", uid)
                    self._start_worker(orphan, group)
                    orphan.remove()
                self._clean_disk(outline.keys() | self.workers.keys())
            except (RuntimeFault, OSError) as error:
                log.warning("the runtime's pods cannot be listed: %s", error)
            await self.clock.sleep(RELIST_SECONDS if self._has_events else RELIST_WITHOUT_EVENTS_SECONDS)

    def _clean_disk(self, alive: set[str]) -> None:
        """Volumes and logs of pods that neither the API nor the runtime knows any more."""
        for uid in self._volumes.pods_on_disk() - alive:
            self._volumes.unmount(uid)
        for directory in self.options.logs.iterdir():
            if directory.name.rpartition("_")[2] not in alive:
                shutil.rmtree(directory, ignore_errors=True)


def _pod_of(event: dict[str, object]) -> str:
    """The pod's uid that a ContainerEventResponse is about."""
    sandbox = event.get("pod_sandbox_status")
    if isinstance(sandbox, dict) and (uid := (sandbox.get("metadata") or {}).get("uid")):
        return str(uid)
    statuses = event.get("containers_statuses")
    for status in statuses if isinstance(statuses, list) else ():
        if uid := (status.get("labels") or {}).get(pod_runtime.POD_UID_LABEL):
            return str(uid)
    return ""
