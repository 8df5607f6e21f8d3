"""The same tests against any API server, upstream's for one: `pytest tests/integration --kubeconfig PATH`.

The server must be one that nobody else uses: a test's controllers take care of everything in it, and what a test made
is removed after it. Time is real then, so tests that wait for minutes are left out.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kaa.api.errors import APIError
from kaa.api.objects import Object, name_of, namespace_of
from kaa.api.resource import Resource
from kaa.client.discovery import discover, with_verbs
from kaa.client.http import HTTPTransport
from kaa.client.kubeconfig import load_kubeconfig
from kaa.client.rest import Client
from kaa.lib.clock import Clock

KUBECONFIG = ""
"""The option's value; "" for the server in this process."""

READY_SECONDS = 30.0
EMPTY_SECONDS = 60.0
KEPT = frozenset({("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt"), ("Endpoints", "kubernetes")})
"""Made anew by controllers as soon as they are gone."""
OF_THE_SERVER = frozenset({"Event", "Lease", "FlowSchema", "PriorityLevelConfiguration", "APIService"})

Found = dict[tuple[str, str, str], tuple[Resource, Object]]
"""By kind, namespace and name."""


def connect(kubeconfig: str) -> Client:
    return Client(HTTPTransport.from_config(load_kubeconfig(kubeconfig), "kaa-tests"))


async def everything(client: Client) -> Found:
    found: Found = {}
    for resource in with_verbs(await discover(client), ("list", "delete")):
        if resource.kind in OF_THE_SERVER:
            continue
        for obj in (await client.list(resource)).items:
            if (resource.kind, name_of(obj)) not in KEPT:
                found[resource.kind, namespace_of(obj), name_of(obj)] = resource, obj
    return found


async def ready(client: Client, clock: Clock) -> None:
    """Until pods can be created: the controllers have given the namespace its service account."""
    deadline = clock.monotonic() + READY_SECONDS
    while True:
        try:
            await client.get("ServiceAccount", "default", "default")
            await client.get("ConfigMap", "kube-root-ca.crt", "default")
        except APIError:
            assert clock.monotonic() < deadline, "no service account in namespace default"
            await clock.sleep(0.1)
        else:
            return


@asynccontextmanager
async def cleaned(client: Client, clock: Clock) -> AsyncIterator[None]:
    """Removes at the end, with the help of the controllers, what was not there at the beginning."""
    await ready(client, clock)
    before = await everything(client)
    try:
        yield
    finally:
        await remove_new(client, clock, before)


async def remove_new(client: Client, clock: Clock, before: Found) -> None:
    deadline = clock.monotonic() + EMPTY_SECONDS
    while left := {key: found for key, found in (await everything(client)).items() if key not in before}:
        assert clock.monotonic() < deadline, f"cannot be removed: {sorted(left)}"
        for resource, obj in left.values():
            await remove(client, resource, obj)
        await clock.sleep(0.3)


async def remove(client: Client, resource: Resource, obj: Object) -> None:
    grace_seconds = 0 if resource.kind == "Pod" else None
    try:
        await client.delete(resource, name_of(obj), namespace_of(obj), grace_seconds=grace_seconds)
    except APIError as error:
        if error.reason not in ("NotFound", "Conflict", "MethodNotAllowed", "Forbidden"):
            raise
