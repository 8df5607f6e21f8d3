"""Node lifecycle: nodes that stop reporting are Unknown, and what is wrong with a node becomes its taints.

A node reports by renewing its Lease in `kube-node-lease` (every 10 s), and by its status. When neither has changed for
GRACE_SECONDS, as seen by our clock, every condition of its becomes Unknown. Conditions become taints: with effect
NoSchedule for all, and NoExecute for Ready, which `taint_eviction.py` acts on; that one a node gets only when it is its
turn in its zone (`zone_disruption.py`). The pods of a node that is not Ready are marked not ready, so that Services
stop sending to them: the kubelet cannot.
"""

from collections.abc import Generator, Iterator
from datetime import datetime

from kaa.api.errors import APIError
from kaa.api.objects import Object, condition, copy_object, is_being_deleted, name_of, namespace_of
from kaa.controllers.actions import Action, Patch, RecordEvent, RequeueAfter, UpdateStatus
from kaa.controllers.controller import POD_NODE, Actions, Controller, Key, View, Watch, key_of, pods_by_node
from kaa.controllers.memory import Since
from kaa.controllers.pods import is_terminal, ready_condition
from kaa.controllers.zone_disruption import Zones
from kaa.lib.clock import rfc3339

GRACE_SECONDS = 50.0
"""Five missed heartbeats, as upstream's --node-monitor-grace-period."""

STARTUP_GRACE_SECONDS = 60.0
"""For a node whose kubelet has never reported, as upstream's --node-startup-grace-period."""

LOOK_AGAIN_SECONDS = 20.0
"""At a node that is not ready: others may have changed how fast its zone gives up nodes."""

LEASE_NAMESPACE = "kube-node-lease"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

READY_TAINTS = {"False": NOT_READY, "Unknown": UNREACHABLE}
PRESSURE_TAINTS = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
OURS = frozenset({*READY_TAINTS.values(), *PRESSURE_TAINTS.values(), UNSCHEDULABLE})
"""Keys of the taints that follow from conditions; all other taints are left alone."""

REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
GONE_ON_THE_WAY = frozenset({"NotFound", "Conflict"})


def controller(grace_seconds: float = GRACE_SECONDS) -> Controller:
    heartbeats, zones = Since(), Zones()

    def reconcile(node: Object, view: View, now: datetime) -> Actions:
        lease = view.get("Lease", name_of(node), LEASE_NAMESPACE)
        silent_seconds = (now - heartbeats.note(name_of(node), heartbeat_of(node, lease), now)).total_seconds()
        conditions = node.get("status", {}).get("conditions") or []
        has_reported = condition(conditions, "Ready") is not None
        grace = grace_seconds if has_reported else max(grace_seconds, STARTUP_GRACE_SECONDS)
        if silent_seconds >= grace and is_known(conditions):
            conditions = unknown_conditions(conditions, now)
            status = {**copy_object(node.get("status", {})), "conditions": conditions}
            yield RecordEvent(node, "Normal", "NodeNotReady", f"Node {name_of(node)} status is now: NodeNotReady")
            yield UpdateStatus(node, status)
        if zones.is_empty:  # the first node that is looked at must not be taken for the only one
            zones.note_all((other, is_ready(other)) for other in view.list("Node"))
        zones.note(node, ready=ready_status(conditions) == "True")
        wait = yield from keep_taints(node, conditions, zones, now)
        if ready_status(conditions) != "True":
            yield from mark_pods_not_ready(node, view, now)
            yield RequeueAfter(LOOK_AGAIN_SECONDS if wait is None else min(wait, LOOK_AGAIN_SECONDS))
        if silent_seconds < grace:
            yield RequeueAfter(grace - silent_seconds)

    def gone(key: Key, view: View, now: datetime) -> Actions:
        heartbeats.forget(key[1])
        zones.forget(key[1])
        yield from ()

    return Controller(
        name="node-lifecycle",
        component="node-controller",
        kind="Node",
        watches=(Watch("Lease", node_of_lease),),
        indexes=(pods_by_node(),),
        reconcile=reconcile,
        gone=gone,
    )


def node_of_lease(lease: Object, view: View) -> Iterator[Key]:
    if namespace_of(lease) == LEASE_NAMESPACE:
        yield "", name_of(lease)


def heartbeat_of(node: Object, lease: Object | None) -> tuple[str, str]:
    """What changes when the node reports."""
    ready = condition(node.get("status", {}).get("conditions"), "Ready") or {}
    renewed = lease["spec"].get("renewTime", "") if lease is not None else ""
    return renewed, ready.get("lastHeartbeatTime", "")


def ready_status(conditions: list[Object]) -> str:
    ready = condition(conditions, "Ready")
    return ready["status"] if ready is not None else "Unknown"


def is_ready(node: Object) -> bool:
    return ready_status(node.get("status", {}).get("conditions") or []) == "True"


def is_known(conditions: list[Object]) -> bool:
    """Some condition still says what the node said last."""
    return any((condition(conditions, kind) or {}).get("status") != "Unknown" for kind in REPORTED)


def unknown_conditions(conditions: list[Object], now: datetime) -> list[Object]:
    changed = {kind: _unknown(condition(conditions, kind), kind, now) for kind in REPORTED}
    others = [c for c in conditions if c["type"] not in changed]
    return [*others, *changed.values()]


def _unknown(known: Object | None, kind: str, now: datetime) -> Object:
    if known is None:
        moment = rfc3339(now)
        return {
            "type": kind,
            "status": "Unknown",
            "lastHeartbeatTime": moment,
            "lastTransitionTime": moment,
            "reason": "NodeStatusNeverUpdated",
            "message": "Kubelet never posted node status.",
        }
    if known["status"] == "Unknown":
        return known
    return known | {
        "status": "Unknown",
        "lastTransitionTime": rfc3339(now),
        "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
    }


def wanted_taints(node: Object, conditions: list[Object]) -> list[tuple[str, str]]:
    """(key, effect) of every taint that the node's conditions call for."""
    taints: list[tuple[str, str]] = []
    states = {c["type"]: c["status"] for c in conditions}
    if key := READY_TAINTS.get(states.get("Ready", "Unknown")):
        taints += [(key, "NoSchedule"), (key, "NoExecute")]
    for kind, key in PRESSURE_TAINTS.items():
        if states.get(kind) == "True":
            taints.append((key, "NoSchedule"))
    if node["spec"].get("unschedulable"):
        taints.append((UNSCHEDULABLE, "NoSchedule"))
    return taints


def keep_taints(
    node: Object, conditions: list[Object], zones: Zones, now: datetime
) -> Generator[Action, APIError | None, float | None]:
    """Answers with the seconds until it is the node's turn for a taint that it should have, if it waits for one."""
    observed = node["spec"].get("taints") or []
    wanted, wait = wanted_taints(node, conditions), None
    evicting = next((taint for taint in wanted if taint[1] == "NoExecute"), None)
    # A taint that evicts already is changed into the other at once: nothing more is driven away by it.
    evicts = any(t["key"] in READY_TAINTS.values() and t["effect"] == "NoExecute" for t in observed)
    if evicting is None or (evicts and not zones.all_down):
        zones.settle(node)
    else:
        turn = zones.turn(node, now)
        if turn is None or turn > now:
            wanted.remove(evicting)
            wait = None if turn is None else (turn - now).total_seconds()
    kept = [t for t in observed if t["key"] not in OURS or (t["key"], t["effect"]) in wanted]
    present = {(taint["key"], taint["effect"]) for taint in kept}
    added = [
        {"key": key, "effect": effect, "timeAdded": rfc3339(now)}
        for key, effect in wanted
        if (key, effect) not in present
    ]
    if added or len(kept) != len(observed):
        metadata = {"resourceVersion": node["metadata"]["resourceVersion"]}
        yield Patch(node, {"metadata": metadata, "spec": {"taints": [*kept, *added] or None}})
    return wait


def mark_pods_not_ready(node: Object, view: View, now: datetime) -> Actions:
    for pod in sorted(view.by_index("Pod", POD_NODE, name_of(node)), key=key_of):
        ready = ready_condition(pod)
        if ready is None or ready["status"] != "True" or is_terminal(pod) or is_being_deleted(pod):
            continue
        changed = ready | {"status": "False", "lastTransitionTime": rfc3339(now), "reason": "NodeNotReady"}
        conditions = [changed if c is ready else c for c in pod["status"]["conditions"]]
        metadata = {"resourceVersion": pod["metadata"]["resourceVersion"]}
        patch = {"metadata": metadata, "status": {"conditions": conditions}}
        yield RecordEvent(pod, "Warning", "NodeNotReady", "Node is not ready")
        yield Patch(pod, patch, "merge", "status", GONE_ON_THE_WAY)
