"""VolumeBinding: a pod goes where its volumes are, or can be; and claims that wait for a node are bound before the pod.

`volume_plan.py` says where a pod's claims let it go. Once a node is chosen what it gets there is promised (`reserve`),
so that the next pod gets something else, and before the pod is bound it is written (`pre_bind`): a free volume names
its claim, a claim without one names the node for which a volume is to be made. Others do the rest; the pod waits.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kaa.api.errors import APIError
from kaa.api.objects import Object, annotations_of, copy_object, is_being_deleted, name_of, namespace_of
from kaa.api.volume_binding import SELECTED_NODE, bound_volume, capacity, class_of, phase_of, requested
from kaa.client.transport import TransportError
from kaa.scheduler.cluster_events import ClusterEvent, Event, always
from kaa.scheduler.derived import Rows, Scores
from kaa.scheduler.framework import Placement, Plugin, Refused, Rejection, reject_pod
from kaa.scheduler.plugins.claims import CLAIM, CLASS, VOLUME, claim_names, is_bound, is_of_pod, volume_name, waits
from kaa.scheduler.plugins.node_selector import holds_for
from kaa.scheduler.plugins.shape import MAX_CUSTOM_SCORE, MAX_UTILIZATION, Shape, percent_used, rounded
from kaa.scheduler.plugins.volume_plan import CAPACITY, DRIVER, NONE, Plan, claims_of, make_plan
from kaa.scheduler.plugins.volume_stock import stock_of
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot, View

NAME = "VolumeBinding"
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
OUT_OF_REACH = "node(s) didn't match PersistentVolume's node affinity"
UNMATCHED = "node(s) didn't find available persistent volumes to bind"
TOO_FULL = "node(s) did not have enough free storage"
VOLUME_MISSING = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"

BIND_TIMEOUT_SECONDS = 600
POLL_SECONDS = 0.2
FEW_USED_IS_BEST = (
    {"utilization": 0, "score": MAX_CUSTOM_SCORE},
    {"utilization": MAX_UTILIZATION, "score": 0},
)


def pre_reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    if (problem := next(problems(pod, snapshot), None)) is not None:
        yield reject_pod(snapshot, problem)


def problems(pod: PodInfo, snapshot: Snapshot) -> Iterator[str]:
    """Why no node will do."""
    view, namespace = snapshot.view, pod.namespace
    for wanted in claim_names(pod):
        name = wanted.name
        claim = view.get(CLAIM, name, namespace)
        if claim is None:
            waits_for = f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
            yield waits_for if wanted.ephemeral else f'persistentvolumeclaim "{name}" not found'
        elif phase_of(claim) == "Lost":
            yield f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume_name(claim)}"'
        elif is_being_deleted(claim):
            yield f'persistentvolumeclaim "{name}" is being deleted'
        elif wanted.ephemeral and not is_of_pod(claim, pod):
            yield f"PVC {namespace}/{name} was not created for pod {namespace}/{pod.name} (pod is not owner)"
    if any(not is_bound(claim) and not waits(claim, view) for claim in claims_of(pod, snapshot)):
        yield UNBOUND


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    if not has_claims(pod):
        return
    plan = make_plan(pod, snapshot)
    yield Rejection(plan.out_of_reach, OUT_OF_REACH, resolvable=False)
    yield Rejection(plan.unmatched, UNMATCHED, resolvable=False)
    yield Rejection(plan.too_full, TOO_FULL, resolvable=False)
    yield Rejection(plan.volume_missing, VOLUME_MISSING, resolvable=False)


def has_claims(pod: PodInfo) -> bool:
    return bool(pod.volumes) and next(claim_names(pod), None) is not None


@dataclass(slots=True)
class Use:
    """What a pod would use of a class's storage on every node, in bytes."""

    requested: Scores
    capacity: Scores
    rows: Rows


def score_with(shape: Shape) -> Any:
    def score(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Scores | None:
        if not has_claims(pod):
            return None
        uses = uses_of(make_plan(pod, snapshot), snapshot.size)
        if not uses:
            return None
        total: Scores = np.zeros(snapshot.size)
        classes: Scores = np.zeros(snapshot.size)
        for use in uses:
            total += np.where(use.rows, shape(percent_used(use.requested, use.capacity)), 0)
            classes += use.rows
        return rounded(total / np.maximum(classes, 1))

    return score


def uses_of(plan: Plan, size: int) -> list[Use]:
    """By class; where free volumes are used, new ones do not count."""
    uses: dict[str, Use] = {}

    def use_of(storage_class: str) -> Use:
        if storage_class not in uses:
            uses[storage_class] = Use(np.zeros(size), np.zeros(size), np.zeros(size, np.bool_))
        return uses[storage_class]

    static: Rows = np.zeros(size, np.bool_)
    for matched in plan.matched:
        found = matched.column != NONE
        if found.any():
            use = use_of(class_of(matched.claim))
            sizes = np.array([capacity(volume).scaled(1) for volume in matched.volumes], np.float64)
            use.capacity[found] += sizes[matched.column[found]]
            use.requested[found] += requested(matched.claim).scaled(1)
            use.rows |= found
            static |= found
    for provisioned in plan.provisioned:
        counted = provisioned.rows & (provisioned.room != NONE) & ~static
        if counted.any():
            use = use_of(class_of(provisioned.claim))
            use.capacity[counted] = provisioned.room[counted]
            use.requested[counted] += requested(provisioned.claim).scaled(1)
            use.rows |= counted
    return list(uses.values())


def reserve(placement: Placement) -> None:
    pod, snapshot = placement.pod, placement.snapshot
    if not has_claims(pod):
        return
    row = snapshot.row_of[placement.node_name]
    plan, stock = make_plan(pod, snapshot), stock_of(snapshot)
    promises: list[Object] = []
    for matched in plan.matched:
        volume = matched.volume(row)
        if volume is not None and (bound := bound_volume(volume, matched.claim)) is not None:
            promises.append(bound)
    promises += [with_node(new.claim, placement.node_name) for new in plan.provisioned if new.rows[row]]
    for promise in promises:
        stock.promise(promise)
    placement.state[NAME] = promises
    placement.state[LABELS] = snapshot.labels.get(row, {})


LABELS = f"{NAME}/labels"
"""Of the node that was chosen, as they were then."""


def with_node(claim: Object, node_name: str) -> Object:
    """The claim once it says for which node it wants a volume."""
    chosen = copy_object(claim)
    chosen["metadata"].setdefault("annotations", {})[SELECTED_NODE] = node_name
    return chosen


def unreserve(placement: Placement) -> None:
    for promise in placement.state.get(NAME, ()):
        stock_of(placement.snapshot).take_back(promise)


def pre_bind_within(timeout_seconds: float) -> Any:
    async def pre_bind(placement: Placement) -> None:
        promises: list[Object] = placement.state.get(NAME, [])
        waiting = [claim for claim in claims_to_wait_for(placement) if not is_bound(claim)]
        if not promises and not waiting:
            return
        clock = placement.context.clock
        deadline = clock.monotonic() + timeout_seconds
        written = [await write(promise, placement) for promise in promises]

        async def done() -> None:
            while not is_done(written, placement):
                if clock.monotonic() >= deadline:
                    raise failed("context deadline exceeded")
                await clock.sleep(POLL_SECONDS)

        await placement.context.uncounted(done())

    return pre_bind


def claims_to_wait_for(placement: Placement) -> list[Object]:
    view, pod = placement.context.view, placement.pod
    found = (view.get(CLAIM, claim.name, pod.namespace) for claim in claim_names(pod))
    return [claim for claim in found if claim is not None]


def failed(why: str) -> Refused:
    return Refused(f'running PreBind plugin "{NAME}": binding volumes: {why}')


async def write(promise: Object, placement: Placement) -> Object:
    """The object as it is then. What others changed meanwhile is a Conflict, and the pod is tried again."""
    try:
        return await placement.context.client.update(promise)
    except (APIError, TransportError) as error:
        raise Refused(f'running PreBind plugin "{NAME}": {error}') from None


def is_done(written: Sequence[Object], placement: Placement) -> bool:
    """Whether all claims of the pod are bound. Raises Refused for what will not come about."""
    view, pod = placement.context.view, placement.pod
    for obj in written:
        told = view.get(obj["kind"], name_of(obj), namespace_of(obj))
        if told is None:
            raise failed(f'{obj["kind"].lower()} "{name_of(obj)}" not found')
        if is_older(told, obj):
            return False
        if obj["kind"] == VOLUME:
            if not (told["spec"].get("claimRef") or {}).get("uid"):
                raise failed(f'ClaimRef got reset for pv "{name_of(obj)}"')
        elif annotations_of(told).get(SELECTED_NODE) != placement.node_name:
            # Whoever could not make the volume takes the annotation away.
            raise failed(f'provisioning failed for PVC "{name_of(obj)}"')
    return all(is_at_hand(name.name, pod.namespace, placement, view) for name in claim_names(pod))


def is_older(told: Object, written: Object) -> bool:
    """Versions are numbers that grow."""
    versions = [obj["metadata"].get("resourceVersion", "0") for obj in (told, written)]
    return int(versions[0]) < int(versions[1])


def is_at_hand(name: str, namespace: str, placement: Placement, view: View) -> bool:
    claim = view.get(CLAIM, name, namespace)
    if claim is None:
        raise failed(f'persistentvolumeclaim "{name}" not found')
    volume = view.get(VOLUME, volume_name(claim)) if volume_name(claim) else None
    if volume is not None and not is_in_reach(volume, placement):
        reach = f'node affinity doesn\'t match node "{placement.node_name}": no matching NodeSelectorTerms'
        raise failed(f'pv "{name_of(volume)}" {reach}')
    return volume is not None and is_bound(claim)


def is_in_reach(volume: Object, placement: Placement) -> bool:
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    labels: Mapping[str, str] = placement.state.get(LABELS, {})
    return required is None or holds_for(required["nodeSelectorTerms"], labels, placement.node_name)


def is_its_claim(pod: PodInfo, event: Event) -> bool:
    claim = event.new
    if claim is None or namespace_of(claim) != pod.namespace:
        return False
    return name_of(claim) in {wanted.name for wanted in claim_names(pod)}


def make(args: Mapping[str, Any]) -> Plugin:
    """VolumeBindingArgs."""
    return Plugin(
        name=NAME,
        pre_reject=pre_reject,
        reject=reject,
        score=score_with(Shape(args.get("shape") or FEW_USED_IS_BEST)),
        reserve=reserve,
        unreserve=unreserve,
        pre_bind=pre_bind_within(args.get("bindTimeoutSeconds", BIND_TIMEOUT_SECONDS)),
        helped_by={
            ClusterEvent.NODE_ADDED: always,
            ClusterEvent.NODE_LABELS: always,
            CLAIM: is_its_claim,
            VOLUME: always,
            CLASS: always,
            "CSINode": always,
            DRIVER: always,
            CAPACITY: always,
        },
    )
