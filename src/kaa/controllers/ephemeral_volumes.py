"""Ephemeral volumes: a claim of its own for every volume of a pod that asks for one, gone with the pod.

The claim is named `<pod>-<volume>` and owned by the pod. One of that name that is somebody else's is left alone, and
the pod waits: using it would be using another's data.
"""

from collections.abc import Iterator
from datetime import datetime

from kaa.api.objects import (
    Object,
    controller_of,
    copy_object,
    is_being_deleted,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from kaa.controllers.actions import Announcement, Create, RecordEvent
from kaa.controllers.controller import Actions, Controller, Key, View, Watch, deletion, either, key_of
from kaa.controllers.pods import is_terminal
from kaa.controllers.protection import POD_CLAIMS, pods_by_claim


def reconcile(pod: Object, view: View, now: datetime) -> Actions:
    if is_being_deleted(pod) or is_terminal(pod):
        return
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("ephemeral") is not None:
            yield from keep_claim(pod, volume, view)


def keep_claim(pod: Object, volume: Object, view: View) -> Actions:
    name, namespace = f"{name_of(pod)}-{volume['name']}", namespace_of(pod)
    claim = view.get("PersistentVolumeClaim", name, namespace)
    trouble = f"ephemeral volume {volume['name']}: "
    if claim is None:
        failure = Announcement(pod, failed_reason="FailedBinding", failed=f"{trouble}create PVC {name}: {{error}}")
        yield Create(build_claim(pod, volume, name), failure)
    elif (controller_of(claim) or {}).get("uid") != uid_of(pod):
        why = f"PVC {namespace}/{name} was not created for pod {namespace}/{name_of(pod)} (pod is not owner)"
        yield RecordEvent(pod, "Warning", "FailedBinding", trouble + why)


def build_claim(pod: Object, volume: Object, name: str) -> Object:
    template = copy_object(volume["ephemeral"]["volumeClaimTemplate"])
    metadata: Object = {"name": name, "namespace": namespace_of(pod), "ownerReferences": [owner_reference(pod)]}
    for field in ("labels", "annotations"):
        if value := (template.get("metadata") or {}).get(field):
            metadata[field] = value
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]}


def pods_with_claim(claim: Object, view: View) -> Iterator[Key]:
    for pod in view.by_index("Pod", POD_CLAIMS, f"{namespace_of(claim)}/{name_of(claim)}"):
        yield key_of(pod)


def has_ephemeral_volume(pod: Object) -> bool:
    return any(volume.get("ephemeral") is not None for volume in pod["spec"].get("volumes") or ())


CONTROLLER = Controller(
    name="ephemeral-volume",
    component="ephemeral_volume",
    kind="Pod",
    when=either(has_ephemeral_volume),
    watches=(Watch("PersistentVolumeClaim", pods_with_claim, when=deletion),),
    indexes=(pods_by_claim(),),
    reconcile=reconcile,
)
