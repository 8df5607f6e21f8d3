"""A DaemonSet's status: how many nodes are to be served, and how far that is so."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from kaa.api.objects import Object, labels_of
from kaa.controllers.controller_revisions import HASH_LABEL
from kaa.controllers.daemonset_placement import Placements
from kaa.controllers.daemonset_rollout import is_available, min_ready_seconds
from kaa.controllers.pods import is_ready, seconds_until_available


def status_of(
    daemon_set: Object, placements: Placements, pods: Mapping[str, Sequence[Object]], hash_text: str, now: datetime
) -> Object:
    """Of several pods on one node the one that is bound, and the oldest of these, counts."""
    runs = {name: placement.runs for name, placement in placements.items()}
    first = {
        name: min(there, key=lambda pod: not pod["spec"].get("nodeName"))
        for name, there in pods.items()
        if there and name in runs
    }
    daemons = [first[name] for name, wanted in runs.items() if wanted and name in first]
    desired = sum(runs.values())
    available = sum(is_available(daemon_set, pod, now) for pod in daemons)
    known = daemon_set.get("status", {})
    status: Object = {
        "currentNumberScheduled": len(daemons),
        "numberMisscheduled": sum(not runs[name] for name in first),
        "desiredNumberScheduled": desired,
        "numberReady": sum(map(is_ready, daemons)),
        "observedGeneration": daemon_set["metadata"].get("generation", 0),
    }
    counts = {
        "updatedNumberScheduled": sum(labels_of(pod).get(HASH_LABEL) == hash_text for pod in daemons),
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }
    status |= {field: count for field, count in counts.items() if count}
    kept = {field: known[field] for field in ("collisionCount", "conditions") if known.get(field)}
    return status | kept


def next_availability(daemon_set: Object, pods: Iterable[Object], now: datetime) -> float | None:
    """Seconds until the next ready pod has been ready for long enough."""
    delays = [seconds_until_available(pod, min_ready_seconds(daemon_set), now) for pod in pods]
    return min((delay for delay in delays if delay), default=None)
