"""A component: something that runs beside the API server and knows the world only through its client.

Component("kube-scheduler", User("system:kube-scheduler", ("system:authenticated",)), run_scheduler)
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from kaa.api.objects import Object
from kaa.client.rest import Client
from kaa.lib.clock import Clock
from kaa.server.authentication.service_accounts import USER_PREFIX, groups_of
from kaa.server.request import User

AUTHENTICATED = "system:authenticated"

Run: TypeAlias = Callable[[Client, Clock], Awaitable[None]]
"""Runs until cancelled; all that it holds ends with it. Called anew, with a fresh client, whenever it is restarted."""


@dataclass(frozen=True, slots=True)
class Component:
    """`name` is unique in its world: "kube-controller-manager", "kube-scheduler", "node/node-1"."""

    name: str
    user: User
    run: Run
    addons: tuple[Object, ...] = ()  # objects that a world with this component has from its start


def user_named(name: str, *groups: str) -> User:
    """A user whom authentication has let in; a service account has the groups that its token would give it."""
    if name.startswith(USER_PREFIX):
        namespace = name.removeprefix(USER_PREFIX).partition(":")[0]
        groups = tuple(dict.fromkeys((*groups, *groups_of(namespace))))
    return User(name, (*groups, AUTHENTICATED))
