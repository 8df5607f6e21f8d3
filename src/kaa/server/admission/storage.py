"""DefaultStorageClass and StorageObjectInUseProtection: what claims and volumes get when they are created."""

from kaa.api.objects import Object, annotations_of, name_of
from kaa.server.admission.plugin import Context, Plugin, created, spec_of
from kaa.server.request import AdmissionRequest

IS_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"

PROTECTION_FINALIZERS = {
    "PersistentVolume": "kubernetes.io/pv-protection",
    "PersistentVolumeClaim": "kubernetes.io/pvc-protection",
    "VolumeAttributesClass": "kubernetes.io/vac-protection",
}
"""Kind -> the finalizer that keeps it for as long as it is used."""


async def choose_storage_class(request: AdmissionRequest, context: Context) -> None:
    claim, spec = created(request), spec_of(request)
    if spec.get("storageClassName") is not None or CLASS_ANNOTATION in annotations_of(claim):
        return
    if (default := default_storage_class(context.reader.list("StorageClass"))) is not None:
        spec["storageClassName"] = name_of(default)


def default_storage_class(classes: list[Object]) -> Object | None:
    """The newest of those that are marked; of equally old ones the first by name."""
    marked = [c for c in classes if any(annotations_of(c).get(key) == "true" for key in IS_DEFAULT)]
    marked.sort(key=name_of)
    return max(marked, key=lambda c: str(c["metadata"].get("creationTimestamp", "")), default=None)


async def protect(request: AdmissionRequest, context: Context) -> None:
    metadata = created(request)["metadata"]
    finalizer = PROTECTION_FINALIZERS[request.resource.kind]
    finalizers = metadata.get("finalizers") or []
    if finalizer not in finalizers:
        metadata["finalizers"] = [*finalizers, finalizer]


DEFAULT_STORAGE_CLASS = Plugin(
    name="DefaultStorageClass", kinds=frozenset({("", "PersistentVolumeClaim")}), mutate=choose_storage_class
)
STORAGE_OBJECT_IN_USE_PROTECTION = Plugin(
    name="StorageObjectInUseProtection",
    kinds=frozenset(
        {("", "PersistentVolume"), ("", "PersistentVolumeClaim"), ("storage.k8s.io", "VolumeAttributesClass")}
    ),
    mutate=protect,
)
