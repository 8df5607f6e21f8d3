"""Who owns which field, as the server keeps it: every write by a client goes through a `Tracker` or an `Applier`.

`api/managed_fields` knows how; this is where kinds, versions and requests come together. Writes that the server makes
by itself own nothing.
"""

from dataclasses import dataclass

from kaa.api.decode import IGNORE
from kaa.api.errors import APIError, Cause, FieldError, bad_request, invalid
from kaa.api.managed_fields import apply as server_side
from kaa.api.managed_fields.changes import Difference, InVersion, Writer, after_write, difference_of
from kaa.api.managed_fields.client_side import KUBECTL, may_be_taken, refresh_annotation
from kaa.api.managed_fields.compiled import builtin_shape, custom_shape
from kaa.api.managed_fields.entries import Entry, entries_of, given_entries, is_reset, managed_fields_of
from kaa.api.managed_fields.shapes import Fields, ShapeError
from kaa.api.managed_fields.views import View, view_for
from kaa.api.objects import Object
from kaa.api.resource import Catalog, Resource
from kaa.lib.clock import Clock, rfc3339
from kaa.server.bodies import conform
from kaa.server.request import Request

MAX_MANAGER_CHARACTERS = 128
UNKNOWN = "unknown"
"""The manager of a request that names neither itself nor its program."""

CUSTOM_SHAPES_KEPT = 512
"""Custom kinds whose shapes are known at a time. Beyond it they are made anew."""

OPTIONS_KINDS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}


def manager_of(request: Request) -> str:
    """The request's fieldManager, or its program's name. Raises Invalid."""
    manager = request.parameter("fieldManager")
    if len(manager) > MAX_MANAGER_CHARACTERS:
        why = f"may not be more than {MAX_MANAGER_CHARACTERS} bytes"
        raise invalid_options(request, "FieldValueTooLong", "fieldManager", f"Too long: {why}")
    if not manager.isprintable():
        why = "should only contain printable characters"
        raise invalid_options(request, "FieldValueInvalid", "fieldManager", f'Invalid value: "{manager}": {why}')
    if manager:
        return manager
    program = request.headers.get("user-agent", "").partition("/")[0]
    if not program.isprintable():
        program = "".join(c for c in program if c.isprintable())
    return program[:MAX_MANAGER_CHARACTERS] or UNKNOWN


def invalid_options(request: Request, reason: str, field: str, message: str) -> APIError:
    kind = OPTIONS_KINDS[request.method]
    return APIError(
        "Invalid",
        f'{kind}.meta.k8s.io "" is invalid: {field}: {message}',
        causes=[Cause(reason, message, field)],
        group="meta.k8s.io",
        kind=kind,
    )


class FieldManagers:
    """The shapes of the catalog's kinds, and what makes trackers and appliers."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._custom: dict[tuple[str, str, str], tuple[object, Fields]] = {}

    def tracker(self, request: Request, resource: Resource, subresource: str) -> "Tracker":
        return Tracker(self, resource, view_for(resource, subresource), self._writer(request, resource, subresource))

    def applier(self, request: Request, resource: Resource, subresource: str, config: Object) -> "Applier":
        """Raises Invalid, BadRequest."""
        if not request.parameter("fieldManager"):
            why = "Required value: is required for apply patch"
            raise invalid_options(request, "FieldValueRequired", "fieldManager", why)
        writer = self._writer(request, resource, subresource)
        force = request.parameter("force").lower() in ("1", "t", "true")
        return Applier(self, resource, view_for(resource, subresource), writer, config, force)

    def _writer(self, request: Request, resource: Resource, subresource: str) -> Writer:
        # Through a Scale, which has no such field of its own, upstream loses the time; so the entry has none.
        now = "" if subresource == "scale" else rfc3339(self._clock.now())
        return Writer(manager_of(request), resource.api_version, subresource, now)

    def shape(self, resource: Resource) -> Fields:
        if resource.schema is None:
            shape = builtin_shape(resource.api_version, resource.kind)
            assert shape is not None  # every built-in kind is in the schema
            return shape
        key = (resource.group, resource.version, resource.kind)
        known = self._custom.get(key)
        if known is None or known[0] is not resource.schema:
            if len(self._custom) >= CUSTOM_SHAPES_KEPT:
                self._custom.clear()
            known = self._custom[key] = (resource.schema, custom_shape(resource.schema.root))
        return known[1]

    def compare(self, resource: Resource, old: Object, new: Object) -> InVersion:
        """Each version's difference is worked out once, if it is asked for."""
        known: dict[str, Difference | None] = {}

        def in_version(api_version: str) -> Difference | None:
            if api_version not in known:
                known[api_version] = self._difference(resource, api_version, old, new)
            return known[api_version]

        return in_version

    def _difference(self, resource: Resource, api_version: str, old: Object, new: Object) -> Difference | None:
        if api_version == resource.api_version:
            return difference_of(self.shape(resource), old, new)
        other = self._catalog.for_kind(api_version, resource.kind)
        if other is None:
            return None
        return difference_of(self.shape(other), _converted(old, resource, other), _converted(new, resource, other))


def _converted(view: Object, resource: Resource, other: Resource) -> Object:
    """A view as another version of its kind shows it."""
    if not view:
        return view
    obj = {"apiVersion": resource.api_version, "kind": resource.kind, "spec": {}, **view}
    for convert in (resource.to_storage, other.from_storage):
        obj = convert(obj) if convert is not None else obj
    return {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}


@dataclass(slots=True)
class Tracker:
    """For a create, an update or a patch."""

    managers: FieldManagers
    resource: Resource
    view: View
    writer: Writer

    def track(self, old: Object | None, new: Object) -> None:
        """Writes into `new`, in place, who owns what after this write. `old` None: it is being created."""
        metadata = new["metadata"]
        given = metadata.get("managedFields")
        before = old["metadata"].get("managedFields") if old is not None else None
        entries = self._entries(given, before)
        if old is not None and not entries:
            # Whoever has none is not tracked until the first apply.
            metadata.pop("managedFields", None)
            return
        compare = self.managers.compare(self.resource, self.view(old) if old is not None else {}, self.view(new))
        try:
            after = after_write(entries, self.writer, compare)
        except (RecursionError, ShapeError):
            after = entries  # too deep to be told apart, or not of its type, which validation will say
        if after is entries and (given == before or not given) and before:
            metadata["managedFields"] = before
        else:
            put_entries(metadata, after)

    def _entries(self, given: object, before: object) -> list[Entry]:
        """The entries to begin with: a client may reset them, or send others; through a subresource it may not."""
        if not self.writer.subresource and given != before:
            if is_reset(given):
                return []
            entries = given_entries(given)
            if entries:
                return entries
        return entries_of(before)


@dataclass(slots=True)
class Applier:
    """For an apply. `config` is the body."""

    managers: FieldManagers
    resource: Resource
    view: View
    writer: Writer
    config: Object
    force: bool

    def change(self, live: Object) -> Object:
        """The object after the apply. Raises Conflict, BadRequest."""
        before = self.view(live)
        applied = self._applied(before, entries_of(live["metadata"].get("managedFields")), live)
        new = {key: value for key, value in live.items() if key not in before} | applied.object
        server_written = {k: v for k, v in live["metadata"].items() if k not in before["metadata"]}
        new["metadata"] = server_written | (applied.object.get("metadata") or {})
        self._check_uid(live)
        if self.config["metadata"].get("resourceVersion"):
            new["metadata"]["resourceVersion"] = self.config["metadata"]["resourceVersion"]  # a precondition
        if self.writer.manager == KUBECTL:
            new = refresh_annotation(new, self.config)
        return self._finished(new, applied.entries, live)

    def create(self, name: str) -> Object:
        """The object where there was none. Raises BadRequest."""
        applied = self._applied({}, [], None)
        metadata = {key: value for key, value in self.config["metadata"].items() if key != "resourceVersion"}
        return self._finished({**self.config, "metadata": metadata | {"name": name}}, applied.entries)

    def _check_uid(self, live: Object) -> None:
        """Raises Invalid for a configuration of another object of the same name."""
        uid = self.config["metadata"].get("uid")
        if uid and uid != live["metadata"]["uid"]:
            error = FieldError("FieldValueInvalid", "metadata.uid", f'Invalid value: "{uid}": field is immutable')
            raise invalid(self.resource.kind, self.resource.group, live["metadata"]["name"], [error])

    def _finished(self, new: Object, entries: list[Entry], live: Object | None = None) -> Object:
        new = conform(new, self.resource, IGNORE, [], live)
        put_entries(new["metadata"], entries)
        return new

    def _applied(self, before: Object, entries: list[Entry], live: Object | None) -> server_side.Applied:
        shape = self.managers.shape(self.resource)
        try:
            return self._try(shape, before, entries, force=self.force)
        except server_side.Conflict as conflict:
            left: server_side.Conflict | None = conflict
            if self.writer.manager == KUBECTL and live is not None:
                left = conflict.except_for(may_be_taken(shape, live, self.resource.api_version, self.view))
            if left is not None:
                raise left.to_error() from None
            return self._try(shape, before, entries, force=True)
        except ShapeError as error:
            raise untyped(self.config, self.resource, str(error)) from None
        except RecursionError:
            raise bad_request("exceeded max depth") from None

    def _try(self, shape: Fields, before: Object, entries: list[Entry], *, force: bool) -> server_side.Applied:
        config = self.view(self.config)
        return server_side.apply(shape, before, config, entries, self.writer, self._compare, force=force)

    def _compare(self, old: Object, new: Object) -> InVersion:
        return self.managers.compare(self.resource, old, new)


def untyped(config: Object, resource: Resource, why: str) -> APIError:
    """The answer to a configuration that does not fit its kind: the client's fault, which upstream calls a 500."""
    metadata = config["metadata"]
    name = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
    kind = f"{resource.api_version}, Kind={resource.kind}"
    return bad_request(f"failed to create typed patch object ({name}; {kind}): {why}")


def put_entries(metadata: Object, entries: list[Entry]) -> None:
    managed_fields = managed_fields_of(entries)
    if managed_fields:
        metadata["managedFields"] = managed_fields
    else:
        metadata.pop("managedFields", None)
