"""The storage.k8s.io group."""

from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "storage.k8s.io",
    "v1",
    (
        Resource(kind="CSIDriver", namespaced=False, has_generation=False),
        Resource(kind="CSINode", namespaced=False, subresources=(STATUS,), has_generation=False),
        Resource(kind="CSIStorageCapacity", plural="csistoragecapacities", has_generation=False),
        Resource(
            kind="StorageClass", plural="storageclasses", namespaced=False, short_names=("sc",), has_generation=False
        ),
        Resource(kind="VolumeAttachment", namespaced=False, subresources=(STATUS,), has_generation=False),
        Resource(
            kind="VolumeAttributesClass",
            plural="volumeattributesclasses",
            namespaced=False,
            short_names=("vac",),
            has_generation=False,
        ),
    ),
)
