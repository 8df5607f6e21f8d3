"""What the watches tell, brought into the snapshot and the queue; and what this scheduler assumes meanwhile.

A decision is *assumed*, that is put into the snapshot, before it is written; so the next pod is decided on while the
binding is still under way. The watch then tells of the same pod on the same node, which changes nothing.

While a decision is made on another thread the snapshot must not change: changes are held until it is made.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

from kaa.api.objects import Object, is_being_deleted, labels_of, name_of, namespace_of, uid_of
from kaa.client.informer import Change
from kaa.scheduler.cluster_events import ClusterEvent, Event
from kaa.scheduler.permits import Permits
from kaa.scheduler.pod_info import Key, PodInfo, container_sizes, pod_info
from kaa.scheduler.queue import SchedulingQueue
from kaa.scheduler.snapshot import Snapshot

DEFAULT_NAME = "default-scheduler"
FINISHED = ("Succeeded", "Failed")


class Tracker:
    """`names` are the schedulers whose pods are ours."""

    def __init__(self, snapshot: Snapshot, queue: SchedulingQueue, permits: Permits, names: Collection[str]) -> None:
        self._snapshot = snapshot
        self._queue = queue
        self._permits = permits
        self._names = names
        self._assumed: dict[Key, str] = {}  # pod: node, until the watch tells of it
        self._held: deque[Callable[[], None]] | None = None

    # Handlers of the informers

    def namespace(self, change: Change) -> None:
        self._apply(lambda: self._namespace(change))

    def node(self, change: Change) -> None:
        self._apply(lambda: self._node(change))

    def pod(self, change: Change) -> None:
        self._apply(lambda: self._pod(change))

    def object(self, kind: str) -> Callable[[Change], None]:
        """For a kind that plugins look at."""
        return lambda change: self._apply(lambda: self._object(kind, change))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing changes inside; what was told meanwhile is taken in at the end, in order."""
        self._held = deque()
        try:
            yield
        finally:
            held, self._held = self._held, None
            for change in held:
                change()

    def _apply(self, change: Callable[[], None]) -> None:
        if self._held is not None:
            self._held.append(change)
        else:
            change()

    def has_node(self, name: str) -> bool:
        row = self._snapshot.row_of.get(name)
        return row is not None and bool(self._snapshot.present[row])

    # Assumptions

    def assume(self, pod: PodInfo, node_name: str) -> None:
        self._assumed[pod.key] = node_name
        pod = replace(pod, node_name=node_name, nominated_node_name="")
        self._snapshot.add_pod(pod, node_name)
        self._queue.placed(pod)
        self._queue.moved(Event(ClusterEvent.POD_BOUND, pod=pod))

    def forget(self, pod: PodInfo, plugins: Collection[str], unreserve: Callable[[], None]) -> None:
        """The pod did not come to its node after all; it is tried again, unless it is gone. `plugins` as in `failed`.
        `unreserve` is called when the snapshot may change.
        """
        self._apply(lambda: self._forget(pod, plugins, unreserve))

    # Nominations

    def nominate(self, pod: PodInfo, node_name: str) -> list[PodInfo]:
        """Keeps room for the pod on that node; nowhere if that is "". Less important pods that wait for the same node
        lose their nomination, are tried again at once, and are returned.
        """
        self._snapshot.withdraw(pod.key)
        row = self._snapshot.row_of.get(node_name)
        rivals = [other for other, there in self._snapshot.nominated.values() if there == row]
        losers = [other for other in rivals if other.priority < pod.priority]
        for loser in losers:
            self._snapshot.withdraw(loser.key)
            self._queue.update(replace(loser, nominated_node_name=""))
        self._queue.activate([loser.key for loser in losers])
        self._queue.update(replace(pod, nominated_node_name=node_name))
        if node_name:
            self._snapshot.nominate(pod, node_name)
        return losers

    def renominate(self) -> None:
        """The nominations that pods in the queue have from before, once the nodes are known."""
        for pod in self._queue:
            if pod.nominated_node_name:
                self._snapshot.nominate(pod, pod.nominated_node_name)

    def replace(self, pod: PodInfo) -> None:
        """Another state of a pod that has a node; nothing if it is not there any more."""
        self._apply(lambda: self._replace(pod))

    def _replace(self, pod: PodInfo) -> None:
        known, row = self._snapshot.pods.get(pod.key, (None, 0))
        if known is not None and known.uid == pod.uid:
            self._snapshot.add_pod(pod, self._snapshot.names[row])

    def _forget(self, pod: PodInfo, plugins: Collection[str], unreserve: Callable[[], None]) -> None:
        unreserve()
        if self._assumed.pop(pod.key, None) is None:
            return
        self._snapshot.remove_pod(pod.key)
        self._queue.moved(Event(ClusterEvent.POD_GONE, pod=pod))
        self._queue.failed(pod.key, plugins)

    # Changes

    def _namespace(self, change: Change) -> None:
        if change.new is not None:
            self._snapshot.namespace_labels[name_of(change.new)] = labels_of(change.new)
        elif change.old is not None:
            self._snapshot.namespace_labels.pop(name_of(change.old), None)
        if change.old is None or change.new is None or labels_of(change.old) != labels_of(change.new):
            self._queue.moved(Event(ClusterEvent.NAMESPACE_CHANGED, change.old, change.new))

    def _node(self, change: Change) -> None:
        if change.new is None:
            if change.old is not None:
                self._snapshot.remove_node(name_of(change.old))
            return
        if change.old is None or node_is_changed(change.old, change.new):
            self._snapshot.set_node(change.new)
        for about in node_events(change.old, change.new):
            self._queue.moved(Event(about, change.old, change.new))

    def _object(self, kind: str, change: Change) -> None:
        self._snapshot.object_changed(kind, change.old, change.new)
        self._queue.moved(Event(kind, change.old, change.new))

    def _pod(self, change: Change) -> None:
        obj = change.new or change.old
        if obj is None:
            return
        key = (namespace_of(obj), name_of(obj))
        known = self._snapshot.pods.get(key)
        if known is not None and known[0].uid != uid_of(obj):
            self._gone(key)  # and made anew while nobody watched
        if change.new is None or obj.get("status", {}).get("phase") in FINISHED:
            self._gone(key)
        elif obj["spec"].get("nodeName"):
            self._bound(key, change.old, obj)
        elif is_being_deleted(obj):
            self._queue.drop(key)
            self._permits.withdraw(key)
            self._snapshot.withdraw(key)
        elif (obj["spec"].get("schedulerName") or DEFAULT_NAME) in self._names and needs_try(change.old, obj):
            pod = pod_info(obj)
            if pod.nominated_node_name:
                self._snapshot.nominate(pod, pod.nominated_node_name)
            self._queue.put(pod)
            self._queue.moved(Event(ClusterEvent.POD_WAITING, pod=pod))

    def _gone(self, key: Key) -> None:
        self._assumed.pop(key, None)
        self._queue.drop(key)
        self._permits.withdraw(key)
        self._snapshot.withdraw(key)
        known = self._snapshot.pods.get(key)
        if known is not None:
            self._snapshot.remove_pod(key)
            self._queue.moved(Event(ClusterEvent.POD_GONE, pod=known[0]))

    def _bound(self, key: Key, old: Object | None, pod: Object) -> None:
        node_name = pod["spec"]["nodeName"]
        self._queue.drop(key)
        if self._assumed.pop(key, None) == node_name:
            return
        known = self._snapshot.pods.get(key)
        if known is None:
            fresh = pod_info(pod)
            self._snapshot.add_pod(fresh, node_name)
            self._queue.moved(Event(ClusterEvent.POD_BOUND, pod=fresh))
        elif old is not None and counts_differently(old, pod):
            fresh = pod_info(pod)
            self._snapshot.add_pod(fresh, node_name)
            self._queue.moved(Event(ClusterEvent.POD_CHANGED, pod=fresh))
        elif old is not None and differ(old, pod, "startTime"):
            self._snapshot.pod_started(key, pod["status"].get("startTime") or "")


def needs_try(old: Object | None, pod: Object) -> bool:
    """A new pod, or a change that can matter: not the status that we write ourselves."""
    return old is None or uid_of(old) != uid_of(pod) or old["spec"] != pod["spec"] or labels_of(old) != labels_of(pod)


def counts_differently(old: Object, pod: Object) -> bool:
    """A bound pod: by its labels, its requests (which can be resized), or because it goes."""
    return (
        labels_of(old) != labels_of(pod)
        or old["spec"] != pod["spec"]
        or container_sizes(old) != container_sizes(pod)
        or is_being_deleted(old) != is_being_deleted(pod)
    )


def node_is_changed(old: Object, node: Object) -> bool:
    """Whether its row must be written again; not for a heartbeat."""
    return (
        labels_of(old) != labels_of(node)
        or old["spec"] != node["spec"]
        or differ(old, node, "allocatable", "capacity", "images", "declaredFeatures")
    )


def node_events(old: Object | None, node: Object) -> list[ClusterEvent]:
    """What of the change can help a pod. An image that has been pulled cannot."""
    if old is None:
        return [ClusterEvent.NODE_ADDED]
    changed = {
        ClusterEvent.NODE_LABELS: labels_of(old) != labels_of(node),
        ClusterEvent.NODE_TAINTS: old["spec"] != node["spec"],
        ClusterEvent.NODE_ALLOCATABLE: differ(old, node, "allocatable", "capacity", "declaredFeatures"),
    }
    return [event for event, happened in changed.items() if happened]


def differ(old: Object, new: Object, *fields: str) -> bool:
    """Any of these of the status."""
    before, after = old.get("status") or {}, new.get("status") or {}
    return any(before.get(field) != after.get(field) for field in fields)
