"""The graph of who owns whom, over every object of every kind, by uid; and what is to become of an object.

The graph holds a few words an object: where it is, whom its ownerReferences name, and which of the finalizers of
deletion it waits with. `Graph.put` and `Graph.remove` return the uids whose fate may have changed; `fate_of` decides,
given the state of each owner. Nothing here waits or asks.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

from kaa.api.objects import Object, is_being_deleted, name_of, namespace_of, owner_references, uid_of
from kaa.api.resource import Resource

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
DECISIVE = ("uid", "ownerReferences", "finalizers", "deletionTimestamp")


@dataclass(frozen=True, slots=True)
class Owner:
    """One ownerReference."""

    uid: str
    api_version: str
    kind: str
    name: str
    blocks: bool  # blockOwnerDeletion


@dataclass(slots=True)
class Node:
    """A change of what decides on its fate makes another node; any other moves only the resource version along."""

    uid: str
    resource: Resource
    namespace: str
    name: str
    owners: tuple[Owner, ...]
    deleting: bool
    foreground: bool  # waits for its dependents before it goes
    orphaning: bool  # its dependents are to be kept
    resource_version: str = field(default="", compare=False)

    @property
    def waits_for_dependents(self) -> bool:
        return self.deleting and self.foreground


def is_decided_alike(old: Object, new: Object) -> bool:
    """The change of the object decides on no fate: neither its own nor its owners' nor its dependents'."""
    before, after = old["metadata"], new["metadata"]
    return [before.get(field) for field in DECISIVE] == [after.get(field) for field in DECISIVE]


def node_of(resource: Resource, obj: Object) -> Node:
    finalizers = obj["metadata"].get("finalizers") or ()
    return Node(
        uid=uid_of(obj),
        resource=resource,
        namespace=namespace_of(obj),
        name=name_of(obj),
        owners=tuple(
            Owner(ref["uid"], ref["apiVersion"], ref["kind"], ref["name"], bool(ref.get("blockOwnerDeletion")))
            for ref in owner_references(obj)
        ),
        deleting=is_being_deleted(obj),
        foreground=FOREGROUND in finalizers,
        orphaning=ORPHAN in finalizers,
        resource_version=obj["metadata"].get("resourceVersion", ""),
    )


class Graph:
    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def of_kind(self, resource: Resource) -> list[str]:
        return [node.uid for node in self._nodes.values() if node.resource == resource]

    def has_dependents(self, uid: str) -> bool:
        return uid in self._dependents

    def dependents(self, uid: str) -> Iterator[Node]:
        """In the order of uids, so that one history follows from one seed."""
        for dependent in sorted(self._dependents.get(uid, ())):
            yield self._nodes[dependent]

    def keeps(self, uid: str) -> bool:
        """Nothing is to be done about the object, and that is known at once: it has no owners, or they are all here."""
        node = self._nodes.get(uid)
        if node is None:
            return True
        if node.deleting:
            return not (node.foreground or node.orphaning)
        return all(self._is_held(node, owner) for owner in node.owners)

    def _is_held(self, node: Node, owner: Owner) -> bool:
        known = self._nodes.get(owner.uid)
        return known is not None and not known.waits_for_dependents and known.namespace in ("", node.namespace)

    def move_along(self, uid: str, resource_version: str) -> None:
        """The object changed in nothing that decides on a fate."""
        if (node := self._nodes.get(uid)) is not None:
            node.resource_version = resource_version

    def put(self, node: Node) -> set[str]:
        """Adds or replaces; returns the uids to look at again."""
        before = self._nodes.get(node.uid)
        self._unlink(before)
        self._nodes[node.uid] = node
        for owner in node.owners:
            self._dependents.setdefault(owner.uid, set()).add(node.uid)
        if before == node:
            return set()
        concerned = {node.uid} if node.owners or node.deleting else set()
        if node.waits_for_dependents:
            concerned |= self._dependents.get(node.uid, set())
        # An owner may have waited for just this: a dependent that no longer names it, or no longer blocks it.
        before_blocked = {owner.uid for owner in before.owners if owner.blocks} if before is not None else set()
        return concerned | (before_blocked - {owner.uid for owner in node.owners if owner.blocks})

    def remove(self, uid: str) -> set[str]:
        """Returns the uids to look at again: its dependents, and owners that waited for it."""
        node = self._nodes.pop(uid, None)
        self._unlink(node)
        waiting = {owner.uid for owner in node.owners} if node is not None else set()
        return {*self._dependents.get(uid, ()), *waiting}

    def _unlink(self, node: Node | None) -> None:
        if node is None:
            return
        for owner in node.owners:
            dependents = self._dependents.get(owner.uid, set())
            dependents.discard(node.uid)
            if not dependents:
                self._dependents.pop(owner.uid, None)


class OwnerState(Enum):
    SOLID = auto()  # exists
    WAITING = auto()  # is being deleted in the foreground: waits for its dependents
    ABSENT = auto()


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Collect:
    """Delete the object. `propagation` is Background, Foreground or Orphan."""

    propagation: str
    unblock: tuple[
        str, ...
    ] = ()  # uids of dependents whose references must stop blocking: a circle would wait for ever


@dataclass(frozen=True, slots=True)
class Disown:
    """Take the references to these uids off the object."""

    uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Take this finalizer off the object: what it waited for is done."""

    finalizer: str


@dataclass(frozen=True, slots=True)
class OrphanDependents:
    """Take the reference to this object off its dependents, then its finalizer off it."""

    dependents: tuple[str, ...]


Fate: TypeAlias = Keep | Collect | Disown | Release | OrphanDependents

KEEP = Keep()


def fate_of(node: Node, dependents: Iterable[Node], owners: Mapping[str, OwnerState]) -> Fate:
    """`owners` has the state of every owner that `node` names."""
    if node.deleting:
        return _fate_of_deleting(node, list(dependents))
    states = [owners[owner.uid] for owner in node.owners]
    if not states:
        return KEEP
    if OwnerState.SOLID in states:
        lost = tuple(owner.uid for owner in node.owners if owners[owner.uid] is not OwnerState.SOLID)
        return Disown(lost) if lost else KEEP
    below = list(dependents)
    if OwnerState.WAITING in states and below:
        circle = tuple(d.uid for d in below if d.waits_for_dependents and _blocks(d, node))
        return Collect("Foreground", circle)
    if node.orphaning:
        return Collect("Orphan")
    return Collect("Foreground" if node.foreground else "Background")


def _fate_of_deleting(node: Node, dependents: list[Node]) -> Fate:
    if node.orphaning:
        return OrphanDependents(tuple(d.uid for d in dependents))
    if node.foreground and not any(_blocks(dependent, node) for dependent in dependents):
        return Release(FOREGROUND)
    return KEEP


def _blocks(dependent: Node, owner: Node) -> bool:
    """An object that names itself does not wait for itself."""
    return dependent.uid != owner.uid and any(ref.uid == owner.uid and ref.blocks for ref in dependent.owners)
