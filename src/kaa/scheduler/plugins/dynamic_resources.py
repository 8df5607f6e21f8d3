"""DynamicResources: devices that pods claim. Not supported: such a pod would be placed without regard to them."""

from collections.abc import Iterator

from kaa.scheduler.framework import Plugin, Rejection, reject_pod
from kaa.scheduler.pod_info import PodInfo
from kaa.scheduler.snapshot import Snapshot

UNSUPPORTED = "pod claims resources: this scheduler does not support dynamic resource allocation"


def pre_reject(pod: PodInfo, snapshot: Snapshot) -> Iterator[Rejection]:
    if pod.resource_claims:
        yield reject_pod(snapshot, UNSUPPORTED)


PLUGIN = Plugin(name="DynamicResources", pre_reject=pre_reject)
