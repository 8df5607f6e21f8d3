"""Carries out actions: the one place where the controllers write.

Each write's answer goes into the shared cache at once (`Informer.observe`), so the next reconcile sees what this one
did. A deletion cannot be shown that way before the server's watch reports it; `perform` therefore hands it to
`on_delete`, and the runtime holds the key back until the cache has seen it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Protocol, assert_never

from kaa.api.errors import APIError
from kaa.api.objects import Object, is_being_deleted, name_of, namespace_of, uid_of
from kaa.api.resource import Resource
from kaa.client.events import EventRecorder
from kaa.client.rest import Client
from kaa.client.view import Informers
from kaa.controllers.actions import (
    Action,
    Announcement,
    ConfirmGone,
    ConfirmLiving,
    ConfirmNone,
    Create,
    CreateAll,
    Delete,
    DeleteAll,
    Patch,
    ReadScale,
    RecordEvent,
    RequeueAfter,
    Update,
    UpdateStatus,
    is_namespace_going,
)

PARALLEL_DELETIONS = 50
"""Deletions of one `DeleteAll` that are under way at once."""


FindKind = Callable[[str, str], Resource | None]
"""By group and kind, also custom ones."""


class Effects(Protocol):
    """What one reconcile has done so far, beyond the server's answers."""

    component: str  # who its events come from
    versions: dict[str, str]  # by uid: the resourceVersion that this reconcile's own last write gave an object

    def deleted(self, obj: Object) -> None: ...

    def requeue_after(self, seconds: float) -> None: ...


class Executor:
    def __init__(self, client: Client, informers: Informers, recorder: EventRecorder, find_kind: FindKind) -> None:
        self._client = client
        self._informers = informers
        self._recorder = recorder
        self._find_kind = find_kind

    async def perform(self, action: Action, effects: Effects) -> APIError | None:
        """Raises APIError for a refusal that the action does not tolerate, TransportError for no answer at all."""
        match action:
            case Create(obj, announcement, tolerate):
                return await self._tolerant(tolerate, self._create(obj, announcement, effects))
            case CreateAll(objects, announcement):
                return await self._create_all(objects, announcement, effects)
            case Update(obj, announcement):
                await self._update(obj, announcement, effects)
            case UpdateStatus(obj, status):
                answer = await self._client.update_status({**newest(obj, effects), "status": status})
                self._written(answer, effects)
            case Patch(tolerate=tolerate):
                return await self._tolerant(tolerate, self._patch(action, effects))
            case Delete():
                await self._delete(action, effects)
            case DeleteAll(objects, announcement):
                return await self._delete_all(objects, announcement, effects)
            case ConfirmGone():
                await self._confirm_gone(action)
            case ConfirmLiving(obj):
                await self._confirm_living(obj)
            case ConfirmNone():
                await self._confirm_none(action)
            case ReadScale():
                return await self._tolerant(EVERY, self._read_scale(action))
            case RecordEvent(obj, type_, reason, message):
                self._tell(effects, obj, type_, reason, message)
            case RequeueAfter(seconds):
                effects.requeue_after(seconds)
            case _:
                assert_never(action)
        return None

    async def _tolerant(self, tolerate: frozenset[str], write: Awaitable[None]) -> APIError | None:
        try:
            await write
        except APIError as error:
            if error.reason not in tolerate:
                raise
            return error
        return None

    async def _create(self, obj: Object, announcement: Announcement | None, effects: Effects) -> None:
        self._observe(await self._announced(announcement, obj, self._client.create(obj), effects))

    async def _update(self, obj: Object, announcement: Announcement | None, effects: Effects) -> None:
        request = self._client.update(newest(obj, effects))
        self._written(await self._announced(announcement, obj, request, effects), effects)

    async def _patch(self, action: Patch, effects: Effects) -> None:
        patch = action.patch
        guarded = isinstance(patch, dict) and "resourceVersion" in patch.get("metadata", {})
        if guarded:
            patch = newest({**patch, "metadata": {"uid": uid_of(action.obj), **patch["metadata"]}}, effects)
        answer = await self._client.patch(
            self._client.resource_of(action.obj),
            name_of(action.obj),
            patch,
            namespace_of(action.obj),
            patch_type=action.patch_type,
            subresource=action.subresource,
        )
        if guarded:
            self._written(answer, effects)
        else:
            self._observe(answer)

    async def _create_all(
        self, objects: tuple[Object, ...], announcement: Announcement | None, effects: Effects
    ) -> APIError | None:
        async def write(obj: Object) -> APIError | None:
            return await self._tolerant(EVERY, self._create(obj, announcement, effects))

        return await _in_batches(objects, slow_start(len(objects)), write)

    async def _delete_all(
        self, objects: tuple[Object, ...], announcement: Announcement | None, effects: Effects
    ) -> APIError | None:
        async def write(obj: Object) -> APIError | None:
            return await self._tolerant(EVERY, self._delete(Delete(obj, announcement=announcement), effects))

        sizes = [PARALLEL_DELETIONS] * -(-len(objects) // PARALLEL_DELETIONS)
        return await _in_batches(objects, sizes, write)

    async def _delete(self, action: Delete, effects: Effects) -> None:
        obj = action.obj
        request = self._client.delete(
            self._client.resource_of(obj),
            name_of(obj),
            namespace_of(obj),
            propagation=action.propagation,
            grace_seconds=action.grace_seconds,
            uid=uid_of(obj),
        )
        try:
            await self._announced(action.announcement, obj, request, effects)
        except APIError as error:
            # Conflict does not tell that another object has the name by now: the write may just have been overtaken.
            if error.reason != "NotFound":
                raise
        effects.deleted(obj)

    async def _confirm_gone(self, action: ConfirmGone) -> None:
        try:
            found = await self._client.get(action.kind, action.name, action.namespace)
        except APIError as error:
            if error.reason != "NotFound":
                raise
            return
        if action.uid in ("", uid_of(found)):
            raise APIError("Conflict", f"{action.kind} {action.namespace}/{action.name} is still there")

    async def _confirm_living(self, obj: Object) -> None:
        found = await self._client.get(self._client.resource_of(obj), name_of(obj), namespace_of(obj))
        if uid_of(found) != uid_of(obj) or is_being_deleted(found):
            raise APIError("Conflict", f"{obj['kind']} {namespace_of(obj)}/{name_of(obj)} is on its way out")

    async def _confirm_none(self, action: ConfirmNone) -> None:
        for found in (await self._client.list(action.kind, action.namespace)).items:
            if action.such(found):
                raise APIError("Conflict", f"{action.kind} {action.namespace}/{name_of(found)} is not yet in the cache")

    async def _read_scale(self, question: ReadScale) -> None:
        group = question.api_version.rpartition("/")[0]
        resource = self._find_kind(group, question.kind)
        if resource is None:
            raise APIError("NotFound", f'no matches for kind "{question.kind}" in group "{group}"')
        if not any(subresource.name == "scale" for subresource in resource.subresources):
            what = f"{resource.name}.{group}" if group else resource.name
            raise APIError("MethodNotAllowed", f"{what} does not implement the scale subresource")
        try:
            path = resource.path(question.namespace, question.name, "scale")
            question.scale = await self._client.call("GET", path)
        except APIError as error:
            if error.reason != "NotFound":
                raise

    async def _announced(
        self, announcement: Announcement | None, obj: Object, write: Awaitable[Object], effects: Effects
    ) -> Object:
        try:
            answer = await write
        except APIError as error:
            if announcement is not None and announcement.failed_reason and not is_namespace_going(error):
                message = announcement.failed.format(name=name_of(obj), error=error.message)
                self._tell(effects, announcement.regarding, "Warning", announcement.failed_reason, message)
            raise
        if announcement is not None and announcement.done_reason:
            name = name_of(answer) if answer.get("kind") == obj.get("kind") else name_of(obj)
            message = announcement.done.format(name=name)
            self._tell(effects, announcement.regarding, "Normal", announcement.done_reason, message)
        return answer

    def _tell(self, effects: Effects, obj: Object, type_: str, reason: str, message: str) -> None:
        self._recorder.record(obj, type_, reason, message, component=effects.component)

    def _written(self, answer: Object, effects: Effects) -> None:
        effects.versions[uid_of(answer)] = answer["metadata"]["resourceVersion"]
        self._observe(answer)

    def _observe(self, answer: Object) -> None:
        """Never for a deletion: its answer is the object as it was, and would bring it back into the cache."""
        self._informers.observe(answer)


def newest(obj: Object, effects: Effects) -> Object:
    """`obj` with the resourceVersion of this reconcile's own last guarded write of it, if there was one.

    That write was refused unless nobody else had changed the object, so a second one may follow it blindly, provided
    that what it carries has the first one's changes in it.
    """
    version = effects.versions.get(uid_of(obj))
    if version is None:
        return obj
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": version}}


class _Everything(frozenset[str]):
    def __contains__(self, reason: object) -> bool:
        return True


EVERY = _Everything()
"""Tolerates every refusal: the caller is answered with it."""


def slow_start(count: int) -> Iterable[int]:
    """Batch sizes 1, 2, 4, ... that make up `count`."""
    size = 1
    while count > 0:
        yield min(size, count)
        count -= size
        size *= 2


async def _in_batches(
    objects: tuple[Object, ...], sizes: Iterable[int], write: Callable[[Object], Awaitable[APIError | None]]
) -> APIError | None:
    """One batch after the other, each at once; stops after the first with a refusal, and returns that.

    A write may be cancelled before its first step, so `write` makes no coroutine that would then never be awaited.
    """
    rest = iter(objects)
    for size in sizes:
        batch = tuple(islice(rest, size))
        answers = [await write(batch[0])] if size == 1 else await asyncio.gather(*map(write, batch))
        refusal = next((answer for answer in answers if answer is not None), None)
        if refusal is not None:
            return refusal
    return None
