"""How a DaemonSet's pods of an older template are replaced, node by node.

Without surge the old pod goes first, on at most `maxUnavailable` nodes at a time. With surge the new pod comes first,
on at most `maxSurge` nodes, and the old one goes once it is available. Old pods that are not available serve nobody:
they are replaced at once, whatever the bounds.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from kaa.api.objects import Object, is_being_deleted, labels_of
from kaa.controllers.controller_revisions import HASH_LABEL
from kaa.controllers.deployment_rollout import resolve
from kaa.controllers.pods import is_terminal, seconds_until_available


def is_rolling(daemon_set: Object) -> bool:
    strategy = daemon_set["spec"].get("updateStrategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def _limit(daemon_set: Object, field: str, default: int, node_count: int) -> int:
    rolling = (daemon_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return resolve(rolling.get(field, default), node_count, round_up=True)


def max_surge(daemon_set: Object, node_count: int) -> int:
    return _limit(daemon_set, "maxSurge", 0, node_count) if is_rolling(daemon_set) else 0


def max_unavailable(daemon_set: Object, node_count: int) -> int:
    """Both limits 0 would never get anywhere: then one node may be without."""
    unavailable = _limit(daemon_set, "maxUnavailable", 1, node_count)
    return unavailable if unavailable or max_surge(daemon_set, node_count) else 1


def min_ready_seconds(daemon_set: Object) -> int:
    seconds: int = daemon_set["spec"].get("minReadySeconds") or 0
    return seconds


def is_available(daemon_set: Object, pod: Object, now: datetime) -> bool:
    return seconds_until_available(pod, min_ready_seconds(daemon_set), now) == 0


def split(there: Iterable[Object], hash_text: str) -> tuple[Object | None, Object | None]:
    """(new, old) of the pods on one node that are neither finished nor going."""
    alive = [pod for pod in there if not is_being_deleted(pod) and not is_terminal(pod)]
    new = next((pod for pod in alive if labels_of(pod).get(HASH_LABEL) == hash_text), None)
    old = next((pod for pod in alive if labels_of(pod).get(HASH_LABEL) != hash_text), None)
    return new, old


def roll(
    daemon_set: Object, names: Sequence[str], pods: Mapping[str, Sequence[Object]], hash_text: str, now: datetime
) -> tuple[list[str], list[Object]]:
    """(nodes that get a new pod beside the old one, old pods to delete). `names` are the nodes to be served."""
    served = [(name, *split(pods.get(name, ()), hash_text)) for name in names]
    if surge := max_surge(daemon_set, len(names)):
        return _surge(daemon_set, served, surge, now), []
    return [], _replace(daemon_set, served, max_unavailable(daemon_set, len(names)), now)


def _surge(
    daemon_set: Object, served: Sequence[tuple[str, Object | None, Object | None]], limit: int, now: datetime
) -> list[str]:
    at_once, candidates, under_way = [], [], 0
    for name, new, old in served:
        if old is None:
            continue
        if new is not None:
            under_way += 0 if is_available(daemon_set, new, now) else 1
        elif is_available(daemon_set, old, now):
            candidates.append(name)
        else:
            at_once.append(name)
    return [*at_once, *candidates[: max(0, limit - under_way)]]


def _replace(
    daemon_set: Object, served: Sequence[tuple[str, Object | None, Object | None]], limit: int, now: datetime
) -> list[Object]:
    at_once: list[Object] = []
    candidates: list[Object] = []
    unavailable = 0
    for _, new, old in served:
        pod = new if new is not None else old
        available = pod is not None and (new is None or old is None) and is_available(daemon_set, pod, now)
        unavailable += 0 if available else 1
        if old is not None and new is None:
            (candidates if available else at_once).append(old)
    return [*at_once, *candidates[: max(0, limit - unavailable)]]
