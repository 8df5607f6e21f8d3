"""A kind is one row. Routes, discovery, OpenAPI, RBAC attributes, storage keys and table columns come from it.

`Resource` describes one kind in one version; `GroupVersion` is the list of a version's rows; `Catalog` is what a
server serves or a client knows, and the only place that looks rows up. A CustomResourceDefinition becomes the same
row at run time: one path for built-in and custom kinds.

    GroupVersion("apps", "v1", (
        Resource(kind="ReplicaSet", short_names=("rs",), categories=("all",), subresources=(STATUS, SCALE)),
    ))
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kaa.api.errors import FieldError
from kaa.api.objects import Object

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

STORE_ROOT = "/registry/"
"""What all store keys of objects begin with."""

PrepareForCreate = Callable[[Object], None]
"""Changes a fresh object in place before it is validated: clears status, fills what depends on other fields."""
PrepareForUpdate = Callable[[Object, Object], None]
"""(new, old): changes `new` in place: keeps what an update may not change silently, e.g. status."""
Validate = Callable[[Object, Object | None], Iterable[FieldError]]
"""(new, old or None on create): every violated rule beyond the schema's own."""
ValidateUpdate = Callable[[Object, Object, str], Iterable[FieldError]]
"""(new, old, subresource): what an update may not change. `subresource` is "" for the object itself."""
Convert = Callable[[Object], Object]
"""A whole object of one version as one of another; the argument is left as it was."""
NameRule = Callable[[str], Iterable[str]]
"""What is wrong with a name, in upstream's words: nothing when it may be used."""
SetDefaults = Callable[[Object], None]
"""Fills in place what the author of an object left out."""


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of the Table form. `value` gets the object and the time (for ages) and returns a cell."""

    name: str
    value: Callable[[Object, Any], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0  # 0: always shown; 1: only with -o wide
    description: str = ""


@dataclass(frozen=True, slots=True)
class Subresource:
    """`<plural>/<name>`. `kind`, `group`, `version` name the body's type where it isn't the parent's (Scale)."""

    name: str
    verbs: tuple[str, ...] = ("get", "patch", "update")
    kind: str = ""
    group: str = ""
    version: str = ""


STATUS = Subresource("status")
SCALE = Subresource("scale", kind="Scale", group="autoscaling", version="v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind in one version. Every default is the common case."""

    kind: str
    plural: str = ""  # "" = the kind in lower case with an s
    namespaced: bool = True
    verbs: tuple[str, ...] = ALL_VERBS
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    columns: tuple[Column, ...] = ()  # all of them, in order; none given: Name and Age
    selectable_fields: tuple[str, ...] = ()  # beyond metadata.name and metadata.namespace: dotted paths
    stored_fields: Mapping[str, str] = field(default_factory=dict, hash=False)  # whose path in the store differs
    has_generation: bool = True  # metadata.generation counts changes of spec
    name_rule: NameRule | None = None  # None: a lowercase RFC 1123 subdomain
    defaults: SetDefaults | None = None
    prepare_for_create: PrepareForCreate | None = None
    prepare_for_update: PrepareForUpdate | None = None
    validate: Validate | None = None
    validate_update: ValidateUpdate | None = None
    default_grace_seconds: Callable[[Object], int | None] | None = None  # None: deleted at once, whatever is asked for
    storage_version: str = ""  # "" = this version; else another version of the same kind in `storage_group`
    storage_group: str | None = None  # None = the same group
    to_storage: Convert | None = None
    from_storage: Convert | None = None
    group: str = ""  # filled in by GroupVersion
    version: str = ""  # filled in by GroupVersion
    schema: Any = None  # custom kinds: the structural schema; built-in kinds find theirs by group, version and kind

    # What every request asks for is worked out once.
    name: str = field(init=False, compare=False, repr=False)  # the plural, as in routes and RBAC rules
    api_version: str = field(init=False, compare=False, repr=False)
    storage_prefix: str = field(init=False, compare=False, repr=False)  # of store keys: the same for all versions
    json_head: bytes = field(init=False, compare=False, repr=False)  # what an object begins with, as JSON

    def __post_init__(self) -> None:
        storage_group = self.group if self.storage_group is None else self.storage_group
        api_version = f"{self.group}/{self.version}" if self.group else self.version
        name = self.plural or self.kind.lower() + "s"
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "api_version", api_version)
        object.__setattr__(self, "storage_prefix", f"{STORE_ROOT}{storage_group or 'core'}/{name}/")
        object.__setattr__(self, "json_head", f'{{"apiVersion":"{api_version}","kind":"{self.kind}",'.encode())

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def list_kind(self) -> str:
        return self.kind + "List"

    @property
    def base_path(self) -> str:
        """`/api/v1` or `/apis/<group>/<version>`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, an object or a subresource."""
        parts = [self.base_path]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.name)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)

    def subresource(self, name: str) -> Subresource | None:
        for subresource in self.subresources:
            if subresource.name == name:
                return subresource
        return None


@dataclass(frozen=True, slots=True)
class GroupVersion:
    """The rows of one version of one group. `group` is "" for the core group."""

    group: str
    version: str
    resources: tuple[Resource, ...]

    def __iter__(self) -> Iterator[Resource]:
        for resource in self.resources:
            yield replace(resource, group=self.group, version=self.version)


@dataclass(slots=True)
class Catalog:
    """The rows that are served, in the order of discovery. `revision` counts changes (custom kinds come and go)."""

    revision: int = 0
    _by_plural: dict[tuple[str, str, str], Resource] = field(default_factory=dict)
    _by_kind: dict[tuple[str, str, str], Resource] = field(default_factory=dict)
    _versions: dict[str, list[str]] = field(default_factory=dict)
    _named: dict[str, Resource] = field(default_factory=dict)  # what `named` has found since the last change

    @classmethod
    def of(cls, group_versions: Iterable[GroupVersion]) -> "Catalog":
        catalog = cls()
        for group_version in group_versions:
            for resource in group_version:
                catalog.add(resource)
        return catalog

    def add(self, resource: Resource) -> None:
        self._by_plural[resource.group, resource.version, resource.name] = resource
        self._by_kind[resource.group, resource.version, resource.kind] = resource
        versions = self._versions.setdefault(resource.group, [])
        if resource.version not in versions:
            versions.append(resource.version)
        self._changed()

    def remove(self, resource: Resource) -> None:
        self._by_plural.pop((resource.group, resource.version, resource.name), None)
        self._by_kind.pop((resource.group, resource.version, resource.kind), None)
        if not any(r.group == resource.group and r.version == resource.version for r in self):
            self._versions[resource.group].remove(resource.version)
            if not self._versions[resource.group]:
                del self._versions[resource.group]
        self._changed()

    def _changed(self) -> None:
        self.revision += 1
        self._named.clear()

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._by_plural.values())

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._by_plural.get((group, version, plural))

    def for_kind(self, api_version: str, kind: str) -> Resource | None:
        """By what an object says of itself: `apiVersion` and `kind`."""
        group, _, version = api_version.rpartition("/")
        return self._by_kind.get((group, version, kind))

    def named(self, name: str) -> Resource:
        """By the short form that code uses: `Pod`, `Deployment.apps`, `apps/v1/Deployment`. Raises KeyError.

        A bare kind means the first row of that kind; the catalog's order (core group first, preferred version first)
        decides.
        """
        found = self._named.get(name)
        if found is None:
            found = self._named[name] = self._find_named(name)
        return found

    def _find_named(self, name: str) -> Resource:
        if name.count("/") == 2:
            group, version, kind = name.split("/")
            return self._by_kind[group, version, kind]
        kind, _, group = name.partition(".")
        for resource in self:
            if resource.kind == kind and (not group or resource.group == group):
                return resource
        raise KeyError(name)

    def groups(self) -> list[str]:
        return list(self._versions)

    def versions(self, group: str) -> list[str]:
        """The served versions of a group, preferred first."""
        return self._versions.get(group, [])
