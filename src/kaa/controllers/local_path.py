"""The local-path provisioner: a claim of its class gets a directory of the node that its pod goes to.

It answers claims as any provisioner outside Kubernetes does: the binder names it in a claim's annotation, the scheduler
a node; it makes a volume, reserved for the claim and bound to that node, and the binder does the rest. A volume that is
Released is deleted here. The directory itself is made and removed by `local_directories.py`: no pod starts before it is
there, and a finalizer keeps the volume until it is gone.

Made for clusters on one machine, as kind's and k3s's: no limit of size is enforced.
"""

from collections.abc import Callable
from datetime import datetime

from kaa.api.objects import (
    Object,
    annotations_of,
    copy_object,
    is_being_deleted,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from kaa.api.volume_binding import (
    BIND_COMPLETED,
    LOCAL_PATH,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    class_of,
    phase_of,
)
from kaa.controllers.actions import Create, Delete, RecordEvent, Update
from kaa.controllers.controller import Actions, Controller, View, either

DIRECTORY_FINALIZER = "kaa.dev/local-directory"
HOSTNAME = "kubernetes.io/hostname"

ALREADY_EXISTS = frozenset({"AlreadyExists"})
ON_ONE_NODE = {"ReadWriteOnce", "ReadWriteOncePod"}

DirectoryOf = Callable[[str], str]
"""By a node's name: the directory on it below which its volumes are."""


def controller(directory_of: DirectoryOf, *, has_directories: bool = True) -> Controller:
    """Without directories (nodes that only pretend) a kubelet makes what it mounts, and nothing is left to remove."""

    def reconcile(claim: Object, view: View, now: datetime) -> Actions:
        annotations = annotations_of(claim)
        if annotations.get(STORAGE_PROVISIONER) != LOCAL_PATH or BIND_COMPLETED in annotations:
            return
        name = volume_name(claim)
        if is_being_deleted(claim) or claim["spec"].get("volumeName") or view.get("PersistentVolume", name) is not None:
            return
        storage_class = view.get("StorageClass", class_of(claim))
        if storage_class is None:
            return
        if why := unsupported(claim):
            yield failed(claim, storage_class, why)
            return
        node = view.get("Node", annotations[SELECTED_NODE])
        if node is None:
            yield failed(claim, storage_class, f'node "{annotations[SELECTED_NODE]}" not found')
            yield Update(without_node(claim))
            return
        volume = build_volume(claim, storage_class, node, directory_of(name_of(node)))
        if has_directories:
            volume["metadata"]["finalizers"] = [DIRECTORY_FINALIZER]
            volume["spec"]["hostPath"]["type"] = "Directory"
        yield Create(volume, tolerate=ALREADY_EXISTS)
        yield RecordEvent(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")

    return Controller(
        name="local-path-provisioner",
        component="local-path-provisioner",
        kind="PersistentVolumeClaim",
        reads=("PersistentVolume", "StorageClass", "Node"),
        reconcile=reconcile,
        when=either(lambda claim: annotations_of(claim).get(STORAGE_PROVISIONER) == LOCAL_PATH),
    )


def volume_name(claim: Object) -> str:
    return f"pvc-{uid_of(claim)}"


def unsupported(claim: Object) -> str:
    """Why a directory of one node cannot be what the claim asks for; "" if it can."""
    spec = claim["spec"]
    if spec.get("selector") is not None:
        return "claim Selector is not supported"
    if spec.get("volumeMode") == "Block":
        return "a directory is no block device"
    if not set(spec.get("accessModes") or ()) <= ON_ONE_NODE:
        return "only ReadWriteOnce and ReadWriteOncePod are supported: a directory is on one node"
    if SELECTED_NODE not in annotations_of(claim):
        return "no node is selected: the class must have volumeBindingMode WaitForFirstConsumer"
    return ""


def failed(claim: Object, storage_class: Object, why: str) -> RecordEvent:
    message = f'failed to provision volume with StorageClass "{name_of(storage_class)}": {why}'
    return RecordEvent(claim, "Warning", "ProvisioningFailed", message)


def without_node(claim: Object) -> Object:
    """The scheduler chooses another node for the pod then."""
    changed = copy_object(claim)
    del changed["metadata"]["annotations"][SELECTED_NODE]
    return changed


def build_volume(claim: Object, storage_class: Object, node: Object, directory: str) -> Object:
    hostname = labels_of(node).get(HOSTNAME, name_of(node))
    here = {"key": HOSTNAME, "operator": "In", "values": [hostname]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume_name(claim),
            "annotations": {PROVISIONED_BY: LOCAL_PATH, SELECTED_NODE: name_of(node)},
        },
        "spec": {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"]["accessModes"],
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": name_of(storage_class),
            "hostPath": {"path": f"{directory}/{volume_name(claim)}", "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            "claimRef": {
                "kind": "PersistentVolumeClaim",
                "apiVersion": "v1",
                "namespace": namespace_of(claim),
                "name": name_of(claim),
                "uid": uid_of(claim),
            },
        },
    }


def is_ours(volume: Object) -> bool:
    return annotations_of(volume).get(PROVISIONED_BY) == LOCAL_PATH


def reclaim(volume: Object, view: View, now: datetime) -> Actions:
    policy = volume["spec"].get("persistentVolumeReclaimPolicy")
    if is_ours(volume) and phase_of(volume) == "Released" and policy == "Delete" and not is_being_deleted(volume):
        yield Delete(volume)


CONTROLLER = Controller(name="local-path-reclaimer", kind="PersistentVolume", reconcile=reclaim, when=either(is_ours))
