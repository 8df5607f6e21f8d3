"""What the status of a CustomResourceDefinition should say. Pure.

Its names are accepted unless another definition or a built-in kind has them; then it is established: it is served.
"""

from collections.abc import Iterable

from kaa.api.objects import Object, condition
from kaa.api.resource import Resource
from kaa.server.custom.rows import storage_version


def names_of(names: Object) -> set[str]:
    """Everything by which the kind can be asked for in a URL or by kubectl."""
    return {name for name in (names["plural"], names.get("singular", ""), *(names.get("shortNames") or ())) if name}


def conflict_with(definition: Object, others: Iterable[Resource]) -> str:
    """Which of the definition's names is another kind's of the same group, as a sentence; "" when none is."""
    spec = definition["spec"]
    wanted = names_of(spec["names"])
    for other in others:
        if other.group != spec["group"]:
            continue
        taken = wanted & {other.name, other.singular, *other.short_names}
        if taken:
            return f'"{min(taken)}" is already in use'
        if other.kind == spec["names"]["kind"]:
            return f'"{other.kind}" is already in use'
    return ""


def wanted_status(definition: Object, conflict: str, now: str) -> Object:
    status: Object = dict(definition.get("status") or {})
    conditions: list[Object] = list(status.get("conditions") or [])
    if conflict:
        _set(conditions, "NamesAccepted", "False", "NameConflict", conflict, now)
        if not is_established(definition):
            _set(conditions, "Established", "False", "NotAccepted", "not all names are accepted", now)
    else:
        _set(conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
        why = "the initial names have been accepted"
        _set(conditions, "Established", "True", "InitialNamesAccepted", why, now)
        status["acceptedNames"] = definition["spec"]["names"]
    stored = list(status.get("storedVersions") or [])
    if storage_version(definition) not in stored:
        stored.append(storage_version(definition))
    return {**status, "conditions": conditions, "storedVersions": stored}


def terminating_status(definition: Object, now: str) -> Object:
    status: Object = dict(definition.get("status") or {})
    conditions: list[Object] = list(status.get("conditions") or [])
    why = "CustomResource deletion is in progress"
    _set(conditions, "Terminating", "True", "InstanceDeletionInProgress", why, now)
    return {**status, "conditions": conditions}


def is_established(definition: Object) -> bool:
    established = condition((definition.get("status") or {}).get("conditions"), "Established")
    return established is not None and established["status"] == "True"


def _set(conditions: list[Object], kind: str, status: str, reason: str, message: str, now: str) -> None:
    """Puts the condition into the list; its time moves only with its status."""
    wanted = {"type": kind, "status": status, "reason": reason, "message": message}
    for index, known in enumerate(conditions):
        if known["type"] == kind:
            moved = known["status"] != status
            conditions[index] = {**known, **wanted, **({"lastTransitionTime": now} if moved else {})}
            return
    conditions.append({**wanted, "lastTransitionTime": now})
