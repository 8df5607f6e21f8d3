"""Defaults of volumes, claims and their classes."""

from kaa.api.defaults.pods import CLAIM_SPEC, VOLUME_SOURCE, canonical_map
from kaa.api.defaults.walker import EMPTY, compile_defaults, created
from kaa.api.objects import Object

PERSISTENT_VOLUME = compile_defaults(
    {
        "spec": created(
            VOLUME_SOURCE
            | {
                "persistentVolumeReclaimPolicy": "Retain",
                "volumeMode": "Filesystem",
                "": canonical_map("capacity"),
            }
        ),
        "status": created({"phase": "Pending"}),
    }
)

PERSISTENT_VOLUME_CLAIM = compile_defaults(
    {
        "spec": created(CLAIM_SPEC),
        "status": created({"phase": "Pending", "": canonical_map("capacity")}),
    }
)

STORAGE_CLASS = compile_defaults({"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})


def lifecycle_modes(spec: Object) -> list[str]:
    return ["Persistent"]


CSI_DRIVER = compile_defaults(
    {
        "spec": created(
            {
                "attachRequired": True,
                "podInfoOnMount": False,
                "storageCapacity": False,
                "fsGroupPolicy": "ReadWriteOnceWithFSType",
                "requiresRepublish": False,
                "seLinuxMount": False,
                "preventPodSchedulingIfMissing": False,
                "volumeLifecycleModes": lifecycle_modes,
            }
        )
    }
)
CSI_NODE = compile_defaults({"spec": created({"": lambda spec: spec.setdefault("drivers", None)})})
VOLUME_ATTACHMENT = compile_defaults({"spec": EMPTY, "status": created({"attached": False})})
