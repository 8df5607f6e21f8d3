"""The verbs of the API on objects and collections of any kind: each from an authorized request to a response.

get list watch          the watch cache answers, in the form that Accept asks for
create update patch     a body becomes an object, the registry writes it, the answer is what was written
delete deletecollection DeleteOptions from the body or the query; the answer is a Status when all is gone
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kaa.api.errors import APIError, bad_request, conflict
from kaa.api.objects import Object
from kaa.api.patch import APPLY_PATCH
from kaa.api.resource import Catalog, Resource
from kaa.server.applying import configuration
from kaa.server.bodies import decode_object, decode_options, field_validation
from kaa.server.chain import Admission
from kaa.server.deletion import DeleteOptions
from kaa.server.field_managers import FieldManagers, invalid_options
from kaa.server.forms import AnyForm, Forms, stream_type
from kaa.server.listing import Lister, list_options
from kaa.server.negotiation import accepted, content_type, respond
from kaa.server.object_meta import settle_name, settle_namespace
from kaa.server.patching import patch_of
from kaa.server.registry import Registry, Write, Written
from kaa.server.request import Attributes, Outlet, Request, Response
from kaa.server.storage import decode
from kaa.server.watching import Watching

CREATE_ON_UPDATE = frozenset(
    [
        "ClusterRole",
        "ClusterRoleBinding",
        "Endpoints",
        "Event",
        "Lease",
        "LimitRange",
        "PodTemplate",
        "Role",
        "RoleBinding",
        "Service",
    ]
)
"""Kinds that a PUT makes where there is none."""

MUST_SPECIFY_VERSION = frozenset(
    [
        "APIService",
        "CSIDriver",
        "CSINode",
        "CustomResourceDefinition",
        "Lease",
        "MutatingWebhookConfiguration",
        "PodDisruptionBudget",
        "RuntimeClass",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
    ]
)
"""Kinds whose update must say which version it replaces; so must that of every custom kind."""

RETURNED_WHEN_DELETED = frozenset(
    [
        "CSIDriver",
        "CSINode",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Pod",
        "PodTemplate",
        "ResourceQuota",
        "Service",
        "ServiceAccount",
        "StorageClass",
        "VolumeAttachment",
    ]
)
"""Kinds whose last state is the answer to the DELETE that removes them; the others answer with a Status."""

APPLY_TRIES = 8
"""How often an apply finds the object absent and then present before its caller gets the Conflict."""

MAX_WARNINGS_CHARACTERS = 4096
"""Of all warnings of one answer together; what is beyond it is left out, as headers are bounded."""


@dataclass(slots=True)
class Verbs:
    catalog: Catalog
    registry: Registry
    lister: Lister
    watching: Watching
    forms: Forms
    admission: Admission
    authorize: Callable[[Attributes], None]  # raises Forbidden
    field_managers: FieldManagers

    def form(self, request: Request, resource: Resource) -> AnyForm:
        choice = accepted(request.headers.get("accept", ""), protobuf=resource.schema is None)
        include = request.parameter("includeObject") if choice.transform == "Table" else ""
        if include not in ("", "None", "Metadata", "Object"):
            raise bad_request(f'unrecognized includeObject value: "{include}"')
        return self.forms.form(resource, choice, include)

    async def get(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        form = self.form(request, resource)
        entry = await self.registry.entry(resource, attributes.namespace, attributes.name)
        return Response(200, form.one(entry.item), form.content_type)

    async def list(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        form = self.form(request, resource)
        listed = await self.lister.page(resource, attributes.namespace, list_options(request))
        return Response(200, form.many([entry.item for entry in listed.entries], listed.metadata), form.content_type)

    async def watch(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        form = self.form(request, resource)
        content_type = stream_type(form)
        options = list_options(request)
        outlet = Outlet()
        chunks = await self.watching.open(resource, attributes.namespace, options, form, outlet)
        return Response(200, b"", content_type, chunks=chunks, outlet=outlet)

    async def create(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        form = self.form(request, resource)
        write = self.tracked(request, attributes, resource)
        obj = decode_object(request, resource, write.warnings)
        if attributes.name:
            settle_name(obj, attributes.name)
        written = await self.registry.create(resource, attributes.namespace, obj, write)
        return self.written(form, written, write)

    async def update(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        form = self.form(request, resource)
        write = self.tracked(request, attributes, resource)

        def decoded() -> Object:
            body = decode_object(request, resource, write.warnings)
            settle_name(body, attributes.name)
            settle_namespace(body, resource, attributes.namespace)
            return body

        fresh = [decoded()]  # what is wrong with it is said first of all

        def body() -> Object:
            """Each try has its own."""
            return fresh.pop() if fresh else decoded()

        try:
            written = await self.registry.replace(
                resource,
                attributes.namespace,
                attributes.name,
                body,
                write,
                subresource=attributes.subresource,
                must_specify=resource.kind in MUST_SPECIFY_VERSION or resource.schema is not None,
            )
        except APIError as error:
            if error.reason != "NotFound" or attributes.subresource or resource.kind not in CREATE_ON_UPDATE:
                raise
            write.attributes = replace(attributes, verb="create")
            self.authorize(write.attributes)
            written = await self.registry.create(resource, attributes.namespace, body(), write)
        return self.written(form, written, write)

    async def patch(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        form = self.form(request, resource)
        if content_type(request) == APPLY_PATCH:
            return await self._apply(request, attributes, resource, form)
        write = self.tracked(request, attributes, resource)
        if request.parameter("force"):
            why = "Forbidden: may not be specified for non-apply patch"
            raise invalid_options(request, "FieldValueForbidden", "force", why)
        patch = patch_of(request, resource, field_validation(request), write.warnings)

        def change(old: Object) -> Object:
            new = patch(old)
            settle_name(new, attributes.name)
            settle_namespace(new, resource, attributes.namespace)
            return new

        written = await self.registry.update(
            resource, attributes.namespace, attributes.name, change, write, subresource=attributes.subresource
        )
        return self.written(form, written, write)

    async def _apply(self, request: Request, attributes: Attributes, resource: Resource, form: AnyForm) -> Response:
        """Updates what is there, and creates what is not, if that is allowed to whoever applies it."""
        write = self.write(request, attributes)
        config = configuration(request, attributes, resource, write.warnings)
        applier = self.field_managers.applier(request, resource, attributes.subresource, config)
        namespace, name = attributes.namespace, attributes.name
        for _ in range(APPLY_TRIES):
            try:
                written = await self.registry.update(
                    resource, namespace, name, applier.change, write, subresource=attributes.subresource
                )
                break
            except APIError as error:
                if error.reason != "NotFound" or attributes.subresource:
                    raise
            if config["metadata"].get("uid"):
                uid = config["metadata"]["uid"]
                why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                raise conflict(resource.name, resource.group, name, why)
            creating = replace(write, attributes=replace(attributes, verb="create"))
            self.authorize(creating.attributes)
            try:
                written = await self.registry.create(resource, namespace, applier.create(name), creating)
                break
            except APIError as error:
                if error.reason != "AlreadyExists":
                    raise  # else somebody was faster: then it is an update
        else:
            raise conflict(resource.name, resource.group, name)
        return self.written(form, written, write)

    async def delete(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        form = self.form(request, resource)
        given = decode_options(request)
        options = DeleteOptions.of(given)
        write = self.write(request, attributes, given)
        written = await self.registry.delete(resource, attributes.namespace, attributes.name, options, write)
        if written.removed and resource.kind not in RETURNED_WHEN_DELETED:
            status = _deleted(resource, decode(resource, written.item))
            return self.warned(respond(status, 200, form.content_type), write)
        code = 202 if not written.removed and options.propagation == "Foreground" else 200
        return self.warned(Response(code, form.one(written.item), form.content_type), write)

    async def deletecollection(self, request: Request, attributes: Attributes, resource: Resource) -> Response:
        """Deletes one by one; what went meanwhile is passed over. Preconditions are each object's own."""
        form = self.form(request, resource)
        given = decode_options(request)
        write = self.write(request, attributes, given)
        selection = list_options(request)
        listed = await self.lister.page(resource, attributes.namespace, selection)
        items = []
        for entry in listed.entries:
            one = replace(write, attributes=replace(attributes, name=entry.name, namespace=entry.namespace))
            try:
                deleted = await self.registry.delete(
                    resource, entry.namespace, entry.name, DeleteOptions.of(given), one
                )
            except APIError as error:
                if error.reason != "NotFound":
                    raise
                continue
            items.append(deleted.item)
        return self.warned(Response(200, form.many(items, listed.metadata), form.content_type), write)

    def write(self, request: Request, attributes: Attributes, options: Mapping[str, Any] | None = None) -> Write:
        """The circumstances of a request's write. Raises Invalid for a dryRun that is not `All`."""
        dry_run = [value for key, value in request.query if key == "dryRun"]
        for value in dry_run:
            if value != "All":
                raise APIError("Invalid", f'dryRun: Unsupported value: "{value}": supported values: "All"')
        given = options if options is not None else dict(request.query)
        return Write(attributes, self.admission, bool(dry_run), given)

    def tracked(self, request: Request, attributes: Attributes, resource: Resource) -> Write:
        """The circumstances of a write whose author owns what it sets."""
        write = self.write(request, attributes)
        write.tracker = self.field_managers.tracker(request, resource, attributes.subresource)
        return write

    def written(self, form: AnyForm, written: Written, write: Write) -> Response:
        return self.warned(Response(201 if written.created else 200, form.one(written.item), form.content_type), write)

    def warned(self, response: Response, write: Write) -> Response:
        """Puts the write's warnings into the answer's headers."""
        if write.warnings:
            response.headers["warning"] = warning_header(write.warnings)
        return response


def warning_header(warnings: list[str]) -> str:
    """Each warning once, as `299 - "text"`."""
    values = []
    left = MAX_WARNINGS_CHARACTERS
    for text in dict.fromkeys(warnings):
        quoted = '299 - "' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'
        left -= len(quoted)
        if left < 0:
            break
        values.append(quoted)
    return ", ".join(values)


def _deleted(resource: Resource, obj: Object) -> Object:
    """The Status that answers a DELETE."""
    details = {"name": obj["metadata"]["name"], "group": resource.group, "kind": resource.name}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {**{k: v for k, v in details.items() if v}, "uid": obj["metadata"]["uid"]},
    }
