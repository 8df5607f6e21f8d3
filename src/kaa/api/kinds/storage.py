"""The storage.k8s.io group."""

from kaa.api.printing import storage
from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "storage.k8s.io",
    "v1",
    (
        Resource(kind="CSIDriver", columns=storage.CSI_DRIVER, namespaced=False, has_generation=False),
        Resource(
            kind="CSINode", columns=storage.CSI_NODE, namespaced=False, subresources=(STATUS,), has_generation=False
        ),
        Resource(
            kind="CSIStorageCapacity",
            columns=storage.CSI_STORAGE_CAPACITY,
            plural="csistoragecapacities",
            has_generation=False,
        ),
        Resource(
            kind="StorageClass",
            columns=storage.STORAGE_CLASS,
            plural="storageclasses",
            namespaced=False,
            short_names=("sc",),
            has_generation=False,
        ),
        Resource(
            kind="VolumeAttachment",
            columns=storage.VOLUME_ATTACHMENT,
            namespaced=False,
            subresources=(STATUS,),
            has_generation=False,
        ),
        Resource(
            kind="VolumeAttributesClass",
            columns=storage.VOLUME_ATTRIBUTES_CLASS,
            plural="volumeattributesclasses",
            namespaced=False,
            short_names=("vac",),
            has_generation=False,
        ),
    ),
)
