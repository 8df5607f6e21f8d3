"""Discovery: which kinds a server has, built-in and custom, as a Catalog of rows.

Aggregated discovery (apidiscovery.k8s.io/v2) is two requests; a server without it is asked for every version. A group
whose server does not answer is left out, except for the core group.
"""

from collections.abc import Iterable, Iterator

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.api.resource import Catalog, Resource, Subresource
from kaa.client.rest import Client

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
"""What to accept: aggregated discovery, else the older form."""


async def discover(client: Client) -> Catalog:
    """What the server has now: core group first, preferred versions first. Raises APIError, TransportError."""
    catalog = Catalog()
    for root in ("/api", "/apis"):
        answer = await client.call("GET", root, accept=AGGREGATED)
        if answer.get("kind") == "APIGroupDiscoveryList":
            resources = list(_aggregated(answer))
        else:
            resources = [r for version in _versions(root, answer) for r in await _legacy(client, *version)]
        for resource in resources:
            catalog.add(resource)
    return catalog


def with_verbs(catalog: Catalog, verbs: Iterable[str]) -> list[Resource]:
    """One row of each kind that has all the verbs, in its preferred version: every object is seen once."""
    wanted = set(verbs)
    found: dict[tuple[str, str], Resource] = {}
    for resource in catalog:
        if wanted <= set(resource.verbs):
            found.setdefault((resource.group, resource.name), resource)
    if ("", "events") in found:
        found.pop(("events.k8s.io", "events"), None)  # the same objects in another group
    return list(found.values())


def _aggregated(answer: Object) -> Iterator[Resource]:
    for group in answer.get("items") or ():
        for version in group.get("versions") or ():
            for entry in version.get("resources") or ():
                subresources = [
                    Subresource(sub["subresource"], tuple(sub.get("verbs") or ()), **_kind(sub.get("responseKind")))
                    for sub in entry.get("subresources") or ()
                ]
                yield Resource(
                    kind=entry["responseKind"]["kind"],
                    plural=entry["resource"],
                    namespaced=entry["scope"] == "Namespaced",
                    verbs=tuple(entry.get("verbs") or ()),
                    short_names=tuple(entry.get("shortNames") or ()),
                    categories=tuple(entry.get("categories") or ()),
                    subresources=tuple(subresources),
                    group=group["metadata"].get("name", ""),
                    version=version["version"],
                )


def _kind(response_kind: Object | None) -> dict[str, str]:
    return {field: (response_kind or {}).get(field, "") for field in ("kind", "group", "version")}


def _versions(root: str, answer: Object) -> Iterator[tuple[str, str, str]]:
    """(path, group, version) of every version that APIVersions or APIGroupList names."""
    for version in answer.get("versions") or ():
        yield f"{root}/{version}", "", version
    for group in answer.get("groups") or ():
        preferred = (group.get("preferredVersion") or {}).get("version")
        served = [entry["version"] for entry in group["versions"]]
        for version in sorted(served, key=lambda v: v != preferred):
            yield f"{root}/{group['name']}/{version}", group["name"], version


async def _legacy(client: Client, path: str, group: str, version: str) -> list[Resource]:
    """An APIResourceList as rows; subresources are entries of their own in it, named `plural/subresource`."""
    try:
        entries: list[Object] = (await client.call("GET", path)).get("resources") or []
    except APIError:
        if not group:
            raise
        return []
    subresources: dict[str, list[Subresource]] = {}
    for entry in entries:
        plural, _, name = entry["name"].partition("/")
        if name:
            subresources.setdefault(plural, []).append(
                Subresource(name, tuple(entry.get("verbs") or ()), **_kind(entry))
            )
    return [
        Resource(
            kind=entry["kind"],
            plural=entry["name"],
            namespaced=entry["namespaced"],
            verbs=tuple(entry.get("verbs") or ()),
            short_names=tuple(entry.get("shortNames") or ()),
            categories=tuple(entry.get("categories") or ()),
            subresources=tuple(subresources.get(entry["name"], ())),
            group=group,
            version=version,
        )
        for entry in entries
        if "/" not in entry["name"]
    ]
