"""Impersonation: a request on behalf of somebody else, by whoever may `impersonate` that user, group, uid or extra."""

from collections.abc import Callable, Iterator
from urllib.parse import unquote

from kaa.api.errors import APIError
from kaa.server.request import Attributes, Request, User

EXTRA = "impersonate-extra-"
SERVICE_ACCOUNT = "system:serviceaccount:"


def impersonate(request: Request, authorize: Callable[[Attributes], None]) -> User:
    """Who the request is to be taken for. `authorize` raises Forbidden for each thing that may not be claimed."""
    headers = request.headers
    name = headers.get("impersonate-user", "")
    if not name:
        message = "requested groups, extra, or uid without impersonating a user"
        raise APIError("InternalError", f"Internal error occurred: {message}")
    groups = tuple(group.strip() for group in headers.get("impersonate-group", "").split(",") if group.strip())
    uid = headers.get("impersonate-uid", "")
    extra = {
        unquote(key.removeprefix(EXTRA)): tuple(value.strip() for value in values.split(","))
        for key, values in headers.items()
        if key.startswith(EXTRA)
    }
    for attributes in _claims(request.user, name, groups, uid, extra):
        authorize(attributes)
    return User(name, _groups_of(name, groups), uid, extra)


def _claims(
    user: User, name: str, groups: tuple[str, ...], uid: str, extra: dict[str, tuple[str, ...]]
) -> Iterator[Attributes]:
    """Everything that is claimed, as questions to the authorizer."""
    if name.startswith(SERVICE_ACCOUNT) and name.count(":") == 3:
        namespace, account = name.removeprefix(SERVICE_ACCOUNT).split(":")
        yield Attributes(
            user, "impersonate", "", "v1", "serviceaccounts", namespace=namespace, name=account, is_resource=True
        )
    else:
        yield Attributes(user, "impersonate", "", "v1", "users", name=name, is_resource=True)
    for group in groups:
        yield Attributes(user, "impersonate", "", "v1", "groups", name=group, is_resource=True)
    authentication = "authentication.k8s.io"
    if uid:
        yield Attributes(user, "impersonate", authentication, "v1", "uids", name=uid, is_resource=True)
    for key, values in extra.items():
        for value in values:
            yield Attributes(user, "impersonate", authentication, "v1", "userextras", key, name=value, is_resource=True)


def _groups_of(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """The groups that come with a name: everybody who has one is authenticated; service accounts have theirs."""
    if name == "system:anonymous":
        return groups or ("system:unauthenticated",)
    if name.startswith(SERVICE_ACCOUNT) and name.count(":") == 3 and not groups:
        namespace = name.split(":")[2]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return groups if "system:authenticated" in groups else (*groups, "system:authenticated")
