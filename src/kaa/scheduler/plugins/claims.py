"""Which persistent volume claims a pod has. A volume names one, or is *ephemeral*: then one is made for the pod alone.

Claims, volumes and classes are looked up by name in the snapshot's view when a pod that has any is decided on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kaa.api.objects import Object, annotations_of, controller_of
from kaa.api.volume_binding import BIND_COMPLETED, class_of, waits_for_consumer
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import View

CLAIM = "PersistentVolumeClaim"
VOLUME = "PersistentVolume"
CLASS = "StorageClass"


@dataclass(frozen=True, slots=True)
class ClaimName:
    name: str
    ephemeral: bool = False


def claim_names(pod: PodInfo) -> Iterator[ClaimName]:
    for volume in pod.volumes:
        if "persistentVolumeClaim" in volume:
            yield ClaimName(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            yield ClaimName(f"{pod.name}-{volume['name']}", ephemeral=True)


def named_claims(pod: PodInfo) -> list[str]:
    """Those that the pod names itself, and so may share with others."""
    return [claim.name for claim in claim_names(pod) if not claim.ephemeral]


def is_of_pod(claim: Object, pod: PodInfo) -> bool:
    """Whether an ephemeral volume's claim was made for this very pod."""
    owner = controller_of(claim)
    return owner is not None and owner.get("uid") == pod.uid


def volume_name(claim: Object) -> str:
    name: str = claim["spec"].get("volumeName") or ""
    return name


def is_bound(claim: Object) -> bool:
    """To a volume, and both say so."""
    return bool(volume_name(claim)) and BIND_COMPLETED in annotations_of(claim)


def waits(claim: Object, view: View) -> bool:
    """Whether the claim is to be bound once a node is chosen; others are bound without us."""
    return not volume_name(claim) and waits_for_consumer(view.get(CLASS, class_of(claim)))


def not_found(kind: str, name: str) -> str:
    return f'{kind} "{name}" not found'
