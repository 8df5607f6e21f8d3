"""DaemonSet: one pod on every node that its template allows.

Observed: the nodes, and the pods that it holds, each by the node that it is on or meant for. Wanted: exactly one on
every node that fits; none on others, though a taint that only bars the way does not drive away a pod that is there. A
pod is bound to its node by the scheduler, led there by a node affinity for that one name. Pods that have ended are
replaced, the more often the later. When all nodes are served, pods of an older template are replaced
(`daemonset_rollout.py`).
"""

from collections.abc import Iterator
from datetime import datetime

from kaa.api.objects import Object, is_being_deleted, labels_of, name_of
from kaa.controllers.actions import CreateAll, DeleteAll, RequeueAfter, UpdateStatus
from kaa.controllers.claims import claim, orphans
from kaa.controllers.controller import Actions, Controller, Key, View, Watch, key_of, owned
from kaa.controllers.controller_revisions import HASH_LABEL, current_revision, truncate
from kaa.controllers.daemonset_placement import KnownNodes
from kaa.controllers.daemonset_pods import FailedPods, Plan, build_pod, by_node, plan
from kaa.controllers.daemonset_rollout import is_rolling, roll
from kaa.controllers.daemonset_status import next_availability, status_of
from kaa.controllers.replicaset import creation
from kaa.controllers.replicaset import deletion as removal

BURST = 250
"""Pods made or deleted in one reconcile at most, as upstream's."""

SETTLE_SECONDS = 0.2
"""From a change of a pod to looking at all of them: a set may have one on every node, and they change together."""


def controller() -> Controller:
    failed, known_nodes = FailedPods(), KnownNodes()

    def reconcile(daemon_set: Object, view: View, now: datetime) -> Actions:
        if is_being_deleted(daemon_set):
            return
        template_labels = daemon_set["spec"]["template"].get("metadata", {}).get("labels") or {}
        revisions = claim(daemon_set, "ControllerRevision", view)
        yield from revisions.settle()
        current = yield from current_revision(daemon_set, revisions.held, template_labels)
        hash_text = labels_of(current).get(HASH_LABEL, "")
        claimed = claim(daemon_set, "Pod", view)
        yield from claimed.settle()
        placements, pods = known_nodes.placements(daemon_set, view), by_node(claimed.held)
        todo = plan(daemon_set, placements, pods, hash_text, failed, now)
        if not (todo.create or todo.delete) and is_rolling(daemon_set):
            served = sorted(name for name, placement in placements.items() if placement.runs)
            todo.create, todo.delete = roll(daemon_set, served, pods, hash_text, now)
        yield from carry_out(daemon_set, todo, hash_text)
        hashes = {labels_of(pod).get(HASH_LABEL) for pod in claimed.held}
        live = [name_of(r) for r in revisions.held if labels_of(r).get(HASH_LABEL) in hashes]
        yield from truncate(daemon_set, revisions.held, [*live, name_of(current)])
        status = status_of(daemon_set, placements, pods, hash_text, now)
        if status != daemon_set.get("status", {}):
            yield UpdateStatus(daemon_set, status)
        delay = next_availability(daemon_set, claimed.held, now)
        if delays := [*todo.retry_seconds, *([delay] if delay is not None else [])]:
            yield RequeueAfter(min(delays))

    def gone(key: Key, view: View, now: datetime) -> Actions:
        known_nodes.forget(key)
        yield from ()

    return Controller(
        name="daemonset",
        kind="DaemonSet",
        watches=(
            owned("Pod", by="DaemonSet", settle_seconds=SETTLE_SECONDS),
            owned("ControllerRevision", by="DaemonSet"),
            Watch("Node", every_set, when=known_nodes.note),
        ),
        indexes=(orphans("Pod"), orphans("ControllerRevision")),
        reconcile=reconcile,
        gone=gone,
    )


def carry_out(daemon_set: Object, todo: Plan, hash_text: str) -> Actions:
    """What a batch refuses is in an event, and is tried again."""
    yield from todo.events
    if todo.create:
        fresh = tuple(build_pod(daemon_set, hash_text, name) for name in todo.create[:BURST])
        _refusal = yield CreateAll(fresh, creation(daemon_set))
    if todo.delete:
        _refusal = yield DeleteAll(tuple(todo.delete[:BURST]), removal(daemon_set))


def every_set(node: Object, view: View) -> Iterator[Key]:
    for daemon_set in view.list("DaemonSet"):
        yield key_of(daemon_set)
