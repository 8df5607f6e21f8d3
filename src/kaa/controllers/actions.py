"""What a reconcile may ask for: a closed union of small frozen values, carried out by `executor.py`.

A reconcile yields actions and is answered: `None` when the action was carried out, or the `APIError` that refused it
where the action lists that refusal in `tolerate` (and always for those in `Answered`). A refusal that is not
tolerated ends the reconcile, and its key is tried again with back-off. Objects in an action are fresh or copies.

    failure = yield CreateAll(pods, announcement)
    yield UpdateStatus(rs, status_of(rs, pods, failure))
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from kaa.api.errors import APIError
from kaa.api.objects import Object

NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Announcement:
    """Events on `regarding` about how a write went; in the messages `{name}` is what was written, `{error}` why not."""

    regarding: Object
    done_reason: str = ""  # "": success is not announced
    done: str = ""
    failed_reason: str = ""  # "": a failure is not announced
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Create:
    obj: Object
    announcement: Announcement | None = None
    tolerate: frozenset[str] = NONE


@dataclass(frozen=True, slots=True)
class CreateAll:
    """Objects of one kind, in slow-start batches of 1, 2, 4, ...; the first batch with a refusal is the last.

    So a quota that is used up is asked once or twice, not five hundred times.
    """

    objects: tuple[Object, ...]
    announcement: Announcement | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Replaces the object if it is still of the resourceVersion that it carries."""

    obj: Object
    announcement: Announcement | None = None


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """Replaces `obj`'s status through the status subresource, if the object is still what the cache had."""

    obj: Object
    status: Object


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch of an object of the cache. `patch_type` is as in `client.rest.PATCH_TYPES`."""

    obj: Object
    patch: Any
    patch_type: str = "merge"
    subresource: str | None = None
    tolerate: frozenset[str] = NONE


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes exactly this object (its uid is a precondition). That it is gone already is success.

    `propagation` and `grace_seconds` are as in `client.rest.Client.delete`.
    """

    obj: Object
    propagation: str = ""
    grace_seconds: int | None = None
    announcement: Announcement | None = None


@dataclass(frozen=True, slots=True)
class DeleteAll:
    """Several deletions at once, each as `Delete`."""

    objects: tuple[Object, ...]
    announcement: Announcement | None = None


@dataclass(frozen=True, slots=True)
class ConfirmGone:
    """Asks the server itself whether the object with that uid ("": of any) is gone: a cache may not have seen it yet.

    It ends the reconcile, to be tried again, if the object is there. For what cannot be made good: giving up data.
    """

    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class ConfirmNone:
    """Asks the server itself whether no object of that kind in the namespace is `such`; else as `ConfirmGone`."""

    kind: str
    namespace: str
    such: Callable[[Object], bool]


@dataclass(frozen=True, slots=True)
class ConfirmLiving:
    """Asks the server itself whether the object is there, and not being deleted; else as `ConfirmGone`."""

    obj: Object


@dataclass(slots=True)
class ReadScale:
    """A question: how large is an object, of a kind that no cache has? The answer is put into `scale`.

    A kind that the server does not have, or that has no scale, is refused. `scale` stays None if the object is gone.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    scale: Object | None = None


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """`type` is Normal or Warning."""

    obj: Object
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """Reconcile this key again after that time, whatever else happens."""

    seconds: float


def is_namespace_going(refusal: APIError) -> bool:
    """Creating fails in a namespace that is being deleted; nobody needs an event about that."""
    return any(cause.reason == "NamespaceTerminating" for cause in refusal.causes)


Answered: TypeAlias = CreateAll | DeleteAll | ReadScale
"""Answered with their refusal instead of ending the reconcile, so that it can still write its status; tried again."""

Action: TypeAlias = (
    Create
    | CreateAll
    | Update
    | UpdateStatus
    | Patch
    | Delete
    | DeleteAll
    | ConfirmGone
    | ConfirmLiving
    | ConfirmNone
    | ReadScale
    | RecordEvent
    | RequeueAfter
)
