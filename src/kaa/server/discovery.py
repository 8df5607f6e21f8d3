"""Discovery: what this server serves, worked out from the rows, in the three forms that clients ask for.

    /api, /apis              the groups and their versions; or, when Accept says so, everything at once (aggregated)
    /apis/<group>            one group
    /api/v1, /apis/<g>/<v>   the resources of one version
    /version                 which release this is

Documents are made once for a state of the catalog and have an ETag, so that clients that come again load nothing.
"""

import hashlib
import platform
from collections.abc import Callable

import orjson

from kaa import KUBERNETES_VERSION, __version__
from kaa.api.objects import Object
from kaa.api.resource import Catalog, Resource, Subresource
from kaa.server.negotiation import JSON, YAML, MediaType, encode, not_acceptable, parse_media_types
from kaa.server.request import Request, Response

AGGREGATED_GROUP = "apidiscovery.k8s.io"
AGGREGATED_VERSIONS = ("v2", "v2beta1")


class Discovery:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._revision = -1
        self._documents: dict[tuple[str, str], Response] = {}

    def answer(self, request: Request) -> Response | None:
        """None for a path that is not discovery's."""
        parts = [part for part in request.path.split("/") if part]
        make = self._maker(parts)
        if make is None:
            return None
        if self._revision != self._catalog.revision:
            self._documents.clear()
            self._revision = self._catalog.revision
        choice = _choose(request.headers.get("accept", ""), aggregates=len(parts) == 1 and parts[0] != "version")
        key = ("/".join(parts), choice)
        response = self._documents.get(key)
        if response is None:
            response = self._document(parts[0], make, choice)
            self._documents[key] = response
        if request.headers.get("if-none-match") == response.headers["etag"]:
            return Response(304, b"", response.content_type, dict(response.headers))
        return response

    def _document(self, root: str, make: Callable[[], Object], choice: str) -> Response:
        if choice in AGGREGATED_VERSIONS:
            body = orjson.dumps(self._aggregated(root, choice))
            content_type = f"{JSON};g={AGGREGATED_GROUP};v={choice};as=APIGroupDiscoveryList"
        else:
            body = encode(make(), choice)
            content_type = choice
        etag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
        return Response(200, body, content_type, {"etag": etag, "vary": "Accept", "cache-control": "public"})

    def _maker(self, parts: list[str]) -> Callable[[], Object] | None:
        match parts:
            case ["version"]:
                return version
            case ["api"]:
                return api_versions
            case ["apis"]:
                return self._groups
            case ["apis", group] if group in self._catalog.groups():
                return lambda: {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}
            case ["api", version_] if version_ in self._catalog.versions(""):
                return lambda: self._resources("", version_)
            case ["apis", group, version_] if version_ in self._catalog.versions(group):
                return lambda: self._resources(group, version_)
        return None

    def _groups(self) -> Object:
        groups = [self._group(group) for group in self._catalog.groups() if group]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _group(self, group: str) -> Object:
        versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in self._catalog.versions(group)]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _rows(self, group: str, version_: str) -> list[Resource]:
        return [row for row in self._catalog if row.group == group and row.version == version_]

    def _resources(self, group: str, version_: str) -> Object:
        entries = []
        for row in self._rows(group, version_):
            entries.append(_resource_entry(row))
            entries += [_subresource_entry(row, subresource) for subresource in row.subresources]
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version_}" if group else version_,
            "resources": entries,
        }

    def _aggregated(self, root: str, aggregated_version: str) -> Object:
        groups = [group for group in self._catalog.groups() if bool(group) == (root == "apis")]
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"{AGGREGATED_GROUP}/{aggregated_version}",
            "metadata": {},
            "items": [
                {
                    "metadata": {"name": group, "creationTimestamp": None},
                    "versions": [
                        {
                            "version": version_,
                            "resources": [_aggregated_entry(row) for row in self._rows(group, version_)],
                            "freshness": "Current",
                        }
                        for version_ in self._catalog.versions(group)
                    ],
                }
                for group in groups
            ],
        }


def _choose(header: str, *, aggregates: bool) -> str:
    """An aggregated version, JSON or YAML: the first choice of Accept that there is. Raises NotAcceptable."""
    choices = parse_media_types(header) or (MediaType(JSON, {}),)
    for choice in choices:
        if choice.parameters.get("as"):
            wanted = choice.parameters.get("g") == AGGREGATED_GROUP and choice.name == JSON
            version_ = choice.parameters.get("v", "")
            if aggregates and wanted and version_ in AGGREGATED_VERSIONS:
                return version_
        elif choice.name in (JSON, "*/*", "application/*"):
            return JSON
        elif choice.name == YAML:
            return YAML
    raise not_acceptable()


def _resource_entry(row: Resource) -> Object:
    entry: Object = {
        "name": row.name,
        "singularName": row.singular,
        "namespaced": row.namespaced,
        "kind": row.kind,
        "verbs": list(row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    return entry


def _subresource_entry(row: Resource, subresource: Subresource) -> Object:
    entry: Object = {
        "name": f"{row.name}/{subresource.name}",
        "singularName": "",
        "namespaced": row.namespaced,
        "kind": subresource.kind or row.kind,
        "verbs": list(subresource.verbs),
    }
    if subresource.version:
        entry |= {"group": subresource.group, "version": subresource.version}
    return entry


def _aggregated_entry(row: Resource) -> Object:
    entry: Object = {
        "resource": row.name,
        "responseKind": {"group": row.group, "version": row.version, "kind": row.kind},
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": list(row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    if row.subresources:
        entry["subresources"] = [
            {
                "subresource": subresource.name,
                "responseKind": {
                    "group": subresource.group if subresource.version else row.group,
                    "version": subresource.version or row.version,
                    "kind": subresource.kind or row.kind,
                },
                "verbs": list(subresource.verbs),
            }
            for subresource in row.subresources
        ]
    return entry


def api_versions() -> Object:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def version() -> Object:
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "gitVersion": f"{KUBERNETES_VERSION}+kaa.{__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": platform.python_implementation(),
        "platform": f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }",
    }
