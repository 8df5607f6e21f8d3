"""Worlds for the properties of rows: drawn objects, and a runtime that is told in which order to work and when to die.

Worlds are drawn from the objects of the row's own scenarios: some of them, in any order, each maybe with something
changed that a server allows, or a second time under another name.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml
from hypothesis import strategies as st
from tests.scenarios.test_controllers import FILES, OPTIONS
from tests.scenarios.world import NOW, World, whole

from kaa.api.errors import APIError
from kaa.api.objects import Object, condition, copy_object, name_of, namespace_of, uid_of
from kaa.controllers import all_controllers
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
    UpdateStatus,
)
from kaa.controllers.controller import Actions, Controller, Key, key_of, next_action
from kaa.lib.clock import rfc3339

ROWS = sorted(row.name for row in all_controllers(OPTIONS))
MOST_OBJECTS = 12
ROUNDS = 30
"""Looks at every object that a world may need to come to rest; rolling updates take one for each pod."""

HORIZON = timedelta(minutes=5)
SHORTEST_PAUSE = timedelta(seconds=1)
LATELY = re.compile(r"2030-01-01T00:1[0-9]:[0-9]{2}(\.[0-9]+)?Z")
"""A time from NOW to beyond the horizon."""
MADE = re.compile(r"made-[0-9]+")
"""A uid that the world gave."""

NO_WRITE = RecordEvent | ConfirmGone | ConfirmLiving | ConfirmNone


def row_named(name: str) -> Controller:
    """A fresh one, as after a start of the process: some rows remember what they have seen."""
    return next(row for row in all_controllers(OPTIONS) if row.name == name)


@cache
def pool(name: str) -> list[Object]:
    """Every object of the row's scenarios."""
    path: Path = next(path for path in FILES if path.stem == name)
    cases = yaml.safe_load(path.read_text())["scenarios"]
    return [whole(obj) for case in cases for obj in case["observed"]]


def deleted(obj: Object) -> Object:
    obj["metadata"]["deletionTimestamp"] = "2030-01-01T00:05:00Z"
    obj["metadata"].setdefault("finalizers", ["example.com/hold"])
    return obj


def orphaned(obj: Object) -> Object:
    obj["metadata"].pop("ownerReferences", None)
    return obj


def unlabelled(obj: Object) -> Object:
    obj["metadata"].pop("labels", None)
    return obj


def replaced(obj: Object) -> Object:
    """Deleted, and made again under the same name."""
    obj["metadata"]["uid"] += "-again"
    return obj


def doubled(obj: Object) -> Object:
    """Another one like it; where the name means something, it means that still."""
    if obj["kind"] == "IPAddress":
        return obj
    obj["metadata"]["name"] += "-b"
    obj["metadata"]["uid"] += "-b"
    return obj


def elsewhere(obj: Object) -> Object:
    if "namespace" in obj["metadata"]:
        obj["metadata"]["namespace"] = "other"
        obj["metadata"]["uid"] += "-other"
    return obj


def young(obj: Object) -> Object:
    obj["metadata"]["creationTimestamp"] = "2030-01-01T00:09:59Z"
    return obj


def changed(obj: Object) -> Object:
    obj["metadata"]["generation"] += 1
    return obj


def fresh(obj: Object) -> Object:
    """As if nobody had written its status yet."""
    if obj["kind"] != "Node":  # a kubelet registers its node with one
        obj.pop("status", None)
    return obj


def ended(obj: Object) -> Object:
    if obj["kind"] == "Pod":
        obj["status"] = {**obj.get("status", {}), "phase": "Failed"}
    return obj


def resized(obj: Object) -> Object:
    if "replicas" in obj["spec"]:
        obj["spec"]["replicas"] = (obj["spec"]["replicas"] or 0) + 2
    return obj


def untouched(obj: Object) -> Object:
    return obj


CHANGES = (
    untouched,
    deleted,
    orphaned,
    unlabelled,
    replaced,
    doubled,
    elsewhere,
    young,
    changed,
    fresh,
    ended,
    resized,
)


def apply_changes(obj: Object, changes: list[Callable[[Object], Object]]) -> Object:
    made = copy_object(obj)
    for change in changes:
        made = change(made)
    return made


def worlds(name: str) -> st.SearchStrategy[list[Object]]:
    changes = st.lists(st.sampled_from(CHANGES), max_size=2)
    obj = st.builds(apply_changes, st.sampled_from(pool(name)), changes)
    return st.lists(
        obj, min_size=1, max_size=MOST_OBJECTS, unique_by=lambda o: (o["kind"], namespace_of(o), name_of(o))
    )


def everywhere(obj: Object) -> str:
    return ""


RIVALS: dict[str, Callable[[Object], str]] = {
    "daemonset": namespace_of,
    "deployment": namespace_of,
    "job": namespace_of,
    "persistentvolumeclaim-binder": everywhere,
    "replicaset": namespace_of,
    "replicationcontroller": namespace_of,
    "service-cidr": everywhere,
    "statefulset": namespace_of,
}
"""Rows whose objects may want the same thing (an orphan, a volume, to be the range of an address), and where they do.

Who is looked at first gets it.
"""

RANGES = 4
"""That there are for nodes, in the options of the scenarios."""


def without_rivals(name: str, objects: list[Object]) -> list[Object]:
    """No more of the row's kind than can all have what they want."""
    kind = row_named(name).kind
    if name == "node-ipam":
        return objects[:RANGES]
    if name not in RIVALS:
        return objects
    first = {RIVALS[name](obj): obj for obj in reversed(objects) if obj["kind"] == kind}
    return [obj for obj in objects if obj["kind"] != kind or obj is first[RIVALS[name](obj)]]


def without_range(node: Object) -> Object:
    """Which range of addresses a node gets is left open; that it gets one is not."""
    ranges = node["spec"].get("podCIDRs")
    return {**node, "spec": {**node["spec"], "podCIDR": "", "podCIDRs": ranges and len(ranges)}}


def without_name(pod: Object) -> Object:
    """Which of several pods goes is left open: it hangs on how many are on its node, and so on those gone before."""
    return {"metadata": {k: v for k, v in pod["metadata"].items() if k in ("namespace", "labels", "ownerReferences")}}


def without_news(deployment: Object) -> Object:
    """After a crash its ReplicaSet is found, and not created; how many pods are to come follows from sizes."""
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    told = [{**c, "reason": "", "message": ""} if c["type"] == "Progressing" else c for c in conditions]
    conditions = sorted(told, key=lambda c: str(c["type"]))
    return _status_changed(deployment, conditions=conditions, unavailableReplicas=None)


def without_size(replica_set: Object) -> Object:
    """How a new size is shared among several sets hangs on how far the sharing had come when it was begun anew."""
    return {**replica_set, "spec": {k: v for k, v in replica_set["spec"].items() if k != "replicas"}}


def without_late_failures(job: Object) -> Object:
    """The pods of a job that has succeeded are ended: counted as failed if they are seen to end."""
    is_over = condition(job.get("status", {}).get("conditions"), "SuccessCriteriaMet")
    return _status_changed(job, failed=None) if is_over else job


def _status_changed(obj: Object, **fields: Any) -> Object:
    return {**obj, "status": {**obj.get("status", {}), **fields}}


NOT_COMPARED: dict[tuple[str, str], Callable[[Object], Object]] = {
    ("node-ipam", "Node"): without_range,
    ("deployment", "Deployment"): without_news,
    ("deployment", "ReplicaSet"): without_size,
    ("job", "Job"): without_late_failures,
    ("replicaset", "Pod"): without_name,
    ("replicationcontroller", "Pod"): without_name,
}
"""By row and kind: an object without what may be one way or another."""


def keys(row: Controller, world: World) -> list[Key]:
    return sorted(key_of(obj) for obj in world.list(row.kind))


def single(action: Action) -> Iterator[Action]:
    """The writes that an action is made of: a process may die between any two."""
    match action:
        case CreateAll(objects):
            yield from (Create(obj) for obj in objects)
        case DeleteAll(objects):
            yield from (Delete(obj) for obj in objects)
        case _:
            yield action


class Crash(Exception):
    """The process ended."""


class Run:
    """A row at work in a world, for `HORIZON`. It dies after so many writes, each of `lives`, and is started again."""

    def __init__(self, name: str, objects: list[Object], *, seed: int = 0, lives: tuple[int, ...] = ()) -> None:
        self.name = name
        self.row = row_named(name)
        self.world = World(objects, self.row.indexes)
        self._lives = list(lives)
        self._writes = 0
        self._left = self._lives.pop() if self._lives else -1  # writes of this life
        self._pauses: list[float] = []
        self._random = Random(seed)

    def settles(self) -> bool:
        """Whether the world comes to rest, now and each time that the row has asked to be called again."""
        while self.world.now < NOW + HORIZON:
            if not self._settles_now():
                return False
            self.world.now += max(timedelta(seconds=min(self._pauses, default=HORIZON.total_seconds())), SHORTEST_PAUSE)
        return True

    def _settles_now(self) -> bool:
        for _ in range(ROUNDS):
            before = self._writes
            try:
                self._look_at_all()
            except Crash:
                self.row = row_named(self.name)
                self._left = self._lives.pop() if self._lives else -1
                continue
            if self._writes == before:
                return True
        return False

    def _look_at_all(self) -> None:
        self._play_kubelet()
        self._pauses = []
        known = keys(self.row, self.world)
        self._random.shuffle(known)
        for key in known:
            obj = self.world.get(self.row.kind, key[1], key[0])
            if obj is not None:  # else gone by what was done about another
                self._carry_out(self.row.reconcile(obj, self.world, self.world.now))

    def _play_kubelet(self) -> None:
        """What is made runs at once."""
        for pod in self.world.list("Pod"):
            if MADE.match(uid_of(pod)) and "status" not in pod:
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(self.world.now)}
                self.world.apply(UpdateStatus(pod, {"phase": "Running", "conditions": [ready]}))

    def _carry_out(self, actions: Actions) -> None:
        """As the runtime does: a refusal that the action does not tolerate ends the reconcile."""
        answer: APIError | None = None
        try:
            while (action := next_action(actions, answer)) is not None:
                answer = self._perform(action)
        except APIError:
            return
        finally:
            actions.close()

    def _perform(self, action: Action) -> APIError | None:
        if isinstance(action, ReadScale):
            action.scale = self.world.scale(action)
        elif isinstance(action, RequeueAfter):
            self._pauses.append(action.seconds)
        elif not isinstance(action, NO_WRITE):
            for write in single(action):
                if refusal := self._write(write):
                    return refusal
        return None

    def _write(self, write: Action) -> APIError | None:
        if self._left == 0:
            raise Crash
        self._left -= 1
        try:
            self.world.apply(write)
        except APIError as error:
            if isinstance(write, Create | Patch) and error.reason in write.tolerate:
                return error
            raise
        self._writes += 1
        return None

    def left(self) -> list[str]:
        """What the world is like, whatever the server has called what it had to name, and whenever that was."""
        objects = map(self._compared, self.world.objects.values())
        texts = [MADE.sub("made", LATELY.sub("lately", json.dumps(obj, sort_keys=True))) for obj in objects]
        for name, base in sorted(self.world.generated.items(), reverse=True):
            texts = [text.replace(name, f"{base}*") for text in texts]
        return sorted(texts)

    def _compared(self, obj: Object) -> Object:
        essence = NOT_COMPARED.get((self.name, obj["kind"]), untouched)(obj)
        return {**essence, "metadata": {k: v for k, v in essence["metadata"].items() if k != "resourceVersion"}}
