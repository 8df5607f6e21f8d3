"""The runtime of the controllers: caches, queues, retries. A row says what; everything that waits is here.

One `Loop` a row: changes of the kinds that it watches become keys in a work queue; workers take keys and reconcile.
A reconcile that is refused (or fails) is tried again with back-off, from the cache as it is then. A key is held back
while a deletion that it asked for is not yet in the cache, so that nobody acts twice on what they have just done.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from kaa.api.errors import APIError
from kaa.api.objects import Object, is_being_deleted, name_of, namespace_of, uid_of
from kaa.api.selectors import Selector
from kaa.client.events import EventRecorder
from kaa.client.informer import Change
from kaa.client.leader import LeaderElector
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.client.view import Informers
from kaa.controllers import Options, all_controllers, all_programs
from kaa.controllers.actions import Answered
from kaa.controllers.controller import Actions, Controller, Key, Objects, View, Watch, key_of, next_action
from kaa.controllers.every_kind import EveryKind
from kaa.controllers.executor import Executor
from kaa.controllers.program import Context, Program
from kaa.lib.backoff import Backoff, BackoffTable
from kaa.lib.clock import Clock
from kaa.lib.workqueue import WorkQueue

log = logging.getLogger(__name__)

RETRY = Backoff(initial_seconds=0.005, limit_seconds=1000.0)
"""Between tries of one key, as upstream's."""

FEW_OBJECTS = 50
REST_SECONDS_AN_OBJECT = 0.001
MAX_REST_SECONDS = 1.0
"""A key rests after a reconcile that has read more than FEW_OBJECTS: for so long for each further one, some fifty times
what reading it costs. So a ReplicaSet of thousands of pods is not looked at again for each of them, but for many."""

HELD_BACK_SECONDS = 5.0
"""When to look again at a key that waits for its deletions to show, should no change bring it back before."""

COMPONENT = "kube-controller-manager"


@dataclass(slots=True)
class KeyEffects:
    """What the reconcile of one key has set going beyond its writes, and who its events come from."""

    component: str = COMPONENT
    deletions: list[Object] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    requeue_seconds: float | None = None

    def deleted(self, obj: Object) -> None:
        self.deletions.append(obj)

    def requeue_after(self, seconds: float) -> None:
        self.requeue_seconds = seconds if self.requeue_seconds is None else min(seconds, self.requeue_seconds)


class Reading:
    """A View that counts what is read of it: what a reconcile costs, whatever machine it runs on."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.objects = 0

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        self.objects += 1
        return self._view.get(kind, name, namespace)

    def list(self, kind: str, namespace: str | None = None, selector: Selector | None = None) -> Objects:
        return self._counted(self._view.list(kind, namespace, selector))

    def owned(self, owner: Object, kind: str) -> Objects:
        return self._counted(self._view.owned(owner, kind))

    def by_index(self, kind: str, index: str, key: str) -> Objects:
        return self._counted(self._view.by_index(kind, index, key))

    def _counted(self, found: Objects) -> Objects:
        self.objects += len(found)
        return found


class Loop:
    """One controller at work."""

    def __init__(self, controller: Controller, informers: Informers, executor: Executor, clock: Clock) -> None:
        self.controller = controller
        self.queue: WorkQueue[Key] = WorkQueue(clock)
        self._component = controller.component or f"{controller.name}-controller"
        self._informers = informers
        self._executor = executor
        self._clock = clock
        self._failures: BackoffTable[Key] = BackoffTable(RETRY)
        self._deleting: dict[Key, list[Object]] = {}
        self._rests_until: dict[Key, float] = {}
        self._kinds = frozenset(controller.kinds())
        for kind in controller.kinds():
            informers.informer(kind)
        self._objects = informers.informer(controller.kind)
        self._objects.subscribe(self._changed)
        for watch in controller.watches:
            informers.informer(watch.kind).subscribe(partial(self._concerned, watch))

    def _changed(self, change: Change) -> None:
        if self.controller.when(change.old, change.new):
            obj = change.new or change.old
            assert obj is not None
            self.queue.add(key_of(obj))

    def _concerned(self, watch: Watch, change: Change) -> None:
        old, new = change.old, change.new
        if not watch.when(old, new):
            return
        for obj in (old, new):
            if obj is not None:
                for key in watch.keys(obj, self._informers.view):
                    self.queue.add_after(key, watch.settle_seconds)

    async def run(self) -> None:
        """Until cancelled. The caches are filled first: a reconcile must not take "not yet seen" for "absent"."""
        for kind in self.controller.kinds():
            await self._informers.informer(kind).wait_synced()
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self.controller.workers):
                    tasks.create_task(self._work())
        finally:
            self.queue.close()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._reconcile(key)
            finally:
                self.queue.done(key)

    async def _reconcile(self, key: Key) -> None:
        if key in self._deleting and self._awaits_deletions(key):
            self.queue.add_after(key, HELD_BACK_SECONDS)
            return
        if key in self._rests_until and (rest_seconds := self._rests_until[key] - self._clock.monotonic()) > 0:
            self.queue.add_after(key, rest_seconds)
            return
        effects, reading = KeyEffects(self._component), Reading(self._informers.view)
        try:
            refusal = await self._carry_out(self._actions(key, reading), effects)
        except TransportError as error:
            self._retry(key, str(error))
        except APIError as error:
            self._retry(key, error.message)
        except Exception:
            # A fault of ours with one object must not stop the controllers for all others: loud, and tried again.
            log.exception("%s: reconcile of %s failed", self.controller.name, "/".join(key))
            self._retry(key, "internal error")
        else:
            if refusal is None:
                self._failures.succeeded(key)
            else:
                self._retry(key, refusal.message)
        if reading.objects > FEW_OBJECTS:
            self._let_rest(key, reading.objects)
        else:
            self._rests_until.pop(key, None)
        if effects.deletions:
            self._deleting[key] = effects.deletions
        if effects.requeue_seconds is not None:
            self.queue.add_after(key, effects.requeue_seconds)
        elif self.controller.resync_seconds:
            self.queue.add_after(key, self.controller.resync_seconds)

    def _actions(self, key: Key, view: View) -> Actions | None:
        namespace, name = key
        obj = self._objects.get(name, namespace)
        if obj is not None:
            return self.controller.reconcile(obj, view, self._clock.now())
        if self.controller.gone is not None:
            return self.controller.gone(key, view, self._clock.now())
        self._failures.succeeded(key)
        return None

    async def _carry_out(self, actions: Actions | None, effects: KeyEffects) -> APIError | None:
        """Every action, answering each; returns the first refusal of those that do not end the reconcile."""
        if actions is None:
            return None
        refusal: APIError | None = None
        answer: APIError | None = None
        try:
            while (action := next_action(actions, answer)) is not None:
                answer = await self._executor.perform(action, effects)
                if answer is not None and isinstance(action, Answered):
                    refusal = refusal or answer
            return refusal
        finally:
            actions.close()

    def _let_rest(self, key: Key, objects: int) -> None:
        rest_seconds = min((objects - FEW_OBJECTS) * REST_SECONDS_AN_OBJECT, MAX_REST_SECONDS)
        self._rests_until[key] = self._clock.monotonic() + rest_seconds

    def _retry(self, key: Key, why: str) -> None:
        delay = self._failures.failed(key)
        log.debug("%s: %s again in %.3f s: %s", self.controller.name, "/".join(key), delay, why)
        self.queue.add_after(key, delay)

    def _awaits_deletions(self, key: Key) -> bool:
        pending = [obj for obj in self._deleting.pop(key) if not self._is_seen_deleted(obj)]
        if pending:
            self._deleting[key] = pending
        return bool(pending)

    def _is_seen_deleted(self, obj: Object) -> bool:
        if obj["kind"] not in self._kinds:
            return True
        cached = self._informers.view.get(obj["kind"], name_of(obj), namespace_of(obj))
        return cached is None or uid_of(cached) != uid_of(obj) or is_being_deleted(cached)


class ControllerManager:
    """Every row and program over one set of shared caches, in one event loop."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        controllers: Iterable[Controller],
        programs: Iterable[Callable[[Context], Program]] = (),
    ) -> None:
        self.informers = Informers(client, clock)
        controllers = list(controllers)
        for kind, selector in dict.fromkeys(pair for c in controllers for pair in c.field_selectors.items()):
            self.informers.informer(kind, field_selector=selector)
        for (kind, name), keys in {(i.kind, i.name): i.keys for c in controllers for i in c.indexes}.items():
            self.informers.informer(kind).add_index(name, keys)
        self._recorder = EventRecorder(client, clock, COMPONENT)
        self._every_kind = EveryKind(client, clock, self.informers)
        executor = Executor(client, self.informers, self._recorder, self._every_kind.resource)
        self.loops = [Loop(controller, self.informers, executor, clock) for controller in controllers]
        context = Context(client, clock, self.informers, self._recorder, self._every_kind)
        self._programs = [program(context) for program in programs]

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._recorder.run())
            tasks.create_task(self.informers.run())
            for loop in self.loops:
                tasks.create_task(loop.run(), name=loop.controller.name)
            if self._programs:
                tasks.create_task(self._every_kind.run())
            for program in self._programs:
                tasks.create_task(program.run())


async def run_controller_manager(
    client: Client, clock: Clock, *, options: Options | None = None, identity: str = ""
) -> None:
    """All of Kaa's controllers against one API, until cancelled.

    With an `identity` they work only while this candidate holds the lease `kube-controller-manager`, so that several
    can run; `client.leader.LeadershipLost` is raised when it is lost, and the process should end and start anew.
    """
    chosen = options or Options()

    async def work() -> None:
        # Made only now: what waits for its turn fills no caches.
        await ControllerManager(client, clock, all_controllers(chosen), all_programs(chosen)).run()

    if identity:
        await LeaderElector(client, clock, COMPONENT, identity).lead(work)
    else:
        await work()
