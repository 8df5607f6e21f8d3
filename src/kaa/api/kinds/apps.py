"""The apps group: workloads that keep pods running."""

from kaa.api.printing import workloads
from kaa.api.resource import SCALE, STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "apps",
    "v1",
    (
        Resource(kind="ControllerRevision", columns=workloads.CONTROLLER_REVISION, has_generation=False),
        Resource(
            kind="DaemonSet",
            columns=workloads.DAEMON_SET,
            short_names=("ds",),
            categories=("all",),
            subresources=(STATUS,),
        ),
        Resource(
            kind="Deployment",
            columns=workloads.DEPLOYMENT,
            short_names=("deploy",),
            categories=("all",),
            subresources=(SCALE, STATUS),
        ),
        Resource(
            kind="ReplicaSet",
            columns=workloads.REPLICA_SET,
            short_names=("rs",),
            categories=("all",),
            subresources=(SCALE, STATUS),
            selectable_fields=("status.replicas",),
        ),
        Resource(
            kind="StatefulSet",
            columns=workloads.STATEFUL_SET,
            short_names=("sts",),
            categories=("all",),
            subresources=(SCALE, STATUS),
        ),
    ),
)
