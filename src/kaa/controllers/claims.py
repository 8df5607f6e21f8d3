"""Adoption and release: which objects a controller holds, by its selector and their controller reference.

Held is what names the owner as its controller and matches its selector. What matches but has no controller is
adopted, what is held but no longer matches is released; both are patches that fail with Conflict when the object
has changed meanwhile. An owner that is being deleted adopts nothing: the garbage collector may just have orphaned it.
Whether it is, the server itself is asked, because what is adopted then would go with its owner.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kaa.api.objects import (
    Object,
    controller_of,
    is_being_deleted,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    owner_references,
    uid_of,
)
from kaa.controllers.actions import ConfirmLiving, Patch
from kaa.controllers.controller import Actions, Index, View, selector_for

GONE_OR_CHANGED = frozenset({"NotFound", "Conflict", "Invalid"})
"""Refusals that mean the object has moved on: its own next change starts another reconcile."""


@dataclass(slots=True)
class Claim:
    """By name. Adopted ones are held too, as they are once adopted: what is then made of one keeps its new owner."""

    held: list[Object] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    adopter: Object | None = None  # the owner, if there is something to adopt

    def settle(self) -> Actions:
        """Carries out the adoptions and releases. One that is refused is left to a later reconcile."""
        if self.adopter is not None:
            yield ConfirmLiving(self.adopter)
        for patch in self.patches:
            _refusal = yield patch


ORPHANS = "orphans"


def orphans(kind: str) -> Index:
    """Objects that have no controller, by namespace: the ones that can be adopted, mostly none."""

    def keys(obj: Object) -> Iterator[str]:
        if controller_of(obj) is None:
            yield namespace_of(obj)

    return Index(kind, ORPHANS, keys)


def claim(owner: Object, kind: str, view: View, can_hold: Callable[[Object], bool] = lambda obj: True) -> Claim:
    """What of that kind the owner holds. Its row must have the index `orphans(kind)`.

    `can_hold` says what must hold besides the selector.
    """
    result = Claim()
    selector = selector_for(owner)
    for obj in (*view.owned(owner, kind), *view.by_index(kind, ORPHANS, namespace_of(owner))):
        ref = controller_of(obj)
        matches = selector is not None and selector.matches(labels_of(obj)) and can_hold(obj)
        if ref is not None and ref["uid"] == uid_of(owner):
            if matches:
                result.held.append(obj)
            elif not is_being_deleted(owner):
                result.patches.append(release(owner, obj))
        elif ref is None and matches and not is_being_deleted(owner) and not is_being_deleted(obj):
            result.adopter = owner
            references = [*owner_references(obj), owner_reference(owner)]
            result.patches.append(_replace_owners(obj, references))
            result.held.append({**obj, "metadata": {**obj["metadata"], "ownerReferences": references}})
    result.held.sort(key=name_of)
    result.patches.sort(key=lambda patch: name_of(patch.obj))
    return result


def release(owner: Object, obj: Object) -> Patch:
    return _replace_owners(obj, [ref for ref in owner_references(obj) if ref["uid"] != uid_of(owner)])


def _replace_owners(obj: Object, references: list[Object]) -> Patch:
    # The resourceVersion makes the server refuse a list of owners that was computed from an old one.
    metadata = {
        "uid": uid_of(obj),
        "resourceVersion": obj["metadata"]["resourceVersion"],
        "ownerReferences": references,
    }
    return Patch(obj, {"metadata": metadata}, tolerate=GONE_OR_CHANGED)
