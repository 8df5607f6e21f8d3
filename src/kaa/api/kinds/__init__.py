"""The built-in kinds, a file a group. A new kind is one row in its group's file; a new group is one entry here."""

from kaa.api.kinds import apps, core
from kaa.api.resource import Catalog, GroupVersion

BUILTIN: tuple[GroupVersion, ...] = (core.V1, apps.V1)
"""Every built-in version, in the order of discovery: the core group first, a group's preferred version first."""


def builtin_catalog() -> Catalog:
    """A new catalog of the built-in kinds; custom kinds may be added to it."""
    return Catalog.of(BUILTIN)
