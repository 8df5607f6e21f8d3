"""A pod's way from the decision to its node: reserve, permit, pre_bind, bind. Many are on their way at once.

`reserve` and `permit` are asked at once after the decision, before the next one is made; the rest is awaited. If any
plugin refuses, all give back what they reserved, in reverse order; who has reserved nothing does nothing then.

Whether a binding was written is never guessed. A write that was not answered is tried again until it is: the server
then says that the pod has a node, and which. Meanwhile the pod keeps its place in the snapshot.
"""

import asyncio
import logging
from collections.abc import Sequence

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.client.rest import Client
from kaa.client.transport import TransportError
from kaa.lib.backoff import Backoff
from kaa.scheduler.decision import describe
from kaa.scheduler.framework import WRITE_SECONDS, Placement, Plugin, Refused
from kaa.scheduler.pod_info import PodInfo

log = logging.getLogger(__name__)

UNANSWERED = Backoff(initial_seconds=0.2, limit_seconds=5.0)


class Stopped(Exception):
    """The pod does not come to its node. `plugin` refused it, if one did."""

    def __init__(self, message: str, plugin: str = "") -> None:
        super().__init__(message)
        self.plugin = plugin


def reserve(placement: Placement, plugins: Sequence[Plugin]) -> None:
    """Raises Stopped; `unreserve` must follow then, here and in all that comes later."""
    for plugin in plugins:
        if plugin.reserve is None:
            continue
        try:
            plugin.reserve(placement)
        except Refused as refusal:
            raise Stopped(str(refusal), plugin.name) from None
        except Exception as error:  # whatever somebody's plugin raises is this pod's affair alone
            raise Stopped(f'running Reserve plugin "{plugin.name}": {describe(error)}') from error


def unreserve(placement: Placement, plugins: Sequence[Plugin]) -> None:
    for plugin in reversed(plugins):
        if plugin.unreserve is not None:
            try:
                plugin.unreserve(placement)
            except Exception:  # the others must still give back theirs
                log.exception("plugin %s failed to unreserve for %s/%s", plugin.name, *placement.pod.key)


def permit(placement: Placement, plugins: Sequence[Plugin]) -> dict[str, float]:
    """The plugins for which the pod must wait, with the seconds that each gives it. Raises Stopped."""
    waits: dict[str, float] = {}
    for plugin in plugins:
        if plugin.permit is None:
            continue
        try:
            seconds = plugin.permit(placement)
        except Refused as refusal:
            raise Stopped(str(refusal), plugin.name) from None
        except Exception as error:  # as above
            raise Stopped(f'running Permit plugin "{plugin.name}": {describe(error)}') from error
        if seconds is not None:
            waits[plugin.name] = seconds
    return waits


def may_take_long(pod: PodInfo, plugins: Sequence[Plugin]) -> bool:
    """Whether `pre_bind` may wait for others, for minutes: for a volume to be made, or a device to be had."""
    ours = bool(pod.volumes or pod.resource_claims)
    return ours or any(plugin.foreign and plugin.pre_bind is not None for plugin in plugins)


async def pre_bind(placement: Placement, plugins: Sequence[Plugin]) -> None:
    for plugin in plugins:
        if plugin.pre_bind is None:
            continue
        try:
            async with asyncio.timeout(WRITE_SECONDS if plugin.foreign else None):
                await plugin.pre_bind(placement)
        except Refused as refusal:
            raise Stopped(str(refusal), plugin.name) from None
        except Exception as error:  # as above
            raise Stopped(f'running PreBind plugin "{plugin.name}": {describe(error)}') from error


async def bind(placement: Placement, plugins: Sequence[Plugin]) -> None:
    """By the first plugin that does; else by a Binding."""
    for plugin in plugins:
        if plugin.bind is None:
            continue
        try:
            async with asyncio.timeout(WRITE_SECONDS if plugin.foreign else None):
                if await plugin.bind(placement):
                    return
        except Refused as refusal:
            raise Stopped(str(refusal), plugin.name) from None
        except Exception as error:  # as above
            raise Stopped(f'running Bind plugin "{plugin.name}": {describe(error)}') from error
    await write_binding(placement)


async def write_binding(placement: Placement) -> None:
    pod, context = placement.pod, placement.context
    unanswered = 0
    while True:
        try:
            body = binding(pod, placement.node_name)
            await context.client.create_subresource("Pod", pod.name, pod.namespace, "binding", body)
            return
        except APIError as error:
            # A write that was not answered may have been done.
            if error.reason == "Conflict" and unanswered and await _node_of(context.client, pod) == placement.node_name:
                return
            if error.code < 500:
                raise Stopped(f"binding rejected: {error}") from None
            log.info("binding %s/%s is uncertain: %s", *pod.key, error)
        except TransportError as error:
            log.info("binding %s/%s was not answered: %s", *pod.key, error)
        unanswered += 1
        await context.clock.sleep(UNANSWERED.delay(unanswered))


async def _node_of(client: Client, pod: PodInfo) -> str:
    found = await client.get("Pod", pod.name, pod.namespace)
    node_name: str = found["spec"].get("nodeName", "") if found["metadata"]["uid"] == pod.uid else ""
    return node_name


def binding(pod: PodInfo, node_name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node_name},
    }
