"""Impersonation: a request on behalf of somebody else, by whoever may `impersonate` that user, group, uid or extra."""

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

from kaa.api.errors import bad_request
from kaa.server.request import Attributes, Request, User

USER, GROUP, UID, EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
SERVICE_ACCOUNT = "system:serviceaccount:"


def is_impersonating(headers: Mapping[str, str]) -> bool:
    return any(name.startswith("impersonate-") for name in headers)


def impersonate(request: Request, authorize: Callable[[Attributes], None]) -> User:
    """Who the request is to be taken for. `authorize` raises Forbidden for each thing that may not be claimed."""
    headers = request.headers
    name = headers.get(USER, "")
    groups = tuple(group.strip() for group in headers.get(GROUP, "").split(",") if group.strip())
    uid = headers.get(UID, "")
    extra = {
        unquote(key.removeprefix(EXTRA)): tuple(value.strip() for value in values.split(","))
        for key, values in headers.items()
        if key.startswith(EXTRA)
    }
    if not (name or groups or uid or extra):
        return request.user
    if not name:
        raise bad_request(f"requested {_shown(uid, groups, extra)} without impersonating a user name")
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


def _shown(uid: str, groups: tuple[str, ...], extra: dict[str, tuple[str, ...]]) -> str:
    """A user without name, as Go writes it in upstream's message."""
    listed = "{" + ", ".join(f'"{group}"' for group in groups) + "}" if groups else "(nil)"
    values = {key: ", ".join(f'"{value}"' for value in extra[key]) for key in sorted(extra)}
    mapped = "{" + ", ".join(f'"{key}":[]string{{{text}}}' for key, text in values.items()) + "}" if extra else "(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:"{uid}", Groups:[]string{listed}, Extra:map[string][]string{mapped}}}'


def _groups_of(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """The groups that come with a name: everybody who has one is authenticated; service accounts have theirs."""
    if name == "system:anonymous":
        return groups or ("system:unauthenticated",)
    if name.startswith(SERVICE_ACCOUNT) and name.count(":") == 3 and not groups:
        namespace = name.split(":")[2]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return groups if "system:authenticated" in groups else (*groups, "system:authenticated")
