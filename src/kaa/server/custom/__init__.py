"""Custom kinds: a CustomResourceDefinition becomes rows of the catalog, served like every other kind."""

from collections.abc import Iterator
from dataclasses import replace

from kaa.api.errors import FieldError
from kaa.api.objects import Object
from kaa.api.resource import Catalog
from kaa.server.custom.rows import problems


def allow_custom_kinds(catalog: Catalog) -> None:
    """Gives the definitions' own row the rules that belong to serving them."""
    row = catalog.named("CustomResourceDefinition")
    others = row.validate

    def validate(new: Object, old: Object | None) -> Iterator[FieldError]:
        if others is not None:
            yield from others(new, old)
        yield from problems(new)

    catalog.add(replace(row, validate=validate))
