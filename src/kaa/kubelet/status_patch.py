"""The strategic merge patch that turns one pod status into another. Pure.

Conditions and addresses are lists merged by key, so that a patch touches only the entries that change and other
writers' conditions stay; an address that is gone is deleted by name. All else is replaced as a whole.
"""

from collections.abc import Container

from kaa.api.objects import Object
from kaa.kubelet.pod_status import PASSING_CONDITIONS

MERGE_KEYS = {"conditions": "type", "podIPs": "ip", "hostIPs": "ip"}


def status_patch(old: Object, new: Object) -> Object:
    """Empty when there is nothing to change."""
    patch: Object = {}
    for field in {**old, **new}:
        before, after = old.get(field), new.get(field)
        if before == after:
            continue
        if field in MERGE_KEYS:
            if changes := _list_patch(before or [], after or [], MERGE_KEYS[field], _passing(field)):
                patch[field] = changes
        elif field in new or field in OWN_FIELDS:
            patch[field] = after
    return patch


OWN_FIELDS = ("reason", "message", "podIP", "initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
"""Taken away when the new status lacks them; others (nominatedNodeName, resize) belong to other writers."""


def _passing(field: str) -> Container[str] | None:
    """Entries that are deleted when they are gone; None: all of them."""
    return PASSING_CONDITIONS if field == "conditions" else None


def _list_patch(before: list[Object], after: list[Object], key: str, passing: Container[str] | None) -> list[Object]:
    known = {entry[key]: entry for entry in before}
    wanted = {entry[key] for entry in after}
    changes: list[Object] = []
    for entry in after:
        old = known.get(entry[key])
        if old != entry:
            # A merged entry keeps fields that the patch does not name: null takes them away.
            changes.append({**{name: None for name in (old or {}) if name not in entry}, **entry})
    gone = (name for name in known if name not in wanted and (passing is None or name in passing))
    changes += [{"$patch": "delete", key: name} for name in gone]
    return changes
