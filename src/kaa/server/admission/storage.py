"""DefaultStorageClass and StorageObjectInUseProtection: what claims and volumes get when they are created."""

from kaa.api.objects import name_of
from kaa.api.volume_binding import default_storage_class, has_class
from kaa.server.admission.plugin import Context, Plugin, created, spec_of
from kaa.server.request import AdmissionRequest

PROTECTION_FINALIZERS = {
    "PersistentVolume": "kubernetes.io/pv-protection",
    "PersistentVolumeClaim": "kubernetes.io/pvc-protection",
    "VolumeAttributesClass": "kubernetes.io/vac-protection",
}
"""Kind -> the finalizer that keeps it for as long as it is used."""


async def choose_storage_class(request: AdmissionRequest, context: Context) -> None:
    claim, spec = created(request), spec_of(request)
    if has_class(claim):
        return
    if (default := default_storage_class(context.reader.list("StorageClass"))) is not None:
        spec["storageClassName"] = name_of(default)


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
