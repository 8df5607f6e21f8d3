"""The storage.k8s.io group."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import STATUS, GroupVersion, Resource
from kaa.api.validation.walker import validator

V1 = GroupVersion(
    "storage.k8s.io",
    "v1",
    (
        Resource(
            kind="CSIDriver",
            columns=printing.storage.CSI_DRIVER,
            validate=validator(validation.csi.DRIVER),
            validate_update=validation.csi.validate_driver_update,
            defaults=defaults.storage.CSI_DRIVER,
            namespaced=False,
            has_generation=False,
        ),
        Resource(
            kind="CSINode",
            columns=printing.storage.CSI_NODE,
            validate=validator(validation.csi.NODE),
            validate_update=validation.csi.validate_node_update,
            defaults=defaults.storage.CSI_NODE,
            namespaced=False,
            subresources=(STATUS,),
            has_generation=False,
        ),
        Resource(
            kind="CSIStorageCapacity",
            columns=printing.storage.CSI_STORAGE_CAPACITY,
            validate=validator(validation.csi.STORAGE_CAPACITY),
            validate_update=validation.csi.validate_storage_capacity_update,
            plural="csistoragecapacities",
            has_generation=False,
        ),
        Resource(
            kind="StorageClass",
            columns=printing.storage.STORAGE_CLASS,
            defaults=defaults.storage.STORAGE_CLASS,
            validate=validator(validation.storage.STORAGE_CLASS),
            validate_update=validation.storage.validate_storage_class_update,
            plural="storageclasses",
            namespaced=False,
            short_names=("sc",),
            has_generation=False,
        ),
        Resource(
            kind="VolumeAttachment",
            columns=printing.storage.VOLUME_ATTACHMENT,
            validate=validator(validation.csi.VOLUME_ATTACHMENT),
            validate_update=validation.csi.validate_volume_attachment_update,
            defaults=defaults.storage.VOLUME_ATTACHMENT,
            namespaced=False,
            subresources=(STATUS,),
            has_generation=False,
        ),
        Resource(
            kind="VolumeAttributesClass",
            columns=printing.storage.VOLUME_ATTRIBUTES_CLASS,
            validate=validator(validation.csi.VOLUME_ATTRIBUTES_CLASS),
            validate_update=validation.csi.validate_volume_attributes_class_update,
            plural="volumeattributesclasses",
            namespaced=False,
            short_names=("vac",),
            has_generation=False,
        ),
    ),
)
