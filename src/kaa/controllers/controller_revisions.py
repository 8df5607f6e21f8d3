"""ControllerRevisions: the templates that a DaemonSet or StatefulSet has had, one object each.

A revision is found by its data, so going back to an earlier template finds the earlier object, which then takes the
next number. The object is named after the owner and a hash of the template; should another template have that name, a
count of collisions in the owner's status gives it another hash.
"""

from collections.abc import Generator, Iterable, Sequence
from typing import Any

from kaa.api.errors import APIError
from kaa.api.objects import Object, annotations_of, copy_object, name_of, namespace_of, owner_reference
from kaa.controllers.actions import Action, Create, Delete, Update, UpdateStatus
from kaa.controllers.controller import Actions
from kaa.controllers.deployment_revisions import pruned, template_hash

HASH_LABEL = "controller-revision-hash"
EXISTS = frozenset({"AlreadyExists"})


def data_of(template: Object) -> Object:
    """What a revision holds: a strategic merge patch that brings this template back.

    Its fields are in the order of their names: clients compare it byte by byte with what they make of the template.
    """
    patch: Object = _sorted({"spec": {"template": {**template, "$patch": "replace"}}})
    return patch


def _sorted(value: Any) -> Any:
    match value:
        case dict():
            return {key: _sorted(value[key]) for key in sorted(value)}
        case list():
            return [_sorted(entry) for entry in value]
    return value


def number_of(revision: Object) -> int:
    number: int = revision["revision"]
    return number


def build_revision(owner: Object, labels: dict[str, str], number: int) -> Object:
    template = owner["spec"]["template"]
    collisions = owner.get("status", {}).get("collisionCount") or 0
    hash_text = template_hash(template, collisions)
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{name_of(owner)}-{hash_text}",
            "namespace": namespace_of(owner),
            "labels": {**labels, HASH_LABEL: hash_text},
            "annotations": dict(annotations_of(owner)),
            "ownerReferences": [owner_reference(owner)],
        },
        "data": data_of(template),
        "revision": number,
    }


def current_revision(
    owner: Object, revisions: Sequence[Object], labels: dict[str, str]
) -> Generator[Action, APIError | None, Object]:
    """Makes, finds or renews the revision of the owner's template, and returns it."""
    newest = max(map(number_of, revisions), default=0)
    wanted: Any = pruned(data_of(owner["spec"]["template"]))
    same = [revision for revision in revisions if pruned(revision["data"]) == wanted]
    if not same:
        fresh = build_revision(owner, labels, newest + 1)
        refused = yield Create(fresh, tolerate=EXISTS)
        if refused is not None:
            yield from _count_collision(owner)
            raise refused
        return fresh
    found = max(same, key=lambda revision: (number_of(revision), name_of(revision)))
    if number_of(found) < newest:
        found = {**copy_object(found), "revision": newest + 1}
        yield Update(found)
    return found


def _count_collision(owner: Object) -> Actions:
    """If the taken name is our own, not seen yet, the count does no harm: the next look finds it by its data."""
    status = copy_object(owner.get("status", {}))
    status["collisionCount"] = (status.get("collisionCount") or 0) + 1
    yield UpdateStatus(owner, status)


def truncate(owner: Object, revisions: Iterable[Object], live: Iterable[str]) -> Actions:
    """Deletes the oldest beyond the history limit. `live` are the names of revisions that pods or the owner have."""
    in_use = set(live)
    history = sorted((r for r in revisions if name_of(r) not in in_use), key=number_of)
    limit = owner["spec"].get("revisionHistoryLimit", 10)
    for revision in history[: max(0, len(history) - limit)]:
        yield Delete(revision)
