"""The entries of `metadata.managedFields`: one for each manager, operation, version and subresource.

    {"manager": "kubectl", "operation": "Apply", "apiVersion": "apps/v1", "time": "2030-01-01T00:00:00Z",
     "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}}

An applier has one entry, whatever version he applied last. Who updates has one for each version he used, and no more
than MAX_UPDATE_ENTRIES are kept of these: the oldest become one that nobody claims.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from kaa.api.managed_fields.field_sets import FieldSet, in_order, is_field_set, union
from kaa.api.objects import Object

APPLY, UPDATE = "Apply", "Update"

MAX_UPDATE_ENTRIES = 10
ANCIENT = "ancient-changes"
"""The manager of what the oldest updates have set, once there are more than are kept."""


@dataclass(slots=True)
class Entry:
    """Never changed once made. `time` is "" for an applier whose configuration never changed anything."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: FieldSet  # in order, as they are written

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Two entries with the same key are one."""
        version = "" if self.operation == APPLY else self.api_version
        return self.manager, self.operation, version, self.subresource

    def with_fields(self, fields: FieldSet) -> "Entry":
        return Entry(self.manager, self.operation, self.api_version, self.subresource, self.time, fields)

    def to_object(self) -> Object:
        entry: Object = {"manager": self.manager, "operation": self.operation, "apiVersion": self.api_version}
        if self.time:
            entry["time"] = self.time
        entry["fieldsType"] = "FieldsV1"
        entry["fieldsV1"] = self.fields
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry


def entries_of(managed_fields: Any) -> list[Entry]:
    """The entries in `metadata.managedFields` as it is stored."""
    return [_entry(stored, stored.get("fieldsV1") or {}) for stored in managed_fields or ()]


def given_entries(managed_fields: Any) -> list[Entry]:
    """The entries that a client has sent; none if one of them is none, as upstream then ignores the whole."""
    entries = []
    for given in managed_fields or ():
        fields = given.get("fieldsV1") or {}
        if given.get("operation") not in (APPLY, UPDATE) or not is_field_set(fields):
            return []
        entries.append(_entry(given, in_order(fields)))
    return entries


def _entry(written: Object, fields: FieldSet) -> Entry:
    return Entry(
        written.get("manager", ""),
        written["operation"],
        written.get("apiVersion", ""),
        written.get("subresource", ""),
        written.get("time") or "",
        fields,
    )


def is_reset(managed_fields: Any) -> bool:
    """Whether a client asks for a fresh start: no entries, or one that is empty."""
    return managed_fields is not None and (not managed_fields or managed_fields == [{}])


def managed_fields_of(entries: Iterable[Entry]) -> list[Object]:
    """The entries on the wire, in upstream's order; those that own nothing are left out."""
    kept = [entry for entry in entries if entry.fields]
    kept.sort(key=lambda e: (e.operation, e.time, e.manager, e.api_version, e.subresource))
    return [entry.to_object() for entry in kept]


def capped(entries: list[Entry]) -> list[Entry]:
    """At most MAX_UPDATE_ENTRIES updates: the oldest of a version are merged, which nobody then claims."""
    if len(entries) <= MAX_UPDATE_ENTRIES:
        return entries
    updates = sorted((e for e in entries if e.operation == UPDATE), key=lambda e: (e.time, e.key))
    excess = len(updates) - MAX_UPDATE_ENTRIES
    if excess <= 0:
        return entries
    merged: dict[str, Entry] = {}  # by version
    gone: list[Entry] = []
    for entry in updates:
        if excess <= 0:
            break
        first = merged.get(entry.api_version)
        if first is None:
            merged[entry.api_version] = entry
            continue
        gone += [first, entry]
        fields = in_order(union(first.fields, entry.fields))
        merged[entry.api_version] = replace(first, manager=ANCIENT, subresource="", time=entry.time, fields=fields)
        excess -= 1
    ancient = [entry for entry in merged.values() if entry.manager == ANCIENT]
    return [entry for entry in entries if entry not in gone] + ancient
