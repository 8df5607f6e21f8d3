"""Who watches one kind, and how a change reaches them: decided and encoded once for all who see the same.

    place    where a watcher looks: a namespace, a name, and one field with its value; "" stands for any
    group    the watchers of one place that select by the same predicate and are written to in the same form
    outlet   a watcher's short way out (see request): its bytes go to the socket with no task in between

A change visits only the places it can be seen from: a kubelet that follows its own node's pods costs nothing when
another node's pod changes. A watcher that cannot be written to at once queues the event. One whose queue is full is
ended: its client watches again from where it was.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from kaa.server.entries import Change, Entry
from kaa.server.request import Outlet

WATCHER_QUEUE_EVENTS = 4096
WATCHER_QUEUE_BYTES = 8 * 1024 * 1024
"""How far a watcher may lag behind before it is ended."""


class Form(Protocol):
    """How one event is written to a watcher. Compared by identity: one form a row and encoding, shared by watchers."""

    def event(self, type_: str, entry: Entry, revision: int) -> bytes: ...


Predicate = Callable[[Entry], bool]
"""Compared by identity as well: who asks for the same selection is given the same predicate."""


class Place(NamedTuple):
    """Where a watcher looks. "": in all namespaces; at all names; whatever the fields."""

    namespace: str = ""
    name: str = ""
    field: str = ""
    value: str = ""


def transition(was_selected: bool, is_selected: bool) -> str | None:
    """The event that a watcher sees for a change, given whether its selection held the object before and does now."""
    if is_selected:
        return "MODIFIED" if was_selected else "ADDED"
    return "DELETED" if was_selected else None


def event_of(change: Change, selects: Predicate | None) -> tuple[str, Entry] | None:
    """What is seen of a change through a selection: the event's type, and the entry to show."""
    current, previous = change.current, change.previous
    was = previous is not None and (selects is None or selects(previous))
    now = current is not None and (selects is None or selects(current))
    type_ = transition(was, now)
    shown = current if now else previous
    return (type_, shown) if type_ is not None and shown is not None else None


@dataclass(slots=True, eq=False)
class Watcher:
    """One watch. `wait` until there is something to `take`; nothing to take means that the watch was ended."""

    place: Place
    selects: Predicate | None  # None: everything in its place
    form: Form
    after: int  # only changes with a later revision are seen
    outlet: Outlet | None = None
    ended: bool = False
    queue: list[bytes] = field(default_factory=list)
    queued_bytes: int = 0
    _wakeup: asyncio.Future[None] | None = None

    def offer(self, encoded: bytes) -> None:
        # Past the queue only while somebody waits for it: then all that was taken from it has been written.
        if self.outlet is not None and self._is_waited_for() and self.outlet.write(encoded):
            return
        if len(self.queue) >= WATCHER_QUEUE_EVENTS or self.queued_bytes >= WATCHER_QUEUE_BYTES:
            self.end()
            return
        self.queue.append(encoded)
        self.queued_bytes += len(encoded)
        self.wake()

    def end(self) -> None:
        self.ended = True
        self.wake()

    def wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    async def wait(self) -> None:
        """Returns when there is something to take, the watch has ended, or somebody called `wake`."""
        if self.queue or self.ended:
            return
        self._wakeup = asyncio.get_running_loop().create_future()
        try:
            await self._wakeup
        finally:
            self._wakeup = None

    def take(self) -> list[bytes]:
        taken, self.queue, self.queued_bytes = self.queue, [], 0
        return taken

    def _is_waited_for(self) -> bool:
        return self._wakeup is not None and not self._wakeup.done()


class Watchers:
    """All of one kind."""

    def __init__(self) -> None:
        # A group's watchers are a dict's keys: a set that keeps their order.
        self._places: dict[Place, dict[tuple[Predicate | None, Form], dict[Watcher, None]]] = {}
        self._fields: Counter[str] = Counter()  # that some watcher's place names, and how many do

    def __iter__(self) -> Iterator[Watcher]:
        for groups in self._places.values():
            for group in groups.values():
                yield from group

    def add(self, watcher: Watcher) -> None:
        groups = self._places.setdefault(watcher.place, {})
        groups.setdefault((watcher.selects, watcher.form), {})[watcher] = None
        if watcher.place.field:
            self._fields[watcher.place.field] += 1

    def remove(self, watcher: Watcher) -> None:
        place, sort = watcher.place, (watcher.selects, watcher.form)
        groups = self._places[place]
        del groups[sort][watcher]
        if not groups[sort]:
            del groups[sort]
        if not groups:
            del self._places[place]
        if place.field:
            self._fields[place.field] -= 1
            if not self._fields[place.field]:
                del self._fields[place.field]

    def tell(self, change: Change) -> None:
        """Hands the change to everybody who sees it."""
        if not self._places:
            return
        encoded: dict[tuple[Form, str], bytes] = {}
        for place in self._places_of(change):
            for (selects, form), group in self._places.get(place, {}).items():
                event = event_of(change, selects)
                if event is None:
                    continue
                type_, shown = event
                if (form, type_) not in encoded:
                    encoded[form, type_] = form.event(type_, shown, change.revision)
                for watcher in group:
                    if change.revision > watcher.after:
                        watcher.offer(encoded[form, type_])

    def _places_of(self, change: Change) -> Iterable[Place]:
        """From where the change can be seen: by what the object was, and by what it is. Each once, in a fixed order."""
        entries = [entry for entry in (change.current, change.previous) if entry is not None]
        conditions = [("", "")]
        for name in self._fields:
            conditions += [(name, entry.fields.get(name, "")) for entry in entries]
        entry = entries[0]
        return dict.fromkeys(
            Place(namespace, name, *condition)
            for namespace in ("", entry.namespace)
            for name in ("", entry.name)
            for condition in conditions
        )

    def end(self) -> None:
        for watcher in self:
            watcher.end()
