"""A world of plain objects: what a reconcile reads, and what its actions make of it.

`World` is a View like that over informers, and `apply` does what the server does with each action, as far as a
controller can tell: names, uids, revisions. Objects may be short: what every object has is filled in.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from kaa.api.errors import APIError
from kaa.api.kinds import builtin_catalog
from kaa.api.objects import (
    Object,
    controller_of,
    copy_object,
    is_being_deleted,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from kaa.api.selectors import Selector
from kaa.controllers.actions import (
    Action,
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
)
from kaa.controllers.controller import Actions, Controller, Index
from kaa.lib.clock import rfc3339

CREATED = "2030-01-01T00:00:00Z"
NOW = datetime(2030, 1, 1, 0, 10, tzinfo=UTC)
CATALOG = builtin_catalog()
DELETE_FROM = "$deleteFromPrimitiveList/"


def whole(short: Object) -> Object:
    """The object with what the server would have filled in; one of a custom kind says its apiVersion."""
    obj = copy_object(short)
    resource = next((r for r in CATALOG if r.kind == obj["kind"]), None)
    metadata = obj.setdefault("metadata", {})
    if resource is not None:
        obj.setdefault("apiVersion", resource.api_version)
    if resource is None or resource.namespaced:
        metadata.setdefault("namespace", "default")
    metadata.setdefault("uid", f"{obj['kind']}-{metadata['name']}".lower())
    metadata.setdefault("resourceVersion", "1")
    metadata.setdefault("generation", 1)
    metadata.setdefault("creationTimestamp", CREATED)
    obj.setdefault("spec", {})
    return obj


class World:
    def __init__(self, objects: Iterable[Object], indexes: Iterable[Index] = ()) -> None:
        self.objects = {self._key(obj): obj for obj in map(whole, objects)}
        self._indexes = {(index.kind, index.name): index.keys for index in indexes}
        self.generated: dict[str, str] = {}
        """The generateName of each name that was made here."""
        self.now = NOW
        self._made = 0

    @staticmethod
    def _key(obj: Object) -> tuple[str, str, str]:
        return obj["kind"], namespace_of(obj), name_of(obj)

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        return self.objects.get((kind, namespace, name))

    def list(self, kind: str, namespace: str | None = None, selector: Selector | None = None) -> Any:
        return [
            obj
            for obj in self.objects.values()
            if obj["kind"] == kind
            and (namespace is None or namespace_of(obj) == namespace)
            and (selector is None or selector.matches(labels_of(obj)))
        ]

    def owned(self, owner: Object, kind: str) -> Any:
        where = namespace_of(owner) or None
        return [obj for obj in self.list(kind, where) if (controller_of(obj) or {}).get("uid") == uid_of(owner)]

    def by_index(self, kind: str, index: str, key: str) -> Any:
        keys = self._indexes[kind, index]
        return [obj for obj in self.list(kind) if key in keys(obj)]

    def reconcile(self, controller: Controller, namespace: str, name: str, now: datetime = NOW) -> Any:
        """Every action, each answered as carried out."""
        obj = self.get(controller.kind, name, namespace)
        if obj is not None:
            return self.play(controller.reconcile(obj, self, now))
        assert controller.gone is not None, f"no {controller.kind} {namespace}/{name}"
        return self.play(controller.gone((namespace, name), self, now))

    def play(self, actions: Actions) -> Any:
        """Every action; a question is answered at once."""
        played = []
        for action in actions:
            if isinstance(action, ReadScale):
                action.scale = self.scale(action)
            else:
                played.append(action)
        return played

    def scale(self, question: ReadScale) -> Object | None:
        obj = self.get(question.kind, question.name, question.namespace)
        return obj and {"metadata": obj["metadata"], "spec": {"replicas": obj["spec"]["replicas"]}}

    def apply(self, action: Action) -> None:
        """Raises APIError as the server does, for what is not there and for what is there already."""
        match action:
            case Create(obj):
                self._create(obj)
            case CreateAll(objects):
                for obj in objects:
                    self._create(obj)
            case Update(obj):
                status = self._found(obj).get("status")
                self._put(obj if status is None else {**obj, "status": status})
            case UpdateStatus(obj, status):
                current = self._found(obj)
                annotations = {k: v for k, v in obj["metadata"].items() if k == "annotations"}
                self._put({**current, "metadata": {**current["metadata"], **annotations}, "status": status})
            case Patch(obj, patch):
                self._put(merged(self._found(obj), patch))
            case Delete(obj, _, grace_seconds):
                self._delete(obj, grace_seconds)
            case DeleteAll(objects):
                for obj in objects:
                    self._delete(obj)
            case ConfirmGone() | ConfirmLiving() | ConfirmNone() | ReadScale() | RecordEvent() | RequeueAfter():
                pass

    def _create(self, obj: Object) -> None:
        made, metadata = obj, obj["metadata"]
        if not metadata.get("name"):
            name = f"{metadata['generateName']}{len(self.generated) + 1:05}"
            self.generated[name] = metadata["generateName"]
            made = {**obj, "metadata": {**metadata, "name": name}}
        self._made += 1
        fresh = {"uid": f"made-{self._made}", "creationTimestamp": rfc3339(self.now)}
        made = whole({**made, "metadata": {**made["metadata"], **fresh}})
        if self._key(made) in self.objects:
            raise APIError("AlreadyExists", f"{made['kind']} {name_of(made)} already exists")
        self._put(made)

    def _found(self, obj: Object) -> Object:
        found = self.objects.get(self._key(obj))
        if found is None:
            raise APIError("NotFound", f"{obj['kind']} {name_of(obj)} not found")
        return found

    def _delete(self, obj: Object, grace_seconds: int | None = None) -> None:
        """An object with finalizers waits for their end."""
        current = self.objects.get(self._key(obj))
        if current is not None:
            grace = {} if grace_seconds is None else {"deletionGracePeriodSeconds": grace_seconds}
            self._put({**current, "metadata": {**current["metadata"], "deletionTimestamp": rfc3339(self.now), **grace}})

    def _put(self, obj: Object) -> None:
        copy = copy_object(obj)
        if is_being_deleted(copy) and not copy["metadata"].get("finalizers"):
            self.objects.pop(self._key(copy), None)
            return
        copy["metadata"]["resourceVersion"] = str(int(copy["metadata"]["resourceVersion"]) + 1)
        self.objects[self._key(copy)] = copy


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, and of strategic patches the deletion from lists of scalars.

    The revision that a patch names is a precondition, not a change.
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith(DELETE_FROM):
            field = key.removeprefix(DELETE_FROM)
            result[field] = [item for item in result.get(field, ()) if item not in value]
        elif value is None:
            result.pop(key, None)
        elif key != "resourceVersion":
            result[key] = merged(result.get(key), value)
    return result


def told(action: Action) -> Object:
    """An action as a scenario file writes it."""
    match action:
        case Create(obj):
            return {"create": _name(obj), "object": obj}
        case CreateAll(objects):
            return {"createAll": len(objects), "object": objects[0]}
        case Update(obj):
            return {"update": _name(obj), "object": obj}
        case UpdateStatus(obj, status):
            return {"updateStatus": _name(obj), "status": status, "object": obj}
        case Patch(obj, patch, _, subresource):
            return {"patch": _name(obj), "with": patch, "subresource": subresource}
        case Delete(obj, propagation, grace_seconds):
            return {"delete": _name(obj), "propagation": propagation, "graceSeconds": grace_seconds}
        case DeleteAll(objects):
            return {"deleteAll": [name_of(obj) for obj in objects]}
        case ConfirmGone(kind, namespace, name, uid):
            return {"confirmGone": f"{kind}/{namespace}/{name}", "uid": uid}
        case ConfirmLiving(obj):
            return {"confirmLiving": _name(obj)}
        case ConfirmNone(kind, namespace):
            return {"confirmNone": f"{kind}/{namespace}"}
        case ReadScale(_, kind, namespace, name):
            return {"readScale": f"{kind}/{namespace}/{name}"}
        case RecordEvent(_, type_, reason, message):
            return {"event": reason, "type": type_, "message": message}
        case RequeueAfter(seconds):
            return {"requeueAfter": seconds}


def _name(obj: Object) -> str:
    metadata = obj["metadata"]
    return f"{obj['kind']}/{metadata.get('name') or metadata['generateName'] + '*'}"
