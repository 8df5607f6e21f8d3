"""From a request's attributes to the handler that answers it. Everything here comes from the kinds' rows.

What the path names must exist (404), then the verb must be one that the row has (405). A handler of the chain's
comes first, then a subresource's own, then the verb on the object, with the subresource as its restriction.
"""

from collections.abc import Mapping

from kaa.api.errors import APIError
from kaa.api.resource import Catalog, Resource
from kaa.server.chain import Handler
from kaa.server.request_info import RequestInfo
from kaa.server.storage import is_stored

LONG_RUNNING_SUBRESOURCES = frozenset({"attach", "exec", "log", "portforward", "proxy"})
"""Requests through these may last; they don't count against the limit of requests in flight."""

UPDATE_VERBS = frozenset({"get", "patch", "update"})
"""Verbs that a subresource without a handler of its own shares with the object."""


def no_such_resource() -> APIError:
    return APIError("NotFound", "the server could not find the requested resource")


def no_such_method() -> APIError:
    return APIError("MethodNotAllowed", "the server does not allow this method on the requested resource")


def is_long_running(info: RequestInfo) -> bool:
    return info.verb == "watch" or info.subresource in LONG_RUNNING_SUBRESOURCES


def find(catalog: Catalog, info: RequestInfo) -> Resource:
    """The row that the path names. Raises NotFound."""
    resource = catalog.find(info.group, info.version, info.plural)
    if resource is None:
        raise no_such_resource()
    is_namespace = resource.kind == "Namespace" and not resource.group
    if not resource.namespaced and info.namespace and not is_namespace:
        raise no_such_resource()
    if resource.namespaced and not info.namespace and (info.name and not info.is_collection):
        raise no_such_resource()
    if info.subresource and resource.subresource(info.subresource) is None:
        raise no_such_resource()
    return resource


def check_verb(resource: Resource, info: RequestInfo) -> None:
    """Raises MethodNotAllowed for a verb that the row does not have."""
    if info.subresource == "proxy" and info.verb == "options":
        return  # a proxy passes every method on; discovery knows no verb for this one
    subresource = resource.subresource(info.subresource) if info.subresource else None
    verbs = subresource.verbs if subresource else resource.verbs
    needs_namespace = info.verb in ("create", "deletecollection") and resource.namespaced
    if info.verb not in verbs or (needs_namespace and not info.namespace):
        raise no_such_method()
    if not info.subresource and info.verb == "create" and not info.is_collection:
        raise no_such_method()
    if info.verb in ("update", "patch") and info.is_collection:
        raise no_such_method()


def handler_of(
    resource: Resource,
    info: RequestInfo,
    verbs: Mapping[str, Handler],
    subresources: Mapping[tuple[str, str], Handler],
    virtual: Mapping[str, Handler],
) -> Handler:
    """Who answers. `subresources` is keyed by (kind, subresource), with kind "" for any kind."""
    if info.subresource:
        for key in ((resource.kind, info.subresource), ("", info.subresource)):
            if key in subresources:
                return subresources[key]
        if info.verb not in UPDATE_VERBS:
            raise no_such_method()
    elif resource.kind in virtual:
        return virtual[resource.kind]
    elif not is_stored(resource):
        raise no_such_method()
    return verbs[info.verb]
