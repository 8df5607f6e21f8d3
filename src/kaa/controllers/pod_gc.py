"""Pod garbage: pods that nobody will finish. They end as Failed, and are deleted at once, with no grace.

    bound to a node that no longer exists       its kubelet will never report again
    being deleted, and never had a node         no kubelet knows of it
    being deleted, on a node out of service     an administrator has said (by taint) that it is off; it isn't ready

A node may be deleted and registered anew by its kubelet, so a missing node is given some time before its pods go; and
the server itself is asked, because the cache may only be late.
Pods that have ended and are only too many are another matter: `terminated_pods.py`.
"""

from datetime import datetime

from kaa.api.objects import Object, condition, is_being_deleted
from kaa.controllers.actions import ConfirmGone, Delete, Patch, RequeueAfter
from kaa.controllers.controller import Actions, Controller, View, Watch, differs, pods_by_node, pods_on_node
from kaa.controllers.memory import Since
from kaa.controllers.pods import is_terminal, node_name_of
from kaa.lib.clock import rfc3339

QUARANTINE_SECONDS = 40.0
"""How long a node must be missing, as upstream's."""

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
GONE_ON_THE_WAY = frozenset({"NotFound", "Conflict"})


def controller() -> Controller:
    missing = Since()

    def reconcile(pod: Object, view: View, now: datetime) -> Actions:
        name = pod["spec"].get("nodeName", "")
        node = view.get("Node", name) if name else None
        if node is not None:
            missing.forget(name)
            if is_being_deleted(pod) and is_out_of_service(node):
                yield from end(pod, now)
        elif not name:
            if is_being_deleted(pod):
                yield from end(pod, now)
        else:
            remaining = QUARANTINE_SECONDS - (now - missing.note(name, True, now)).total_seconds()
            if remaining > 0:
                yield RequeueAfter(remaining)
            else:
                yield ConfirmGone("Node", "", name, "")
                yield from end(pod, now, "PodGC: node no longer exists")

    return Controller(
        name="pod-garbage-collector",
        kind="Pod",
        when=differs(node_name_of, is_being_deleted),
        watches=(Watch("Node", pods_on_node, when=service_changed),),
        indexes=(pods_by_node(),),
        reconcile=reconcile,
    )


def is_out_of_service(node: Object) -> bool:
    ready = condition(node.get("status", {}).get("conditions"), "Ready")
    tainted = any(taint["key"] == OUT_OF_SERVICE for taint in node["spec"].get("taints") or ())
    return tainted and (ready is None or ready["status"] != "True")


def end(pod: Object, now: datetime, disrupted: str = "") -> Actions:
    if not is_terminal(pod):
        yield Patch(pod, failed(pod, now, disrupted), "merge", "status", GONE_ON_THE_WAY)
    if not (is_being_deleted(pod) and pod["metadata"].get("deletionGracePeriodSeconds") == 0):
        yield Delete(pod, grace_seconds=0)  # else it waits for its finalizers only


def failed(pod: Object, now: datetime, disrupted: str) -> Object:
    """A merge patch of the status: nobody is left to report how the pod ended."""
    status: Object = {"phase": "Failed"}
    if disrupted:
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "message": disrupted,
            "lastTransitionTime": rfc3339(now),
        }
        others = [c for c in pod.get("status", {}).get("conditions") or () if c["type"] != "DisruptionTarget"]
        status["conditions"] = [*others, target]
    return {"metadata": {"resourceVersion": pod["metadata"]["resourceVersion"]}, "status": status}


def service_changed(old: Object | None, new: Object | None) -> bool:
    """It came, went, or was put out of service."""
    return old is None or new is None or is_out_of_service(old) != is_out_of_service(new)
