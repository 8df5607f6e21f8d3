"""StatefulSet: pods with names that last, and claims that stay with them.

Observed: the pods that it holds, by ordinal, and the revisions of its template. Wanted: one pod for each ordinal,
made, removed and replaced in the order of `statefulset_rollout.py`; pods below the partition are of the current
revision, the others of the update revision. When all are, the update revision becomes the current one.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from kaa.api.objects import Object, copy_object, is_being_deleted, labels_of, name_of, namespace_of
from kaa.controllers.actions import (
    Announcement,
    CreateAll,
    DeleteAll,
    Patch,
    RecordEvent,
    RequeueAfter,
    UpdateStatus,
)
from kaa.controllers.claims import GONE_OR_CHANGED, claim, orphans
from kaa.controllers.controller import Actions, Controller, Key, View, Watch, deletion, key_of, owned
from kaa.controllers.controller_revisions import current_revision, truncate
from kaa.controllers.pods import phase_of, seconds_until_available
from kaa.controllers.statefulset_pods import (
    POD_INDEX,
    POD_NAME,
    build_pod,
    claim_prefixes,
    create_claims,
    has_stale_claim,
    ordinal_of,
    replicas_of,
    revision_label,
    settle_claim_owners,
    wanted_ordinals,
)
from kaa.controllers.statefulset_rollout import (
    Step,
    is_available,
    is_rolling,
    is_running,
    min_ready_seconds,
    next_step,
    partition_of,
)


def reconcile(stateful_set: Object, view: View, now: datetime) -> Actions:
    template_labels = stateful_set["spec"]["template"].get("metadata", {}).get("labels") or {}
    revisions = claim(stateful_set, "ControllerRevision", view)
    yield from revisions.settle()
    claimed = claim(stateful_set, "Pod", view, lambda pod: ordinal_of(stateful_set, name_of(pod)) is not None)
    yield from claimed.settle()
    if is_being_deleted(stateful_set):
        return
    update = yield from current_revision(stateful_set, revisions.held, template_labels)
    current = named(revisions.held, stateful_set.get("status", {}).get("currentRevision")) or update
    pods = {ordinal: pod for pod in claimed.held if (ordinal := ordinal_of(stateful_set, name_of(pod))) is not None}
    # The status tells what was observed; it comes first, so that a pod that is refused does not keep it back.
    status = status_of(stateful_set, pods, current, update, now)
    if status != stateful_set.get("status", {}):
        yield UpdateStatus(stateful_set, status)
    yield from keep_identities(stateful_set, pods, view)
    step = next_step(stateful_set, pods, name_of(update), now)
    yield from carry_out(stateful_set, step, pods, current, update, view)
    live = [name_of(current), name_of(update), *map(revision_label, pods.values())]
    yield from truncate(stateful_set, revisions.held, live)
    delays = [seconds_until_available(pod, min_ready_seconds(stateful_set), now) for pod in pods.values()]
    if waiting := [delay for delay in delays if delay]:
        yield RequeueAfter(min(waiting))


def named(revisions: Sequence[Object], name: str | None) -> Object | None:
    return next((revision for revision in revisions if name_of(revision) == name), None)


def keep_identities(stateful_set: Object, pods: Mapping[int, Object], view: View) -> Actions:
    """Labels by which a pod is found, and claims that belong to whom they should."""
    wanted = wanted_ordinals(stateful_set)
    for ordinal, pod in sorted(pods.items()):
        if is_being_deleted(pod):
            continue
        identity = {POD_NAME: name_of(pod), POD_INDEX: str(ordinal)}
        if not identity.items() <= labels_of(pod).items():
            yield Patch(pod, {"metadata": {"labels": identity}}, tolerate=GONE_OR_CHANGED)
        yield from settle_claim_owners(stateful_set, ordinal, pod, view, condemned=ordinal not in wanted)
        if phase_of(pod) == "Pending" and ordinal in wanted:
            yield from create_claims(stateful_set, ordinal, view)


def carry_out(
    stateful_set: Object, step: Step, pods: Mapping[int, Object], current: Object, update: Object, view: View
) -> Actions:
    fresh = []
    for ordinal in step.create:
        if has_stale_claim(stateful_set, ordinal, view):
            continue
        yield from create_claims(stateful_set, ordinal, view)
        below = is_rolling(stateful_set) and ordinal < partition_of(stateful_set)
        fresh.append(build_pod(stateful_set, current if below else update, ordinal))
    if fresh:
        _refusal = yield CreateAll(
            tuple(fresh), announcement(stateful_set, "create", "SuccessfulCreate", "FailedCreate")
        )
    for pod in step.delete:
        if phase_of(pod) in RECREATED:
            what = f"StatefulSet {namespace_of(stateful_set)}/{name_of(stateful_set)} is recreating"
            reason, adjective = RECREATED[phase_of(pod)]
            yield RecordEvent(stateful_set, "Warning", reason, f"{what} {adjective} Pod {name_of(pod)}")
    if step.delete:
        told = announcement(stateful_set, "delete", "SuccessfulDelete", "FailedDelete")
        _refusal = yield DeleteAll(tuple(step.delete), told)


RECREATED = {"Failed": ("RecreatingFailedPod", "failed"), "Succeeded": ("RecreatingTerminatedPod", "terminated")}


def announcement(stateful_set: Object, verb: str, done: str, failed: str) -> Announcement:
    what = f"{verb} Pod {{name}} in StatefulSet {name_of(stateful_set)}"
    return Announcement(stateful_set, done, f"{what} successful", failed, f"{what} failed error: {{error}}")


def status_of(
    stateful_set: Object, pods: Mapping[int, Object], current: Object, update: Object, now: datetime
) -> Object:
    alive = [pod for pod in pods.values() if not is_being_deleted(pod)]
    ready = sum(map(is_running, pods.values()))
    updated = sum(revision_label(pod) == name_of(update) for pod in alive)
    if is_rolling(stateful_set) and updated == ready == len(pods) == replicas_of(stateful_set):
        current = update  # the rollout is complete
    status: Object = {
        "replicas": len(pods),
        "availableReplicas": sum(is_available(stateful_set, pod, now) for pod in pods.values()),
        "observedGeneration": stateful_set["metadata"].get("generation", 0),
        "currentRevision": name_of(current),
        "updateRevision": name_of(update),
    }
    counts = {
        "readyReplicas": ready,
        "currentReplicas": sum(revision_label(pod) == name_of(current) for pod in alive),
        "updatedReplicas": updated,
    }
    status |= {field: count for field, count in counts.items() if count}
    known = copy_object(stateful_set.get("status", {}))
    status["collisionCount"] = known.get("collisionCount") or 0
    return status | ({"conditions": known["conditions"]} if known.get("conditions") else {})


def users_of_claim(obj: Object, view: View) -> Iterator[Key]:
    """A pod may wait for an earlier claim of the same name to go."""
    for stateful_set in view.list("StatefulSet", namespace_of(obj)):
        if any(name_of(obj).startswith(prefix) for prefix in claim_prefixes(stateful_set)):
            yield key_of(stateful_set)


CONTROLLER = Controller(
    name="statefulset",
    kind="StatefulSet",
    watches=(
        owned("Pod", by="StatefulSet"),
        owned("ControllerRevision", by="StatefulSet"),
        Watch("PersistentVolumeClaim", users_of_claim, when=deletion),
    ),
    indexes=(orphans("Pod"), orphans("ControllerRevision")),
    reconcile=reconcile,
)
