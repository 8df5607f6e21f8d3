"""The pods of a DaemonSet: which to make and remove now, and what one looks like."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kaa.api.objects import Object, annotations_of, is_being_deleted, labels_of, name_of, namespace_of, uid_of
from kaa.controllers.actions import RecordEvent
from kaa.controllers.controller_revisions import HASH_LABEL
from kaa.controllers.daemonset_placement import Placements, tolerations_of
from kaa.controllers.daemonset_rollout import is_available, max_surge
from kaa.controllers.node_matching import NAME, required_terms
from kaa.controllers.pods import is_ready, is_terminal, phase_of, pod_from_template
from kaa.lib.backoff import Backoff

GENERATION = "deprecated.daemonset.template.generation"
GENERATION_LABEL = "pod-template-generation"

BACKOFF = Backoff(initial_seconds=1.0, limit_seconds=900.0)
FORGET_SECONDS = 2 * BACKOFF.limit_seconds
REMEMBERED = 10_000
"""Nodes whose daemon pods have failed lately."""
PODS_REMEMBERED = 8
"""Failed pods of one set that a node may have at a time, each with a time of its own."""

Pods = Mapping[str, Sequence[Object]]
"""By the name of the node that they are on or meant for; oldest first."""


def target_of(pod: Object) -> str:
    """The node that the pod is on, or that its affinity leads it to; "" if neither."""
    if node := pod["spec"].get("nodeName"):
        return str(node)
    for term in required_terms(pod["spec"]) or ():
        for requirement in term.get("matchFields") or ():
            if requirement["key"] == NAME and requirement["operator"] == "In" and len(requirement["values"]) == 1:
                return str(requirement["values"][0])
    return ""


def by_node(pods: Iterable[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for pod in sorted(pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], name_of(pod))):
        found.setdefault(target_of(pod), []).append(pod)
    return found


def build_pod(daemon_set: Object, hash_text: str, node_name: str) -> Object:
    pod = pod_from_template(daemon_set, daemon_set["spec"]["template"])
    labels = {HASH_LABEL: hash_text}
    if generation := annotations_of(daemon_set).get(GENERATION):
        labels[GENERATION_LABEL] = generation
    pod["metadata"]["labels"] = {**(pod["metadata"].get("labels") or {}), **labels}
    spec = pod["spec"]
    spec["tolerations"] = tolerations_of(spec)
    field_term = {"matchFields": [{"key": NAME, "operator": "In", "values": [node_name]}]}
    affinity = spec.get("affinity") or {}
    node_affinity = affinity.get("nodeAffinity") or {}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [field_term]}}
    # Labels were looked at when the node was chosen: the name alone says it all.
    spec["affinity"] = {**affinity, "nodeAffinity": {**node_affinity, **required}}
    return pod


@dataclass(slots=True)
class Failures:
    """Of one set on one node."""

    count: int = 0
    due: OrderedDict[str, datetime] = field(default_factory=OrderedDict)  # by the failed pod's uid: when it may go


@dataclass(slots=True)
class FailedPods:
    """How often daemon pods have failed on a node lately: the more often, the later the next one comes.

    It is forgotten when the process ends.
    """

    _records: OrderedDict[tuple[str, str], Failures] = field(default_factory=OrderedDict)
    """By (uid of the set, node)."""

    def wait_seconds(self, daemon_set: Object, node_name: str, pod: Object, now: datetime) -> float:
        """0: this failed pod may be replaced now. Asking twice about one pod counts once."""
        key = uid_of(daemon_set), node_name
        record = self._records.pop(key, None) or Failures()
        self._records[key] = record
        if uid_of(pod) not in record.due:
            latest = max(record.due.values(), default=now)
            record.count = 0 if (now - latest).total_seconds() > FORGET_SECONDS else record.count
            record.due[uid_of(pod)] = now + timedelta(seconds=BACKOFF.delay(record.count))
            record.count += 1
            if len(record.due) > PODS_REMEMBERED:
                record.due.popitem(last=False)
        if len(self._records) > REMEMBERED:
            self._records.popitem(last=False)
        return max(0.0, (record.due[uid_of(pod)] - now).total_seconds())


@dataclass(slots=True)
class Plan:
    create: list[str] = field(default_factory=list)  # names of nodes
    delete: list[Object] = field(default_factory=list)
    events: list[RecordEvent] = field(default_factory=list)
    retry_seconds: list[float] = field(default_factory=list)


ENDED = {
    "Failed": ("Warning", "FailedDaemonPod", "Found failed daemon pod {pod} on node {node}, will try to kill it"),
    "Succeeded": (
        "Normal",
        "SucceededDaemonPod",
        "Found succeeded daemon pod {pod} on node {node}, will try to delete it",
    ),
}


def plan(
    daemon_set: Object, placements: Placements, pods: Pods, hash_text: str, failed: FailedPods, now: datetime
) -> Plan:
    """What brings every node to one pod, or none."""
    todo = Plan()
    for name in sorted(placements):
        placement = placements[name]
        there = pods.get(name, ())
        if placement.runs and not there:
            todo.create.append(name)
        elif placement.stays:
            running = _replace_ended(todo, daemon_set, name, there, failed, now)
            todo.delete += surplus(daemon_set, running, hash_text, now)
        else:
            todo.delete += [pod for pod in there if not is_being_deleted(pod)]
    for name in sorted(pods.keys() - placements.keys()):
        # Their node is gone before they got there; what is bound to it is the pod collector's.
        todo.delete += [pod for pod in pods[name] if not pod["spec"].get("nodeName") and not is_being_deleted(pod)]
    return todo


def _replace_ended(
    todo: Plan, daemon_set: Object, node_name: str, there: Sequence[Object], failed: FailedPods, now: datetime
) -> list[Object]:
    """Plans the end of finished pods; returns the others."""
    alive = [pod for pod in there if not is_being_deleted(pod)]
    for pod in filter(is_terminal, alive):
        if phase_of(pod) == "Failed" and (wait := failed.wait_seconds(daemon_set, node_name, pod, now)):
            todo.retry_seconds.append(wait)
            continue
        type_, reason, message = ENDED[phase_of(pod)]
        text = message.format(pod=f"{namespace_of(pod)}/{name_of(pod)}", node=node_name)
        todo.events.append(RecordEvent(daemon_set, type_, reason, text))
        todo.delete.append(pod)
    return [pod for pod in alive if not is_terminal(pod)]


def surplus(daemon_set: Object, running: Sequence[Object], hash_text: str, now: datetime) -> list[Object]:
    """All but the oldest pod; with surge all but the oldest of the new and of the old template, until new serves."""
    if not max_surge(daemon_set, 1):
        return list(running[1:])
    new = [pod for pod in running if labels_of(pod).get(HASH_LABEL) == hash_text]
    old = [pod for pod in running if pod not in new]
    extra = [*new[1:], *old[1:]]
    if new and old and (not is_ready(old[0]) or is_available(daemon_set, new[0], now)):
        extra.append(old[0])
    return extra
