"""Pod garbage: pods that nobody will finish.

Two kinds: a pod bound to a node that no longer exists (its kubelet will never report again), and a pod being deleted
that never got a node. They are deleted at once, with no grace. A node may be deleted and registered anew by its
kubelet, so a missing node is given some time before its pods go.
"""

from collections.abc import Iterator
from datetime import datetime

from kaa.api.objects import Object, is_being_deleted, name_of
from kaa.controllers.actions import Delete, Patch, RequeueAfter
from kaa.controllers.controller import POD_NODE, Actions, Controller, Key, View, Watch, key_of, pods_by_node, presence
from kaa.controllers.memory import Since
from kaa.controllers.pods import is_terminal
from kaa.lib.clock import rfc3339

QUARANTINE_SECONDS = 40.0
"""How long a node must be missing, as upstream's."""

GONE_ON_THE_WAY = frozenset({"NotFound", "Conflict"})


def controller() -> Controller:
    missing = Since()

    def reconcile(pod: Object, view: View, now: datetime) -> Actions:
        node = pod["spec"].get("nodeName", "")
        if not node:
            if is_being_deleted(pod):
                yield Delete(pod, grace_seconds=0)
            return
        if view.get("Node", node) is not None:
            missing.forget(node)
            return
        remaining = QUARANTINE_SECONDS - (now - missing.note(node, True, now)).total_seconds()
        if remaining > 0:
            yield RequeueAfter(remaining)
            return
        if not is_terminal(pod):
            yield Patch(pod, failed(pod, now), "merge", "status", GONE_ON_THE_WAY)
        yield Delete(pod, grace_seconds=0)

    return Controller(
        name="pod-garbage-collector",
        kind="Pod",
        watches=(Watch("Node", pods_on_node, when=presence),),
        indexes=(pods_by_node(),),
        reconcile=reconcile,
    )


def failed(pod: Object, now: datetime) -> Object:
    """A merge patch of the status: nobody is left to report how the pod ended."""
    message = "PodGC: node no longer exists"
    target = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": message,
        "lastTransitionTime": rfc3339(now),
    }
    conditions = [c for c in pod.get("status", {}).get("conditions") or () if c["type"] != "DisruptionTarget"]
    metadata = {"resourceVersion": pod["metadata"]["resourceVersion"]}
    return {"metadata": metadata, "status": {"phase": "Failed", "conditions": [*conditions, target]}}


def pods_on_node(node: Object, view: View) -> Iterator[Key]:
    for pod in view.by_index("Pod", POD_NODE, name_of(node)):
        yield key_of(pod)
