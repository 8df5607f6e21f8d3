"""What a request's method and path say: the verb, and which resource, object and subresource. Pure.

    GET /apis/apps/v1/namespaces/a/deployments          list  apps/v1 deployments  namespace a
    GET /api/v1/namespaces/a/pods/x/log                 get   v1 pods/log          namespace a  name x
    GET /api/v1/watch/pods                              watch v1 pods              (the old form of ?watch=true)
    GET /api/v1/namespaces/a                            get   v1 namespaces        namespace a  name a
    GET /healthz                                        get   no resource

Source: upstream's RequestInfo; authorization and admission see exactly this.
"""

import re
from dataclasses import dataclass

from kaa.api.errors import APIError, bad_request
from kaa.api.selectors import parse_field_selector
from kaa.server.request import Request

VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

COLLECTION_VERBS = {"get": "list", "delete": "deletecollection"}
"""What a verb becomes when no object is named."""

NAMESPACE_SUBRESOURCES = ("status", "finalize")
"""`/api/v1/namespaces/a/status` is a's status, where `/api/v1/namespaces/a/pods` is another resource."""

INT64_BOUND = 1 << 63
"""Integers in a query are Go's int64: from minus this on, and below it."""

TRUE = ("", "1", "t", "T", "true", "TRUE", "True")
"""Values of a boolean query parameter that is given and means yes."""


@dataclass(slots=True)
class RequestInfo:
    """Never changed after it was made."""

    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""  # what follows the subresource: the path to proxy to
    is_collection: bool = False


def flag(request: Request, name: str) -> bool:
    """A boolean query parameter: absent is no, and so is `false`."""
    return any(key == name and value in TRUE for key, value in request.query)


def parse_int64(text: str) -> int:
    """An integer query parameter. Raises BadRequest in Go's words."""
    problem = "invalid syntax"
    if re.fullmatch("[+-]?[0-9]+", text):
        # No number with more digits than these is within the bound, whatever zeros it begins with.
        number = int(text) if len(text.lstrip("+-0")) < 20 else INT64_BOUND
        if -INT64_BOUND <= number < INT64_BOUND:
            return number
        problem = "value out of range"
    raise bad_request(f'strconv.ParseInt: parsing "{text}": {problem}')


def request_info(request: Request) -> RequestInfo:
    parts = [part for part in request.path.split("/") if part]
    root = parts[0] if parts else ""
    if not ((root == "api" and len(parts) >= 3) or (root == "apis" and len(parts) >= 4)):
        return RequestInfo(request.method.lower())
    group, version, rest = ("", parts[1], parts[2:]) if root == "api" else (parts[1], parts[2], parts[3:])
    verb = VERBS.get(request.method, request.method.lower())
    if rest[0] == "watch" and len(rest) > 1:
        verb, rest = "watch", rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    plural, name, subresource = [*rest[:3], "", ""][:3] if len(rest) < 3 else rest[:3]
    is_collection = not name
    if is_collection:
        verb, name = _of_collection(request, verb)
    return RequestInfo(
        verb, True, group, version, plural, namespace, name, subresource, "/".join(rest[3:]), is_collection
    )


def _of_collection(request: Request, verb: str) -> tuple[str, str]:
    """The verb on a collection, and the one name that its field selector allows, which RBAC may know."""
    verb = COLLECTION_VERBS.get(verb, verb)
    if verb == "list" and flag(request, "watch"):
        verb = "watch"
    selector = request.parameter("fieldSelector") if verb in ("list", "watch", "deletecollection") else ""
    if not selector:
        return verb, ""
    try:
        return verb, parse_field_selector(selector).required("metadata.name") or ""
    except APIError:
        return verb, ""  # refused later, by whoever lists
