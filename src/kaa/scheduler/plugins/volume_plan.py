"""Where a pod's claims let it go, and what would be done for them there: a pure function over the columns.

A bound claim ties the pod to the nodes that reach its volume. For a claim that waits for its first consumer each node
gets the smallest free volume that it reaches, or else a new one is provisioned, if the class can do so there and has
the room. A pod's claims are served smallest first; what one takes, the next cannot have.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from kaa.api.objects import Object, annotations_of, is_being_deleted, labels_of, name_of
from kaa.api.quantity import Quantity, parse_quantity
from kaa.api.selectors import Requirement, selector_of
from kaa.api.volume_binding import (
    SELECTED_NODE,
    capacity,
    class_of,
    is_for,
    phase_of,
    requested,
    same_attributes_class,
    same_volume_mode,
)
from kaa.scheduler.derived import Ints, Rows
from kaa.scheduler.plugins.claims import CLASS, VOLUME, claim_names, is_bound, volume_name, waits
from kaa.scheduler.plugins.node_selector import rows_of_requirements, rows_of_selector, rows_of_terms
from kaa.scheduler.plugins.volume_stock import VolumeStock, stock_of
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot

DRIVER = "CSIDriver"
CAPACITY = "CSIStorageCapacity"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
NONE = -1


@dataclass(frozen=True, slots=True)
class Matched:
    """For one claim, the volume that each node would get: `column[row]` is its place in `volumes`, or NONE."""

    claim: Object
    volumes: list[Object]
    column: Ints

    def volume(self, row: int) -> Object | None:
        return self.volumes[self.column[row]] if self.column[row] != NONE else None


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A claim that gets a new volume on some nodes. `room[row]`: bytes that the node's storage has, NONE: unknown."""

    claim: Object
    rows: Rows
    room: Ints


@dataclass(slots=True)
class Plan:
    """Rows by what is wrong with them; of the others, what to do for each claim."""

    out_of_reach: Rows  # of a bound claim's volume
    volume_missing: Rows  # that a claim is bound to
    unmatched: Rows
    too_full: Rows
    matched: list[Matched] = field(default_factory=list)
    provisioned: list[Provisioned] = field(default_factory=list)


def claims_of(pod: PodInfo, snapshot: Snapshot) -> list[Object]:
    """Each once; those that exist."""
    stock = stock_of(snapshot)
    names = dict.fromkeys(claim.name for claim in claim_names(pod))
    return [claim for name in names if (claim := stock.claim(name, pod.namespace)) is not None]


def reach(volume: Object, snapshot: Snapshot) -> Rows:
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return snapshot.present if required is None else rows_of_terms(required["nodeSelectorTerms"], snapshot)


def make_plan(pod: PodInfo, snapshot: Snapshot) -> Plan:
    plan = Plan(snapshot.none(), snapshot.none(), snapshot.none(), snapshot.none())
    claims = claims_of(pod, snapshot)
    _reach_bound([claim for claim in claims if is_bound(claim)], plan, snapshot)
    waiting = [claim for claim in claims if waits(claim, snapshot.view)]
    if waiting:
        _serve(waiting, plan, snapshot)
    return plan


def _reach_bound(claims: Iterable[Object], plan: Plan, snapshot: Snapshot) -> None:
    """The first claim in trouble decides what is said of a node."""
    open_rows = snapshot.present.copy()
    for claim in claims:
        volume = snapshot.view.get(VOLUME, volume_name(claim))
        if volume is None:
            plan.volume_missing |= open_rows
            return
        plan.out_of_reach |= open_rows & ~reach(volume, snapshot)
        open_rows &= ~plan.out_of_reach


def _serve(waiting: list[Object], plan: Plan, snapshot: Snapshot) -> None:
    selected = [claim for claim in waiting if SELECTED_NODE in annotations_of(claim)]
    for claim in selected:  # somebody provisions for that node already
        row = snapshot.row_of.get(annotations_of(claim)[SELECTED_NODE])
        plan.unmatched |= snapshot.present & (np.arange(snapshot.size) != row)
    open_rows = snapshot.present & ~plan.unmatched
    plan.matched = list(_match([c for c in waiting if c not in selected], open_rows, snapshot))
    wanted = [(claim, open_rows.copy()) for claim in selected]
    wanted += [(matched.claim, open_rows & (matched.column == NONE)) for matched in plan.matched]
    for claim, rows in wanted:
        needed = rows & open_rows
        if needed.any():
            _provision(claim, needed, plan, snapshot)
            open_rows &= ~plan.unmatched & ~plan.too_full


def _match(claims: list[Object], rows: Rows, snapshot: Snapshot) -> Iterator[Matched]:
    stock = stock_of(snapshot)
    taken: dict[str, Rows] = {}
    for claim in sorted(claims, key=requested):
        volumes = fitting(claim, stock)
        column: Ints = np.full(snapshot.size, NONE, np.int64)
        for place, volume in enumerate(volumes):
            free = rows & (column == NONE) & reach(volume, snapshot)
            if (used := taken.get(name_of(volume))) is not None:
                free &= ~used
            if free.any():
                column[free] = place
                taken[name_of(volume)] = free if used is None else used | free
        yield Matched(claim, volumes, column)


def fitting(claim: Object, stock: VolumeStock) -> list[Object]:
    """The volume that is reserved for the claim alone, or else all that will do, smallest first."""
    usable = [volume for volume in stock.free_volumes(class_of(claim)) if _is_usable(claim, volume)]
    reserved = [volume for volume in usable if is_for(volume, claim)]
    return reserved[:1] or sorted((v for v in usable if _is_free(claim, v)), key=lambda v: (capacity(v), name_of(v)))


def _is_usable(claim: Object, volume: Object) -> bool:
    return (
        (volume["spec"].get("claimRef") is None or is_for(volume, claim))
        and capacity(volume) >= requested(claim)
        and same_volume_mode(claim, volume)
        and same_attributes_class(claim, volume)
        and not is_being_deleted(volume)
    )


def _is_free(claim: Object, volume: Object) -> bool:
    selector = claim["spec"].get("selector")
    modes, offered = (set(obj["spec"].get("accessModes") or ()) for obj in (claim, volume))
    return (
        phase_of(volume) == "Available"
        and modes <= offered
        and (selector is None or selector_of(selector).matches(labels_of(volume)))
    )


def _provision(claim: Object, rows: Rows, plan: Plan, snapshot: Snapshot) -> None:
    storage_class = snapshot.view.get(CLASS, class_of(claim))
    if storage_class is None or storage_class.get("provisioner", "") in ("", NO_PROVISIONER):
        plan.unmatched |= rows
        return
    allowed = rows & _allowed(storage_class, snapshot)
    plan.unmatched |= rows & ~allowed
    room = room_for(claim, storage_class, snapshot)
    if room is None:
        plan.provisioned.append(Provisioned(claim, allowed, np.full(snapshot.size, NONE, np.int64)))
        return
    plan.too_full |= allowed & (room == NONE)
    plan.provisioned.append(Provisioned(claim, allowed & (room != NONE), room))


def _allowed(storage_class: Object, snapshot: Snapshot) -> Rows:
    topologies = storage_class.get("allowedTopologies")
    if not topologies:
        return snapshot.present
    rows = snapshot.none()
    for term in topologies:
        expressions = term.get("matchLabelExpressions") or ()
        if expressions:
            needed = [Requirement(e["key"], "in", tuple(e["values"])) for e in expressions]
            rows |= rows_of_requirements(needed, snapshot)
    return rows


def room_for(claim: Object, storage_class: Object, snapshot: Snapshot) -> Ints | None:
    """The bytes that each node's storage has, NONE where it has not enough; None: nobody keeps count."""
    driver = snapshot.view.get(DRIVER, storage_class["provisioner"])
    wanted = requested(claim)
    if driver is None or not driver["spec"].get("storageCapacity") or not wanted:
        return None
    room: Ints = np.full(snapshot.size, NONE, np.int64)
    for told in snapshot.view.list(CAPACITY):
        limit = _limit(told)
        if told["storageClassName"] == name_of(storage_class) and limit is not None and limit >= wanted:
            topology = told.get("nodeTopology")
            rows = rows_of_selector(selector_of(topology), snapshot)
            room[rows & (room == NONE)] = parse_quantity(told.get("capacity", 0)).scaled(1)
    return room


def _limit(told: Object) -> Quantity | None:
    """How large a new volume may be: what is said of that, or else what there is in all."""
    text = told.get("maximumVolumeSize", told.get("capacity"))
    return None if text is None else parse_quantity(text)
