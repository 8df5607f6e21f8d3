"""Kinds by the names that people use: `Pod`, `pods`, `po`, `jobs.v1.batch`, `apps/v1/Deployment`."""

from collections.abc import Iterator

from kaa.api.errors import APIError
from kaa.api.resource import Catalog, Resource


def resource_named(catalog: Catalog, text: str) -> Resource:
    """As kubectl finds it: the first row of the catalog's order that fits. Raises NotFound with kubectl's text."""
    found = next(_matches(catalog, text), None)
    if found is None:
        raise APIError("NotFound", f'the server doesn\'t have a resource type "{text}"')
    return found


def _matches(catalog: Catalog, text: str) -> Iterator[Resource]:
    if text.count("/"):
        group_version, _, name = text.rpartition("/")
        yield from (r for r in catalog if r.api_version == group_version and _is_called(r, name))
        return
    name, _, group = text.partition(".")
    version, _, group_after_version = group.partition(".")
    for resource in catalog:
        if _is_called(resource, name) and (
            not group
            or resource.group == group
            or (resource.version == version and resource.group == group_after_version)
        ):
            yield resource


def _is_called(resource: Resource, name: str) -> bool:
    wanted = name.lower()
    return wanted in (resource.kind.lower(), resource.name, resource.singular, *resource.short_names)
