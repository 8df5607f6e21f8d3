"""Deployment: one ReplicaSet for each template it has had, and a controlled way from the old ones to the new one.

Observed: the ReplicaSets it holds. Wanted: the one with the Deployment's template at `spec.replicas`, all others at 0,
never leaving the bounds of the strategy on the way (`deployment_rollout.py`). Each step waits for the pods of the last
one: a reconcile changes sizes in one direction only, and the next one sees what came of it. New is grown before old is
shrunk. `deployment_revisions.py` is the history, `deployment_status.py` what readers are told.
"""

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime

from kaa.api.errors import APIError
from kaa.api.objects import (
    Object,
    annotations_of,
    condition,
    controller_of,
    copy_object,
    is_being_deleted,
    name_of,
    namespace_of,
)
from kaa.controllers.actions import (
    Action,
    Announcement,
    Create,
    Delete,
    RecordEvent,
    RequeueAfter,
    Update,
    UpdateStatus,
    is_namespace_going,
)
from kaa.controllers.claims import claim, orphans
from kaa.controllers.controller import Actions, Controller, Key, View, Watch, deletion, owned
from kaa.controllers.deployment_revisions import (
    REVISION,
    build_set,
    new_set,
    next_revision,
    replicas_annotations,
    revision_of,
    set_annotations,
    superfluous,
)
from kaa.controllers.deployment_rollout import (
    DESIRED,
    Scale,
    is_rolling,
    rescale,
    roll_new,
    roll_old,
    size_of,
    size_of_new,
    stop,
)
from kaa.controllers.deployment_status import (
    build_condition,
    counts_of,
    deadline_seconds,
    is_complete,
    rollout_status,
    seconds_to_deadline,
    with_condition,
)
from kaa.controllers.pods import is_terminal

REFUSALS = frozenset({"AlreadyExists", "Forbidden", "Invalid"})
"""Why a new ReplicaSet may be refused for good, until somebody changes something."""


def reconcile(deployment: Object, view: View, now: datetime) -> Actions:
    claimed = claim(deployment, "ReplicaSet", view)
    yield from claimed.settle()
    new = new_set(deployment, claimed.held)
    old = [rs for rs in claimed.held if rs is not new]
    if is_being_deleted(deployment):
        yield from write_status(deployment, counts_of(deployment, new, claimed.held, now), new)
        return
    if new is not None:
        new = yield from annotate(deployment, new, old)
    if is_paused(deployment) or is_scaling(deployment, claimed.held):
        yield from hold(deployment, new, old, now)
    else:
        yield from roll(deployment, new, old, view, now)


def hold(deployment: Object, new: Object | None, old: list[Object], now: datetime) -> Actions:
    """Paused, or a change of size only: no rollout goes on, but sizes follow `spec.replicas`."""
    yield from apply_scale(deployment, [*old, *present(new)], rescale(deployment, new, old))
    if is_paused(deployment):
        yield from clean_up(deployment, old)
    status = counts_of(deployment, new, [*old, *present(new)], now)
    yield from write_status(deployment, with_pause(deployment, status, now), new)


def roll(deployment: Object, new: Object | None, old: list[Object], view: View, now: datetime) -> Actions:
    """One step of the strategy."""
    observed = deployment
    rolling = is_rolling(deployment)
    if new is None and (rolling or not has_old_pods(old, view)):
        new = build_set(deployment, old, size_of_new(deployment, old, 0))
        refused = yield Create(new, scaling(deployment, new, 0, size_of(new)), tolerate=REFUSALS)
        if refused is not None:
            yield from tell_refusal(deployment, new, refused, view, now)
            raise refused
        observed = with_progress(deployment, "NewReplicaSetCreated", f'Created new replica set "{name_of(new)}"', now)
    elif new is not None and condition(deployment.get("status", {}).get("conditions"), "Progressing") is None:
        observed = with_progress(deployment, "FoundNewReplicaSet", f'Found new replica set "{name_of(new)}"', now)
    sets = [*old, *present(new)]
    scale = roll_sets(deployment, new, old) if rolling else recreate(deployment, new, old, view)
    yield from apply_scale(deployment, sets, scale)
    status = with_pause(deployment, rollout_status(observed, new, sets, now), now)
    if not scale and is_complete(deployment, status):
        yield from clean_up(deployment, old)
    yield from write_status(deployment, status, new)
    remaining = seconds_to_deadline(deployment, condition(status["conditions"], "Progressing"), now)
    if remaining is not None:
        yield RequeueAfter(max(remaining, 0) + 1)  # times on the wire are whole seconds


def is_paused(deployment: Object) -> bool:
    return bool(deployment["spec"].get("paused"))


def is_scaling(deployment: Object, sets: Sequence[Object]) -> bool:
    """`spec.replicas` is not what an active set was last scaled for."""
    wanted = str(size_of(deployment))
    return any(size_of(rs) and annotations_of(rs).get(DESIRED, wanted) != wanted for rs in sets)


def has_old_pods(old: Sequence[Object], view: View) -> bool:
    """Whether Recreate still has to wait: old pods run, or are still asked for."""
    return any(size_of(rs) for rs in old) or any(not is_terminal(pod) for rs in old for pod in view.owned(rs, "Pod"))


def roll_sets(deployment: Object, new: Object | None, old: Sequence[Object]) -> Scale:
    if new is None:
        return {}
    return roll_new(deployment, new, old) or roll_old(deployment, new, old)


def recreate(deployment: Object, new: Object | None, old: Sequence[Object], view: View) -> Scale:
    if scale := stop(old):
        return scale
    if new is None or has_old_pods(old, view) or size_of(new) == size_of(deployment):
        return {}
    return {name_of(new): size_of(deployment)}


def apply_scale(deployment: Object, sets: Sequence[Object], scale: Scale) -> Actions:
    """Sizes as decided; and the annotations that say what for, on every active set, else it is scaled for ever."""
    marks = replicas_annotations(deployment)
    for rs in sets:
        size = scale.get(name_of(rs), size_of(rs))
        marked = marks.items() <= annotations_of(rs).items()
        if size == size_of(rs) and (marked or size == 0 or not rs["metadata"].get("uid")):
            continue
        wanted = copy_object(rs)
        wanted["spec"]["replicas"] = size
        wanted["metadata"]["annotations"] = {**annotations_of(rs), **marks}
        yield Update(wanted, scaling(deployment, rs, size_of(rs), size) if size != size_of(rs) else None)


def scaling(deployment: Object, rs: Object, before: int, after: int) -> Announcement | None:
    if before == after:
        return None
    direction = "up" if after > before else "down"
    message = f"Scaled {direction} replica set {name_of(rs)} from {before} to {after}"
    return Announcement(deployment, "ScalingReplicaSet", message)


def annotate(deployment: Object, new: Object, old: Sequence[Object]) -> Generator[Action, APIError | None, Object]:
    """Keeps the new set's annotations up to date; returns the set as it then is."""
    wanted = copy_object(new)
    wanted["metadata"]["annotations"] = set_annotations(deployment, new, next_revision(old))
    wanted["spec"]["minReadySeconds"] = min_ready_seconds(deployment)
    if annotations_of(wanted) != annotations_of(new) or min_ready_seconds(wanted) != min_ready_seconds(new):
        yield Update(wanted)
    return wanted


def min_ready_seconds(obj: Object) -> int:
    seconds: int = obj["spec"].get("minReadySeconds") or 0
    return seconds


def tell_refusal(deployment: Object, new: Object, refused: APIError, view: View, now: datetime) -> Actions:
    """The reason, in an event and the conditions; or, where another set has the name, a higher count to hash with."""
    status = copy_object(deployment.get("status", {}))
    if refused.reason == "AlreadyExists":
        if view.get("ReplicaSet", name_of(new), namespace_of(new)) is None:
            return  # not seen yet: it may be our own
        status["collisionCount"] = (status.get("collisionCount") or 0) + 1
    else:
        if is_namespace_going(refused):
            return
        message = f'Failed to create new replica set "{name_of(new)}": {refused.message}'
        yield RecordEvent(deployment, "Warning", "ReplicaSetCreateError", message)
        if deadline_seconds(deployment) is None:
            return
        fresh = build_condition("Progressing", "False", "ReplicaSetCreateError", message, now)
        status["conditions"] = with_condition(status.get("conditions") or [], fresh)
    yield from write_status(deployment, status, None)


def clean_up(deployment: Object, old: Sequence[Object]) -> Actions:
    for rs in superfluous(deployment, old):
        yield Delete(rs)


def with_progress(deployment: Object, reason: str, message: str, now: datetime) -> Object:
    """The Deployment as if it had this Progressing condition already: from here on its deadline counts."""
    if deadline_seconds(deployment) is None:
        return deployment
    status = deployment.get("status", {})
    fresh = build_condition("Progressing", "True", reason, message, now)
    return {**deployment, "status": {**status, "conditions": with_condition(status.get("conditions") or [], fresh)}}


def with_pause(deployment: Object, status: Object, now: datetime) -> Object:
    """A pause shows as Progressing Unknown, and its end starts the deadline anew; a timed-out rollout stays so."""
    progressing = condition(status["conditions"], "Progressing")
    reason = progressing.get("reason") if progressing else None
    if deadline_seconds(deployment) is None or reason == "ProgressDeadlineExceeded":
        return status
    if is_paused(deployment):
        fresh = build_condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now)
    elif reason == "DeploymentPaused":
        fresh = build_condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now)
    else:
        return status
    return {**status, "conditions": with_condition(status["conditions"], fresh)}


def write_status(deployment: Object, status: Object, new: Object | None) -> Actions:
    """The status, and with it the revision that `kubectl rollout history` and `undo` start from.

    A status update takes the annotation along without counting as a change of what is wanted (metadata.generation).
    """
    marked = deployment
    if new is not None and revision_of(new) != revision_of(deployment):
        annotations = {**annotations_of(deployment), REVISION: str(revision_of(new))}
        marked = {**deployment, "metadata": {**deployment["metadata"], "annotations": annotations}}
    if status != deployment.get("status") or marked is not deployment:
        yield UpdateStatus(marked, status)


def present(rs: Object | None) -> list[Object]:
    return [] if rs is None else [rs]


def owner_of_pod(pod: Object, view: View) -> Iterator[Key]:
    """With Recreate the end of the last old pod is what the new set waits for."""
    ref = controller_of(pod)
    if ref is None or ref["kind"] != "ReplicaSet":
        return
    rs = view.get("ReplicaSet", ref["name"], namespace_of(pod))
    if rs is not None and (owner := controller_of(rs)) is not None and owner["kind"] == "Deployment":
        yield namespace_of(rs), owner["name"]


CONTROLLER = Controller(
    name="deployment",
    kind="Deployment",
    watches=(owned("ReplicaSet", by="Deployment"), Watch("Pod", owner_of_pod, when=deletion)),
    indexes=(orphans("ReplicaSet"),),
    reconcile=reconcile,
)
