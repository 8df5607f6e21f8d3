"""What this scheduler cannot decide on is refused by name: a pod placed without regard to it would be placed wrong.

Persistent volumes tie a pod to nodes, and resource claims to devices. Neither is looked at yet.
"""

from collections.abc import Iterator

from kaa.scheduler.framework import Plugin, Rejection
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot


def reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    for need in needs(pod):
        yield Rejection(snapshot.present, f"node(s) not considered: the scheduler does not support {need}", False)


def needs(pod: PodInfo) -> Iterator[str]:
    if any("persistentVolumeClaim" in volume for volume in pod.volumes):
        yield "persistent volume claims"
    if any("ephemeral" in volume for volume in pod.volumes):
        yield "ephemeral volumes"
    if pod.resource_claims:
        yield "resource claims"


PLUGIN = Plugin(name="Unsupported", reject=reject)
