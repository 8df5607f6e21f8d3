"""What a create, an update or a patch does to the entries of `metadata.managedFields`.

What the write has changed or added becomes its manager's, and nobody else's; what it has removed is nobody's. The
objects compared are *views*: without what the server writes itself, and without what the request cannot change, so
that whoever sends a whole object back does not come to own its status.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kaa.api.managed_fields.entries import UPDATE, Entry, capped
from kaa.api.managed_fields.field_sets import MEMBER, FieldSet, difference, field, in_order, union
from kaa.api.managed_fields.shapes import Fields
from kaa.api.objects import Object


@dataclass(slots=True)
class Writer:
    """Who writes. Never changed: `manager` in `api_version`, through `subresource` or "", at `now` (RFC 3339)."""

    manager: str
    api_version: str
    subresource: str
    now: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """That of his entry, if he updates."""
        return self.manager, UPDATE, self.api_version, self.subresource


@dataclass(slots=True)
class Difference:
    """What a write does to an object. Never changed once made: fields changed or added, and fields removed."""

    changed: FieldSet
    removed: FieldSet

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


NO_DIFFERENCE = Difference({}, {})

METADATA_ITSELF: FieldSet = {field("metadata"): MEMBER}
"""Every object has metadata: nobody owns that, only what is in it."""

InVersion = Callable[[str], Difference | None]
"""The difference as the fields of an apiVersion; None if that is not served any more."""

Compare = Callable[[Object, Object], InVersion]
"""What differs between two views of an object, old and new. The old one is `{}` for one that did not exist."""


def difference_of(shape: Fields, old: Object, new: Object) -> Difference:
    """Between two views of an object in the same version."""
    if old == new:
        return NO_DIFFERENCE
    changed, removed = shape.compare(old, new)
    return Difference(changed or {}, removed or {}) if changed or removed else NO_DIFFERENCE


def after_write(entries: list[Entry], writer: Writer, in_version: InVersion) -> list[Entry]:
    """The entries once the write has taken what it changed."""
    done = in_version(writer.api_version)
    if not done:
        return entries
    key = writer.key
    own, others = None, []
    for entry in entries:
        if own is None and entry.key == key:
            own = entry
        else:
            others.append(entry)
    left = without_taken(others, in_version)
    taken = difference(done.changed, METADATA_ITSELF)
    before = difference(own.fields, done.removed) if own is not None else {}
    fields = union(before, taken)
    if not fields:
        return left
    if fields is not before:  # mostly he sets again what he has set before
        fields = in_order(fields)
    now = writer.now if taken or own is None else own.time
    return capped([*left, Entry(writer.manager, UPDATE, writer.api_version, writer.subresource, now, fields)])


def without_taken(entries: list[Entry], in_version: InVersion) -> list[Entry]:
    """The entries without the fields that somebody else has changed or removed; entries left empty are gone."""
    left = []
    for entry in entries:
        done = in_version(entry.api_version)
        if done is None:
            continue  # of a version that is not served any more
        fields = difference(difference(entry.fields, done.changed), done.removed)
        if fields is entry.fields:
            left.append(entry)
        elif fields:
            left.append(entry.with_fields(fields))
    return left
