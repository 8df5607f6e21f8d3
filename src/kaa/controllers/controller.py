"""A controller is one row: the kind it reconciles, which other kinds' changes concern it, and a pure function.

    CONTROLLER = Controller(
        name="replicaset",
        kind="ReplicaSet",
        watches=(owned("Pod", by="ReplicaSet"),),
        reconcile=reconcile,
    )

`reconcile(obj, view, now)` is called with the object as the cache has it, and yields actions (see `actions.py`). It
reads only `view`, never waits, never retries, and yields nothing once things are as wanted. `gone(key, view, now)`,
where a row has one, is called for a key whose object does not exist. Everything else is the runtime's.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Protocol, TypeAlias

import orjson

from kaa.api.errors import APIError
from kaa.api.objects import Object, controller_of, labels_of, name_of, namespace_of, uid_of
from kaa.api.selectors import Selector, selector_of
from kaa.controllers.actions import Action

Key: TypeAlias = tuple[str, str]
"""(namespace, name); the namespace is "" for cluster-scoped kinds."""

Actions: TypeAlias = Generator[Action, APIError | None, None]


def next_action(actions: Actions, answer: APIError | None) -> Action | None:
    """What is to be done after the `answer` to the action before, None to begin with. None: that was all."""
    try:
        return actions.send(answer)
    except StopIteration:
        return None


Objects: TypeAlias = list[Object]


class View(Protocol):
    """What a reconcile can read: caches of the kinds that its row names. Nothing in it may be modified."""

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None: ...

    def list(self, kind: str, namespace: str | None = None, selector: Selector | None = None) -> Objects: ...

    def owned(self, owner: Object, kind: str) -> Objects:
        """Objects of that kind whose controller reference has the owner's uid."""
        ...

    def by_index(self, kind: str, index: str, key: str) -> Objects: ...


Keys: TypeAlias = Callable[[Object, View], Iterable[Key]]
"""Which keys a changed object concerns. Asked for the object before and after the change."""

Reconcile: TypeAlias = Callable[[Object, View, datetime], Actions]
Gone: TypeAlias = Callable[[Key, View, datetime], Actions]


When: TypeAlias = Callable[[Object | None, Object | None], bool]
"""Whether a change from the first to the second matters at all; None stands for absent. Asked for every change."""


def any_change(old: Object | None, new: Object | None) -> bool:
    return True


def either(wanted: Callable[[Object], bool]) -> When:
    """It was what is wanted, or is now."""
    return lambda old, new: any(obj is not None and wanted(obj) for obj in (old, new))


def differs(*read: Callable[[Object], object]) -> When:
    """It came or went, or something that is read of it has changed."""

    def when(old: Object | None, new: Object | None) -> bool:
        if old is None or new is None or uid_of(old) != uid_of(new):
            return True
        return [of(old) for of in read] != [of(new) for of in read]

    return when


def deletion(old: Object | None, new: Object | None) -> bool:
    return new is None


def presence(old: Object | None, new: Object | None) -> bool:
    """It came or went."""
    return old is None or new is None


@dataclass(frozen=True, slots=True)
class Watch:
    kind: str
    keys: Keys
    when: When = any_change
    settle_seconds: float = 0.0  # from a change to the reconcile, so that changes that come together are seen together


@dataclass(frozen=True, slots=True)
class Index:
    """A named index that a row needs on a kind's cache; rows that name the same index share it."""

    kind: str
    name: str
    keys: Callable[[Object], Iterable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    name: str
    kind: str
    reconcile: Reconcile
    watches: tuple[Watch, ...] = ()
    reads: tuple[str, ...] = ()  # kinds that are looked at, but whose changes start nothing
    indexes: tuple[Index, ...] = ()
    field_selectors: Mapping[str, str] = field(default_factory=dict)
    """By kind: all that this row, and every other row, sees of it. Saves a cache of what nobody reads."""
    when: When = any_change
    """Which changes of `kind` itself start anything."""
    gone: Gone | None = None
    component: str = ""
    """Who its events come from, as `kubectl describe` shows it; "": `<name>-controller`."""
    workers: int = 5
    resync_seconds: float = 0.0  # reconcile each object at least so often; 0: only on changes

    def kinds(self) -> Iterator[str]:
        """Every kind whose cache must be filled before the first reconcile."""
        yield self.kind
        yield from (watch.kind for watch in self.watches)
        yield from self.reads
        yield from (index.kind for index in self.indexes)


def key_of(obj: Object) -> Key:
    return namespace_of(obj), name_of(obj)


def generation_of(obj: Object) -> object:
    """What moves with the spec, and not with the status."""
    return obj["metadata"].get("generation")


def owned(kind: str, *, by: str, when: When = any_change, settle_seconds: float = 0.0) -> Watch:
    """Objects concern their controller; one with no controller concerns all of kind `by` whose selector matches it."""

    def keys(obj: Object, view: View) -> Iterator[Key]:
        ref = controller_of(obj)
        if ref is not None:
            if ref["kind"] == by:
                yield namespace_of(obj), ref["name"]
            return
        for candidate in view.list(by, namespace_of(obj)):
            if selects(candidate, obj):
                yield key_of(candidate)

    return Watch(kind, keys, when, settle_seconds)


def selected(kind: str, *, by: str) -> Watch:
    """Objects concern all of kind `by` (a Service) whose `spec.selector`, a plain map, they match."""

    def keys(obj: Object, view: View) -> Iterator[Key]:
        labels = labels_of(obj)
        for candidate in view.list(by, namespace_of(obj)):
            selector = candidate["spec"].get("selector")
            if selector and selector.items() <= labels.items():
                yield key_of(candidate)

    return Watch(kind, keys)


def same_name(kind: str) -> Watch:
    """An object concerns the one of the controller's kind with its namespace and name."""
    return Watch(kind, lambda obj, view: (key_of(obj),))


def in_namespace(kind: str, *, name: str = "") -> Watch:
    """Objects (of that name, if given) concern the Namespace that they are in."""

    def keys(obj: Object, view: View) -> Iterator[Key]:
        if not name or name_of(obj) == name:
            yield "", namespace_of(obj)

    return Watch(kind, keys)


def labelled(kind: str, label: str) -> Watch:
    """An object concerns the one in its namespace that the label names."""

    def keys(obj: Object, view: View) -> Iterator[Key]:
        if name := labels_of(obj).get(label):
            yield namespace_of(obj), name

    return Watch(kind, keys)


MAX_SELECTORS = 1024
"""Parsed selectors that are kept: most owners are looked at again and again, and rarely select anything else."""


def label_selector_of(owner: Object) -> Object | None:
    """Its `spec.selector` as a LabelSelector; a ReplicationController's is a plain map of labels."""
    selector: Object | None = owner["spec"].get("selector")
    return {"matchLabels": selector} if selector and owner["kind"] == "ReplicationController" else selector


def selector_for(owner: Object) -> Selector | None:
    """What the owner selects; None, where it says nothing, is nothing."""
    label_selector = label_selector_of(owner)
    if not label_selector or not any(label_selector.values()):
        return None
    return _parsed(orjson.dumps(label_selector))


@lru_cache(MAX_SELECTORS)
def _parsed(label_selector: bytes) -> Selector:
    return selector_of(orjson.loads(label_selector))


def selects(owner: Object, obj: Object) -> bool:
    """Whether the object's labels match the owner's selector."""
    selector = selector_for(owner)
    return selector is not None and selector.matches(labels_of(obj))


POD_NODE = "spec.nodeName"


def pods_on_node(node: Object, view: View) -> Iterator[Key]:
    """A Node concerns the pods that are bound to it. Its row must have the index `pods_by_node()`."""
    for pod in view.by_index("Pod", POD_NODE, name_of(node)):
        yield key_of(pod)


def pods_by_node() -> Index:
    """Pods by the node that they are bound to."""

    def keys(pod: Object) -> Iterator[str]:
        if node := pod["spec"].get("nodeName"):
            yield node

    return Index("Pod", POD_NODE, keys)
