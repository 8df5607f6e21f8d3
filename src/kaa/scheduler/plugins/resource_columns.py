"""What of each resource every node has, and would have in use with a pod: columns for the plugins that score by it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from kaa.scheduler.derived import Ints
from kaa.scheduler.pod_info import CPU, MEMORY, PodInfo
from kaa.scheduler.snapshot import Snapshot

EPHEMERAL_STORAGE = "ephemeral-storage"
ALWAYS_COUNTED = (CPU, MEMORY, EPHEMERAL_STORAGE)
"""Others count only for pods that request them."""

Weights: TypeAlias = Sequence[tuple[str, int]]
CPU_AND_MEMORY: Weights = ((CPU, 1), (MEMORY, 1))


@dataclass(frozen=True, slots=True)
class Use:
    """Of one resource. `wanted` is the pod's part."""

    weight: int
    allocatable: Ints
    in_use: Ints
    wanted: int


def weights_of(resources: Sequence[Mapping[str, Any]] | None) -> Weights:
    """ResourceSpecs of a configuration."""
    if not resources:
        return CPU_AND_MEMORY
    return tuple((resource["name"], resource.get("weight") or 1) for resource in resources)


def uses(pod: PodInfo, snapshot: Snapshot, resources: Weights, *, as_requested: bool) -> Iterator[Use]:
    """Not `as_requested`: containers that request no cpu or memory are taken to use some."""
    for name, weight in resources:
        place = snapshot.resources.get(name)
        wanted = pod.requests.get(name, 0)
        if place is None or (not wanted and name not in ALWAYS_COUNTED):
            continue
        in_use = snapshot.requested[place]
        if not as_requested and name in (CPU, MEMORY):
            # As upstream's: the pod that is decided on counts by its containers, bound ones as a whole.
            in_use, wanted = snapshot.nonzero[place], pod.nonzero_of_containers[place]
        yield Use(weight, snapshot.allocatable[place], in_use, wanted)
