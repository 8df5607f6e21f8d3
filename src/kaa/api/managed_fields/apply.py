"""Server-side apply: a configuration says all that its manager wants, and so what he no longer wants.

    live object + configuration -> merged -> without what the manager has dropped and nobody owns -> new object
    entries     + fields of the configuration -> conflicts, unless forced -> new entries

Conflicts are fields that others own and that the apply would change; who wants them as they are owns them too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import orjson

from kaa.api.errors import APIError, Cause
from kaa.api.managed_fields.changes import METADATA_ITSELF, Compare, InVersion, Writer, after_write, without_taken
from kaa.api.managed_fields.entries import APPLY, Entry
from kaa.api.managed_fields.field_sets import FieldSet, difference, in_order, intersection, path_text, paths, union
from kaa.api.managed_fields.shapes import Fields, without_emptied
from kaa.api.objects import Object

BEFORE_FIRST_APPLY = "before-first-apply"
"""The manager of everything in an object that has no entries when it is first applied."""


@dataclass(frozen=True, slots=True)
class Applied:
    """`object` is a view, as the live one is; the same if nothing changes."""

    object: Object
    entries: list[Entry]


class Conflict(Exception):
    """The apply would change fields of others."""

    def __init__(self, found: Sequence[tuple[Entry, FieldSet]]) -> None:
        super().__init__("apply conflict")
        self.found = tuple(found)

    def except_for(self, allowed: FieldSet) -> "Conflict | None":
        """Without fields that may be taken; None if no conflict is left."""
        left = [(entry, difference(fields, allowed)) for entry, fields in self.found]
        left = [(entry, fields) for entry, fields in left if fields]
        return Conflict(left) if left else None

    def to_error(self) -> APIError:
        fields = [(_shown(entry), path_text(path)) for entry, owned in self.found for path in paths(owned)]
        causes = [Cause("FieldManagerConflict", f"conflict with {manager}", field) for manager, field in fields]
        return APIError("Conflict", _message(fields), causes=causes)


def _shown(entry: Entry) -> str:
    """A manager as upstream's messages name it."""
    shown = orjson.dumps(entry.manager).decode()
    if entry.subresource:
        shown += f" with subresource {orjson.dumps(entry.subresource).decode()}"
    return shown if entry.operation == APPLY else f"{shown} using {entry.api_version}"


def _message(fields: list[tuple[str, str]]) -> str:
    if len(fields) == 1:
        manager, path = fields[0]
        return f"Apply failed with 1 conflict: conflict with {manager}: {path}"
    lines: list[str] = []
    for manager in sorted({manager for manager, _ in fields}):
        lines.append(f"conflicts with {manager}:")
        lines += [f"- {path}" for other, path in fields if other == manager]
    return f"Apply failed with {len(fields)} conflicts: " + "\n".join(lines)


def apply(
    shape: Fields,
    live: Object,
    config: Object,
    entries: list[Entry],
    writer: Writer,
    compare: Compare,
    *,
    force: bool,
) -> Applied:
    """The object and entries after the apply; `live` and `config` are views. Raises Conflict.

    `live` is `{}` for an object to be made.
    """
    if live and not entries:
        entries = after_write([], replace(writer, manager=BEFORE_FIRST_APPLY), compare({}, live))
    owned = difference(shape.owned(config) or {}, METADATA_ITSELF)
    mine = Entry(writer.manager, APPLY, writer.api_version, writer.subresource, writer.now, in_order(owned))
    before = next((entry for entry in entries if entry.key == mine.key), None)
    others = [entry for entry in entries if entry is not before]
    merged = shape.merge(live, config)
    pruned = merged if before is None else _pruned(shape, merged, before.fields, [mine, *others])
    in_version = compare(live, pruned)
    if not force:
        found = list(_conflicts(others, in_version))
        if found:
            raise Conflict(found)
    made = pruned if pruned is merged else without_emptied(pruned)
    if made == live:
        mine = replace(mine, time=before.time if before is not None else "")
    left = without_taken(others, in_version)
    return Applied(made, [*left, mine] if owned else left)


def _pruned(shape: Fields, merged: Object, before: FieldSet, now: list[Entry]) -> Object:
    """The object without what was applied before and is owned by nobody now.

    Entries of all versions count as if they were of one: a field that has another path in another version stays.
    """
    owned: FieldSet = {}
    for entry in now:
        owned = union(owned, entry.fields)
    dropped = difference(shape.named(before), shape.named(owned))
    return shape.remove(merged, dropped) if dropped else merged


def _conflicts(others: list[Entry], in_version: InVersion) -> Iterator[tuple[Entry, FieldSet]]:
    for entry in others:
        done = in_version(entry.api_version)
        common = intersection(entry.fields, done.changed) if done is not None else {}
        if common:
            yield entry, common
