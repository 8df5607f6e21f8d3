"""The arithmetic of a Deployment's rollout: how many replicas each of its ReplicaSets is to have next.

Terms: *new* is the ReplicaSet with the Deployment's template, *old* are the others. At any time there are at most
`replicas + max_surge` pods, and at least `replicas - max_unavailable` of them available. Everything here is a
function of numbers already observed; a `Scale` maps a ReplicaSet's name to its wanted size.
"""

from collections.abc import Sequence
from math import ceil, floor
from typing import TypeAlias

from kaa.api.objects import Object, annotations_of, name_of

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"

Scale: TypeAlias = dict[str, int]


def size_of(obj: Object) -> int:
    """`spec.replicas` of a Deployment or ReplicaSet."""
    replicas: int | None = obj["spec"].get("replicas")
    return 1 if replicas is None else replicas


def available_of(rs: Object) -> int:
    available: int = rs.get("status", {}).get("availableReplicas", 0)
    return available


def staying_of(rs: Object) -> int:
    """Available replicas that stay: a set that has been told to shrink counts those that go until it gets to it."""
    return min(size_of(rs), available_of(rs))


def is_rolling(deployment: Object) -> bool:
    strategy = deployment["spec"].get("strategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def resolve(value: int | str | None, total: int, *, round_up: bool) -> int:
    """An int-or-percent as a number; none is 25 %."""
    if value is None:
        value = "25%"
    if isinstance(value, int):
        return value
    share = int(value.removesuffix("%")) * total / 100
    return ceil(share) if round_up else floor(share)


def bounds(deployment: Object) -> tuple[int, int]:
    """(max surge, max unavailable) as numbers of pods. Both 0 would never get anywhere: then one may be unavailable."""
    replicas = size_of(deployment)
    if not is_rolling(deployment):
        return 0, 0
    rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate") or {}
    surge = resolve(rolling.get("maxSurge"), replicas, round_up=True)
    unavailable = resolve(rolling.get("maxUnavailable"), replicas, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, replicas)


def size_of_new(deployment: Object, existing: Sequence[Object], current: int) -> int:
    """What the new ReplicaSet, at `current`, may grow to now. `existing` are all ReplicaSets."""
    wanted = size_of(deployment)
    if not is_rolling(deployment):
        return wanted
    room = wanted + bounds(deployment)[0] - sum(map(size_of, existing))
    return current + min(room, wanted - current) if room > 0 else current


def roll_new(deployment: Object, new: Object, old: Sequence[Object]) -> Scale:
    current = size_of(new)
    if current > size_of(deployment):
        wanted = size_of(deployment)
    else:
        wanted = size_of_new(deployment, [*old, new], current)
    return {} if wanted == current else {name_of(new): wanted}


def roll_old(deployment: Object, new: Object, old: Sequence[Object]) -> Scale:
    """Unhealthy replicas first, they serve nobody; then as many healthy ones as may be missing; oldest set first."""
    minimum = size_of(deployment) - bounds(deployment)[1]
    unavailable_new = size_of(new) - staying_of(new)
    budget = sum(map(size_of, [*old, new])) - minimum - unavailable_new
    if budget <= 0:
        return {}
    sizes = {name_of(rs): size_of(rs) for rs in old}
    for rs in by_age(old):
        unhealthy = min(max(0, size_of(rs) - available_of(rs)), budget)
        sizes[name_of(rs)] -= unhealthy
        budget -= unhealthy
    healthy_surplus = sum(map(staying_of, [*old, new])) - minimum
    for rs in by_age(old):
        fewer = min(sizes[name_of(rs)], max(0, healthy_surplus))
        sizes[name_of(rs)] -= fewer
        healthy_surplus -= fewer
    return changed(old, sizes)


def stop(sets: Sequence[Object]) -> Scale:
    return {name_of(rs): 0 for rs in sets if size_of(rs)}


def rescale(deployment: Object, new: Object | None, old: Sequence[Object]) -> Scale:
    """After `spec.replicas` changed, or while paused: one active set takes it all; several share it by their size."""
    active = [rs for rs in by_age([*old, *([new] if new else [])]) if size_of(rs)]
    wanted = size_of(deployment)
    if len(active) <= 1:
        only = active[0] if active else new or (by_age(old)[-1] if old else None)
        return {} if only is None else changed([only], {name_of(only): wanted})
    if new is not None and is_saturated(deployment, new):
        return stop(old)
    if not is_rolling(deployment):
        return {}
    return share(deployment, active)


def is_saturated(deployment: Object, new: Object) -> bool:
    wanted = size_of(deployment)
    desired = annotations_of(new).get(DESIRED)
    return size_of(new) == wanted and desired == str(wanted) and available_of(new) == wanted


def share(deployment: Object, active: Sequence[Object]) -> Scale:
    """Proportional scaling, so that a rollout under way risks no more than it did. What rounding leaves goes to the
    largest set (of equal ones, the newest when growing, the oldest when shrinking)."""
    wanted = size_of(deployment)
    allowed = wanted + bounds(deployment)[0] if wanted else 0
    difference = allowed - sum(map(size_of, active))
    by_size = sorted(reversed(active) if difference > 0 else active, key=size_of, reverse=True)
    sizes: Scale = {}
    left = difference
    for rs in by_size:
        fraction = _fraction(deployment, rs) if difference else 0
        step = min(fraction, left) if difference > 0 else max(fraction, left)
        sizes[name_of(rs)] = size_of(rs) + step
        left -= step
    if by_size and left:
        largest = name_of(by_size[0])
        sizes[largest] = max(0, sizes[largest] + left)
    return changed(active, sizes)


def _fraction(deployment: Object, rs: Object) -> int:
    """How much the set's size changes in proportion to the change of the Deployment's maximum."""
    if size_of(deployment) == 0:
        return -size_of(rs)
    maximum = size_of(deployment) + bounds(deployment)[0]
    before = int(annotations_of(rs).get(MAX, 0)) or deployment.get("status", {}).get("replicas", 0)
    if not before:
        return 0
    return floor(size_of(rs) * maximum / before + 0.5) - size_of(rs)


def by_age(sets: Sequence[Object]) -> list[Object]:
    """Oldest first."""
    return sorted(sets, key=lambda rs: (rs["metadata"].get("creationTimestamp", ""), name_of(rs)))


def changed(sets: Sequence[Object], sizes: Scale) -> Scale:
    return {name_of(rs): sizes[name_of(rs)] for rs in sets if sizes[name_of(rs)] != size_of(rs)}
