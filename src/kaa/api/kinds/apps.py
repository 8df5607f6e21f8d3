"""The apps group: workloads that keep pods running."""

from kaa.api.resource import SCALE, STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "apps",
    "v1",
    (
        Resource(kind="ControllerRevision", has_generation=False),
        Resource(kind="DaemonSet", short_names=("ds",), categories=("all",), subresources=(STATUS,)),
        Resource(kind="Deployment", short_names=("deploy",), categories=("all",), subresources=(SCALE, STATUS)),
        Resource(
            kind="ReplicaSet",
            short_names=("rs",),
            categories=("all",),
            subresources=(SCALE, STATUS),
            selectable_fields=("status.replicas",),
        ),
        Resource(kind="StatefulSet", short_names=("sts",), categories=("all",), subresources=(SCALE, STATUS)),
    ),
)
