"""ResourceQuota: what the namespace uses of what each quota limits, in the quota's status.

Admission counts for itself when it refuses; this is for readers. Pods, Services and claims are counted from whole
objects (`api/quota.py`), as they use more than their number; of other kinds, custom ones too, `count/<plural>.<group>`
needs only how many there are. A change of something counted starts a new count shortly after, as changes come together.
"""

from collections.abc import Iterator

from kaa.api.objects import Object, namespace_of
from kaa.api.quantity import parse_quantity
from kaa.api.quota import COUNTED_BY_NAME, ZERO, Amounts, is_about, total, usage
from kaa.api.resource import Resource
from kaa.client.informer import Change
from kaa.controllers.controller import Key, key_of
from kaa.controllers.every_kind import EveryKind
from kaa.controllers.pods import is_terminal
from kaa.controllers.program import Context, work_through
from kaa.lib.backoff import Backoff, BackoffTable
from kaa.lib.workqueue import WorkQueue

WORKERS = 5
RETRY = Backoff(initial_seconds=0.05, limit_seconds=300.0)

SETTLE_SECONDS = 0.2
"""From a change to counting."""

RESYNC_SECONDS = 300.0
"""Every quota is counted at least so often, as upstream's."""

COUNT = "count/"
MEASURED = ("Pod", "Service", "PersistentVolumeClaim")
"""Kinds that use more than their number."""


def status_of(quota: Object, used: Amounts) -> Object:
    """Of everything limited, how much is used; what nobody uses is 0."""
    hard: dict[str, str] = quota["spec"].get("hard") or {}
    return {"hard": dict(hard), "used": {name: str(used.get(name, ZERO)) for name in sorted(hard)}}


def measured(quota: Object, objects: list[tuple[Resource, Object]]) -> Amounts:
    """What these objects use, as far as the quota is about them."""
    return total([usage(obj, resource) for resource, obj in objects if is_about(quota, obj, resource)])


def counted_kinds(quota: Object) -> Iterator[tuple[str, str, str]]:
    """(name in the quota, group, plural) of what counts by number alone; scopes are for pods only."""
    spec = quota["spec"]
    if spec.get("scopes") or spec.get("scopeSelector"):
        return
    for name in spec.get("hard") or {}:
        if name.startswith(COUNT):
            plural, _, group = name.removeprefix(COUNT).partition(".")
            yield name, group, plural
        elif name in COUNTED_BY_NAME:
            yield name, "", name


def matters(resource: Resource, change: Change) -> bool:
    """Most changes of a pod are heartbeats of its containers."""
    old, new = change.old, change.new
    if old is None or new is None:
        return True
    if resource.group or resource.kind not in MEASURED:
        return False
    return old.get("spec") != new.get("spec") or (resource.kind == "Pod" and is_terminal(old) != is_terminal(new))


class ResourceQuotaUsage:
    """The loop: quotas whose namespace has changed, counted anew."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._every_kind: EveryKind = context.every_kind
        self._quotas = context.informers.informer("ResourceQuota")
        self._measured = [context.informers.informer(kind) for kind in MEASURED]
        self._queue: WorkQueue[Key] = WorkQueue(context.clock)
        self._failures: BackoffTable[Key] = BackoffTable(RETRY)
        self._quotas.subscribe(self._quota_changed)
        context.every_kind.subscribe(self._content_changed)

    def _quota_changed(self, change: Change) -> None:
        if change.new is not None:
            self._queue.add(key_of(change.new))

    def _content_changed(self, resource: Resource, change: Change) -> None:
        obj = change.new or change.old
        if obj is None or not len(self._quotas) or not matters(resource, change):
            return
        for quota in self._quotas.list(namespace_of(obj)):
            self._queue.add_after(key_of(quota), SETTLE_SECONDS)

    async def run(self) -> None:
        """Until cancelled."""
        await self._quotas.wait_synced()
        await self._every_kind.wait_synced()
        await work_through(self._queue, self._count, self._failures, WORKERS)

    async def _count(self, key: Key) -> None:
        namespace, name = key
        quota = self._quotas.get(name, namespace)
        if quota is None:
            return
        status = status_of(quota, self._used(quota, namespace))
        if status != quota.get("status", {}):
            self._quotas.observe(await self._client.update_status({**quota, "status": status}))
        self._failures.succeeded(key)
        self._queue.add_after(key, RESYNC_SECONDS)

    def _used(self, quota: Object, namespace: str) -> Amounts:
        objects = [(i.resource, obj) for i in self._measured for obj in i.list(namespace)]
        used = measured(quota, objects)
        for name, group, plural in counted_kinds(quota):
            resource = self._every_kind.named(group, plural)
            if resource is not None and resource.kind not in MEASURED:
                used[name] = parse_quantity(self._every_kind.count(resource, namespace))
        return used
