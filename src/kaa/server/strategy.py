"""What happens to an object on its way to the store, apart from metadata: prepared, then validated.

The row's own functions do what differs between kinds; which parts of an object each subresource may change is the
table below. Source: the strategies of upstream's registries.
"""

from collections.abc import Callable

from kaa.api import validation
from kaa.api.errors import invalid
from kaa.api.objects import Object
from kaa.api.resource import Resource
from kaa.server.object_meta import STATUS_ON_CREATE, before_status_update, before_update, keep, keep_server_metadata


def prepare_for_create(resource: Resource, obj: Object) -> None:
    """A status is its controller's to write, not the creator's."""
    if resource.subresource("status") is not None and resource.kind not in STATUS_ON_CREATE and obj.get("status"):
        obj["status"] = {}
        if resource.defaults is not None:
            resource.defaults(obj)  # some kinds have a first status, which is a default
    if resource.prepare_for_create is not None:
        resource.prepare_for_create(obj)


def prepare_for_update(resource: Resource, subresource: str, new: Object, old: Object) -> None:
    PREPARE[subresource](new, old, resource)


def _prepare_object(new: Object, old: Object, resource: Resource) -> None:
    before_update(new, old, resource)
    if resource.prepare_for_update is not None:
        resource.prepare_for_update(new, old)


def _keeping_all_but(*paths: str) -> Callable[[Object, Object, Resource], None]:
    """An update that may change only these fields (dotted, two deep); everything else is as it was."""

    def prepare(new: Object, old: Object, resource: Resource) -> None:
        changed = {path: (new.get(path.split(".")[0]) or {}).get(path.split(".")[1]) for path in paths}
        version = new["metadata"].get("resourceVersion")
        new.clear()
        new.update(old)
        new["metadata"] = {**old["metadata"], **({"resourceVersion": version} if version else {})}
        for path, value in changed.items():
            part, name = path.split(".")
            new[part] = {**(old.get(part) or {}), name: value}
            if value is None:
                del new[part][name]

    return prepare


def _prepare_approval(new: Object, old: Object, resource: Resource) -> None:
    """An approval changes conditions, and metadata as every update; not the request, nor the certificate."""
    given = new.get("status") or {}
    keep_server_metadata(new, old)
    keep(new, old, "spec")
    new["status"] = dict(old.get("status") or {})
    keep(new["status"], given, "conditions")


def _prepare_resize(new: Object, old: Object, resource: Resource) -> None:
    """A resize changes the resources and resize policies of containers, and nothing else of the pod."""
    wanted = {
        (kind, container.get("name")): container
        for kind in ("containers", "initContainers")
        for container in (new.get("spec") or {}).get(kind) or ()
    }
    spec = dict(old["spec"])
    for kind in ("containers", "initContainers"):
        if kind in spec:
            spec[kind] = [_resized(container, wanted.get((kind, container["name"]))) for container in spec[kind]]
    keep_server_metadata(new, old)
    version = new["metadata"].get("resourceVersion")
    new.clear()
    new.update(old)
    new["metadata"] = {**old["metadata"], **({"resourceVersion": version} if version else {})}
    new["spec"] = spec


def _resized(container: Object, wanted: Object | None) -> Object:
    if wanted is None:
        return container
    changed: Object = {field: wanted[field] for field in ("resources", "resizePolicy") if field in wanted}
    return {**container, **changed}


PREPARE: dict[str, Callable[[Object, Object, Resource], None]] = {
    "": _prepare_object,
    "status": before_status_update,
    "scale": _prepare_object,
    "finalize": _keeping_all_but("spec.finalizers"),
    "approval": _prepare_approval,
    "ephemeralcontainers": _keeping_all_but("spec.ephemeralContainers"),
    "binding": lambda new, old, resource: None,
    "eviction": lambda new, old, resource: None,
    "resize": _prepare_resize,
}
"""What an update through each subresource may change; "" is the object itself."""


NOT_JUDGED = frozenset({"binding"})
"""Subresources whose handler has judged all that they change. Upstream writes a binding without validating the pod."""


def validate(resource: Resource, new: Object, old: Object | None, subresource: str = "") -> None:
    """Raises Invalid with every violated rule."""
    if subresource in NOT_JUDGED:
        return
    errors = validation.validate(resource, new, old, subresource)
    if errors:
        raise invalid(resource.kind, resource.group, new["metadata"].get("name", ""), errors)
