"""Invariants: what must hold in a cluster whatever happens, judged after every single change.

    @invariant("Pod")
    def no_pod_without_an_owner(moment: Moment) -> Iterator[str]:
        if moment.created and not owner_references(moment.new):
            yield f"pod {name_of(moment.new)} belongs to nobody"

An invariant is a plain function of a moment that yields what is wrong, in words. It is asked after every change of the
kinds that it names, with the cluster as it was at exactly that revision: it sees what nobody who polls would ever see.
One that names no kind is asked once, at the end, when the cluster has come to rest. `standard_invariants` has those
that hold in every Kubernetes.

    moment     one change of one object (from `old` to `new`), and all objects as they are after it
    promise    what an object's spec has said since the generation that its status has reached: a controller may still
               act on any of these, so a rule of "never more than" means never more than the largest of them
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from kaa.api.objects import Object, controller_of, uid_of
from kaa.api.resource import Catalog
from kaa.cluster.simulation.history import History, Step
from kaa.server.storage import prefix_of
from kaa.server.watch_cache import split_key

Key = tuple[str, str]
"""(namespace, name)"""

Check = Callable[["Moment"], Iterable[str]]

MAX_VIOLATIONS = 10
"""How many are kept: the first ones tell the story."""

UNINTERESTING = ("/registry/core/events/", "/registry/coordination.k8s.io/leases/")
"""Not followed: no invariant is about them, and there are very many."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A row. `kinds` ("Pod", "Deployment.apps"): whose changes it judges; none: it judges the end."""

    name: str
    kinds: tuple[str, ...]
    check: Check


def invariant(*kinds: str) -> Callable[[Check], Invariant]:
    """Makes a function an invariant; see the module."""
    return lambda check: Invariant(check.__name__, kinds, check)


@dataclass(frozen=True, slots=True)
class Violation:
    invariant: str
    revision: int
    time: datetime
    text: str

    def __str__(self) -> str:
        return f"{self.invariant}, at revision {self.revision} ({self.time.isoformat()}): {self.text}"


class Objects:
    """All objects, as they are after a change. Objects are not to be modified."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._prefixes: dict[str, str] = {}  # by the kinds that invariants name
        self._objects: dict[str, dict[Key, Object]] = defaultdict(dict)  # by the prefix of their kind
        self._owned: dict[str, dict[tuple[str, Key], None]] = defaultdict(dict)  # by the controller's uid
        self._promises: dict[str, list[Object]] = {}  # specs by uid, oldest first

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        return self._objects[self.prefix(kind)].get((namespace, name))

    def list(self, kind: str, namespace: str | None = None) -> Iterator[Object]:
        for (found, _), obj in self._objects[self.prefix(kind)].items():
            if namespace in (None, found):
                yield obj

    def every(self) -> Iterator[Object]:
        """Of all kinds, but Events and Leases."""
        for objects in self._objects.values():
            yield from objects.values()

    def owned(self, owner: Object, kind: str) -> Iterator[Object]:
        """The objects of that kind that `owner` controls."""
        prefix = self.prefix(kind)
        for found, key in self._owned[uid_of(owner)]:
            if found == prefix:
                yield self._objects[found][key]

    def controller(self, obj: Object, kind: str) -> Object | None:
        """The object of that kind that controls this one."""
        reference = controller_of(obj)
        if reference is None or reference["kind"] != kind:
            return None
        owner = self.get(kind, reference["name"], obj["metadata"].get("namespace", ""))
        return owner if owner is not None and uid_of(owner) == reference["uid"] else None

    def promised(self, obj: Object) -> Sequence[Object]:
        """The specs that its controller may still act on; the newest is last."""
        return self._promises.get(uid_of(obj)) or [obj["spec"]]

    def prefix(self, kind: str) -> str:
        if kind not in self._prefixes:
            self._prefixes[kind] = prefix_of(self._catalog.named(kind))
        return self._prefixes[kind]

    def replace(self, prefix: str, key: Key, new: Object | None) -> Object | None:
        """Takes in a change; returns what was there."""
        old = self._objects[prefix].pop(key, None)
        if old is not None and (controller := controller_of(old)) is not None:
            del self._owned[controller["uid"]][prefix, key]
        if new is None:
            if old is not None:
                self._promises.pop(uid_of(old), None)
            return old
        self._objects[prefix][key] = new
        if (controller := controller_of(new)) is not None:
            self._owned[controller["uid"]][prefix, key] = None
        self._promise(new)
        return old

    def _promise(self, obj: Object) -> None:
        generation, spec = obj["metadata"].get("generation"), obj.get("spec")
        observed = (obj.get("status") or {}).get("observedGeneration")
        if generation is None or spec is None:
            return
        promises = self._promises.setdefault(uid_of(obj), [])
        if not promises or promises[-1] != spec:
            promises.append(spec)
        if observed is not None:
            del promises[: max(0, len(promises) - 1 - (generation - observed))]


@dataclass(frozen=True, slots=True)
class Moment:
    """One change, and everything as it is after it. At the end there is no change: `old` and `new` are None."""

    objects: Objects
    now: datetime
    old: Object | None = None
    new: Object | None = None

    @property
    def created(self) -> bool:
        return self.old is None and self.new is not None


@dataclass(slots=True)
class Monitor:
    """Judges a cluster while it is `watching`."""

    invariants: Sequence[Invariant]
    catalog: Catalog
    violations: list[Violation] = field(default_factory=list)
    changes: int = 0
    violated: asyncio.Event = field(default_factory=asyncio.Event)
    _objects: Objects = field(init=False)
    _by_prefix: dict[str, list[Invariant]] = field(init=False)

    def __post_init__(self) -> None:
        self._objects = Objects(self.catalog)
        self._by_prefix = defaultdict(list)
        for row in self.invariants:
            for kind in row.kinds:
                self._by_prefix[self._objects.prefix(kind)].append(row)

    @contextmanager
    def watching(self, history: History) -> Iterator[None]:
        """Every change from the cluster's first on is judged, those that have happened already at once."""
        history.retell(self.hear)
        with history.listening(self.hear):
            yield

    def hear(self, step: Step) -> None:
        if step.key.startswith(UNINTERESTING):
            return
        self.changes += 1
        prefix, rest = split_key(step.key)
        namespace, _, name = rest.rpartition("/")
        new: Object | None = orjson.loads(step.stored) if step.verb != "delete" else None
        old = self._objects.replace(prefix, (namespace, name), new)
        moment = Moment(self._objects, step.time, old, new)
        for row in self._by_prefix.get(prefix, ()):
            self.report(Violation(row.name, step.revision, step.time, text) for text in row.check(moment))

    def at_rest(self, revision: int, now: datetime) -> list[Violation]:
        """What is not, now, as it must be once nothing more happens."""
        moment = Moment(self._objects, now)
        rows = [row for row in self.invariants if not row.kinds]
        return [Violation(row.name, revision, now, text) for row in rows for text in row.check(moment)]

    def report(self, violations: Iterable[Violation]) -> None:
        for violation in violations:
            if len(self.violations) < MAX_VIOLATIONS:
                self.violations.append(violation)
            self.violated.set()
