"""Carrying a preemption out: what `preemption.py` decided.

At once: the node's room is kept for the pod, less important pods lose theirs there, and the victims count as leaving.
Then the victims are told why (their DisruptionTarget condition, an event) and deleted, each with its own grace; the
pod waits in the queue until they are gone. A victim that cannot be deleted is one no more.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from kaa.api.errors import APIError
from kaa.api.objects import Object
from kaa.client.transport import TransportError
from kaa.lib.clock import rfc3339
from kaa.scheduler.framework import Context, Nomination
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.reporting import reference
from kaa.scheduler.tracker import Tracker

log = logging.getLogger(__name__)

PLUGIN = "DefaultPreemption"


def begin(pod: PodInfo, nomination: Nomination, tracker: Tracker) -> list[PodInfo]:
    """Returns the less important pods that lose their nomination."""
    if nomination.node_name is None:
        return []
    losers = tracker.nominate(pod, nomination.node_name or "")
    for victim in nomination.victims:
        tracker.replace(replace(victim, terminating=True))
    return losers


async def finish(
    pod: PodInfo, nomination: Nomination, losers: Sequence[PodInfo], tracker: Tracker, context: Context
) -> None:
    await asyncio.gather(
        *(_evict(victim, pod, nomination.node_name or "", tracker, context) for victim in nomination.victims),
        *(_withdraw(loser, context) for loser in losers),
    )


async def _evict(victim: PodInfo, pod: PodInfo, node_name: str, tracker: Tracker, context: Context) -> None:
    waiter = context.permits.get(victim.key)
    if waiter is not None:  # not bound yet: it need not be deleted
        waiter.refuse(PLUGIN, "preempted")
        return
    if victim.terminating:
        return
    name, namespace = victim.name, victim.namespace
    patch = {"metadata": {"uid": victim.uid}, "status": {"conditions": [target_of(pod, rfc3339(context.clock.now()))]}}
    try:
        await context.client.patch("Pod", name, patch, namespace, patch_type="strategic", subresource="status")
        await context.client.delete("Pod", name, namespace, uid=victim.uid)
    except APIError as error:
        if error.reason not in ("NotFound", "Conflict"):  # gone, and perhaps made anew
            log.warning("preempting %s/%s failed: %s", namespace, name, error)
            tracker.replace(victim)
        return
    except TransportError as error:
        log.warning("preempting %s/%s failed: %s", namespace, name, error)
        tracker.replace(victim)
        return
    message = f"Preempted by pod {pod.uid} on node {node_name}"
    context.recorder.record(reference(victim), "Normal", "Preempted", message)


def target_of(pod: PodInfo, now: str) -> Object:
    """The DisruptionTarget condition of the pod's victims."""
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": f"{pod.scheduler_name}: preempting to accommodate a higher priority pod",
        "lastTransitionTime": now,
    }


async def _withdraw(loser: PodInfo, context: Context) -> None:
    patch = {"metadata": {"uid": loser.uid}, "status": {"nominatedNodeName": None}}
    try:
        await context.client.patch("Pod", loser.name, patch, loser.namespace, subresource="status")
    except (APIError, TransportError) as error:
        log.info("withdrawing the nomination of %s/%s failed: %s", *loser.key, error)
