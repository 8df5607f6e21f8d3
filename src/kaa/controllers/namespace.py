"""Namespace deletion: a namespace that is being deleted goes when nothing is left in it.

Observed: the namespace, and what is in it of every namespaced kind that the server has (asked of the server: it is the
last to know of a late creation). Wanted: all of it deleted, then the finalizer `kubernetes` taken off, by which the
namespace itself goes. What still holds it up (finalizers, pods that are ending, kinds that do not answer) is told in
its conditions, and looked at again when something in it has gone.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kaa.api.errors import APIError
from kaa.api.objects import Object, condition, copy_object, is_being_deleted, name_of, namespace_of
from kaa.api.resource import Resource
from kaa.client.discovery import discover, with_verbs
from kaa.client.informer import Change
from kaa.client.transport import TransportError
from kaa.controllers.program import Context, work_through
from kaa.lib.backoff import Backoff, BackoffTable
from kaa.lib.clock import rfc3339
from kaa.lib.workqueue import WorkQueue

FINALIZER = "kubernetes"
WORKERS = 5
RETRY = Backoff(initial_seconds=1.0, limit_seconds=15.0, factor=1.5)
"""Between looks at what is left, should nothing in it be seen to go."""

LOOK_AGAIN_SECONDS = 0.1
"""From the end of something in the namespace to the next look: many things end together."""

LISTS_AT_ONCE = 10
"""Kinds of one namespace that are looked at at the same time."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """What was found in a namespace after everything was asked to go."""

    resource: Resource
    count: int
    finalizers: tuple[str, ...] = ()  # one entry for every object that has it


@dataclass(slots=True)
class Survey:
    """One look at a namespace."""

    remaining: list[Remaining] = field(default_factory=list)
    discovery_failure: str = ""
    failures: list[str] = field(default_factory=list)  # kinds whose content could not be listed or deleted

    @property
    def is_empty(self) -> bool:
        return not (self.remaining or self.discovery_failure or self.failures)


CONDITIONS = {
    "NamespaceDeletionDiscoveryFailure": (
        "ResourcesDiscovered",
        "All resources successfully discovered",
        "DiscoveryFailed",
    ),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
        "GroupVersionParsingFailed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
        "ContentDeletionFailed",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed", "SomeResourcesRemain"),
    "NamespaceFinalizersRemaining": (
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
        "SomeFinalizersRemain",
    ),
}
"""Type: (reason and message when all is well, reason when not)."""


def conditions_after(namespace: Object, survey: Survey, now: datetime) -> list[Object]:
    """The namespace's conditions after a survey; a condition that keeps its status keeps its time."""
    troubles = {
        "NamespaceDeletionDiscoveryFailure": _discovery_message(survey),
        "NamespaceDeletionContentFailure": _failure_message(survey),
        "NamespaceContentRemaining": _remaining_message(survey.remaining),
        "NamespaceFinalizersRemaining": _finalizers_message(survey.remaining),
    }
    observed = namespace.get("status", {}).get("conditions") or []
    others = [c for c in observed if c["type"] not in CONDITIONS]
    ours = []
    for kind, (good_reason, good_message, bad_reason) in CONDITIONS.items():
        trouble = troubles.get(kind, "")
        fresh = {
            "type": kind,
            "status": "True" if trouble else "False",
            "lastTransitionTime": rfc3339(now),
            "reason": bad_reason if trouble else good_reason,
            "message": trouble or good_message,
        }
        known = condition(observed, kind)
        if known is not None and known["status"] == fresh["status"]:
            fresh["lastTransitionTime"] = known["lastTransitionTime"]
        ours.append(fresh)
    return [*others, *ours]


def _discovery_message(survey: Survey) -> str:
    return survey.discovery_failure and f"Discovery failed for some groups: {survey.discovery_failure}"


def _failure_message(survey: Survey) -> str:
    if not survey.failures:
        return ""
    return (
        f"Failed to delete all resource types, {len(survey.failures)} remaining: {', '.join(sorted(survey.failures))}"
    )


def _remaining_message(remaining: Sequence[Remaining]) -> str:
    texts = [f"{_qualified(r.resource)} has {r.count} resource instances" for r in remaining]
    return "Some resources are remaining: " + ", ".join(sorted(texts)) if texts else ""


def _finalizers_message(remaining: Iterable[Remaining]) -> str:
    counts = Counter(finalizer for r in remaining for finalizer in r.finalizers)
    texts = [f"{finalizer} in {count} resource instances" for finalizer, count in sorted(counts.items())]
    return "Some content in the namespace has finalizers remaining: " + ", ".join(texts) if texts else ""


def _qualified(resource: Resource) -> str:
    return f"{resource.name}.{resource.group}"


class NamespaceDeletion:
    """The loop: namespaces that are being deleted, one survey after another until empty."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._namespaces = context.informers.informer("Namespace")
        self._queue: WorkQueue[str] = WorkQueue(context.clock)
        self._looks: BackoffTable[str] = BackoffTable(RETRY)
        self._namespaces.subscribe(self._changed)
        self._waiting: set[str] = set()  # namespaces in which something is left
        context.every_kind.subscribe(self._content_changed)

    def _changed(self, change: Change) -> None:
        if change.new is not None and is_being_deleted(change.new):
            self._queue.add(name_of(change.new))
        elif change.old is not None and change.new is None:
            self._looks.succeeded(name_of(change.old))
            self._waiting.discard(name_of(change.old))

    def _content_changed(self, resource: Resource, change: Change) -> None:
        if change.new is None and change.old is not None and namespace_of(change.old) in self._waiting:
            self._queue.add_after(namespace_of(change.old), LOOK_AGAIN_SECONDS)

    async def run(self) -> None:
        await self._namespaces.wait_synced()
        await work_through(self._queue, self._look, self._looks, WORKERS)

    async def _look(self, name: str) -> None:
        namespace = self._namespaces.get(name)
        if namespace is None or not is_being_deleted(namespace):
            return
        if FINALIZER not in (namespace["spec"].get("finalizers") or ()):
            return
        survey = await self._empty(namespace)
        if survey.is_empty:
            await self._finalize(namespace)
            return
        self._waiting.add(name)
        await self._tell(namespace, survey)
        self._queue.add_after(name, self._looks.failed(name))

    async def _empty(self, namespace: Object) -> Survey:
        """Asks everything in the namespace to go, and looks at what is left. The rest only once no pod is left.

        A pod must not outlive what protects it or it relies on: a NetworkPolicy, say, or a Secret (KEP-5080).
        """
        survey = Survey()
        try:
            kinds = with_verbs(await discover(self._client), ("list", "delete"))
        except APIError as error:
            survey.discovery_failure = error.message
            return survey
        resources = [kind for kind in kinds if kind.namespaced]
        slots = asyncio.Semaphore(LISTS_AT_ONCE)

        async def one(resource: Resource) -> None:
            async with slots:
                try:
                    remaining = await self._empty_kind(resource, namespace)
                except (APIError, TransportError) as error:
                    survey.failures.append(f"{_qualified(resource)}: {error}")
                    return
                if remaining is not None:
                    survey.remaining.append(remaining)

        pods = [resource for resource in resources if (resource.group, resource.kind) == ("", "Pod")]
        for wave in (pods, [resource for resource in resources if resource not in pods]):
            async with asyncio.TaskGroup() as tasks:
                for resource in wave:
                    tasks.create_task(one(resource))
            if not survey.is_empty:
                break
        return survey

    async def _empty_kind(self, resource: Resource, namespace: Object) -> Remaining | None:
        name = name_of(namespace)
        left = (await self._client.list(resource, name)).items
        if not all(map(is_being_deleted, left)):  # else there is only to wait
            await self._ask_to_go(resource, name, left)
            left = (await self._client.list(resource, name)).items
        if not left:
            return None
        finalizers = tuple(f for obj in left for f in obj["metadata"].get("finalizers") or ())
        return Remaining(resource, len(left), finalizers)

    async def _ask_to_go(self, resource: Resource, namespace: str, found: list[Object]) -> None:
        if "deletecollection" in resource.verbs:
            await self._client.call("DELETE", resource.path(namespace), body=BACKGROUND)
            return
        for obj in found:
            await self._client.delete(resource, name_of(obj), namespace, propagation="Background")

    async def _tell(self, namespace: Object, survey: Survey) -> None:
        conditions = conditions_after(namespace, survey, self._clock.now())
        status = namespace.get("status", {})
        if status.get("conditions") != conditions:
            answer = await self._client.update_status({**namespace, "status": {**status, "conditions": conditions}})
            self._namespaces.observe(answer)

    async def _finalize(self, namespace: Object) -> None:
        body = copy_object(namespace)
        body["spec"]["finalizers"] = [f for f in body["spec"]["finalizers"] if f != FINALIZER]
        await self._client.update(body, "finalize")
        self._looks.succeeded(name_of(namespace))


BACKGROUND: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
