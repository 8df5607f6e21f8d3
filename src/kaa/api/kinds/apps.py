"""The apps group: workloads that keep pods running."""

from kaa.api import defaults, printing
from kaa.api.resource import SCALE, STATUS, GroupVersion, Resource
from kaa.api.strategies.workloads import prepare_deployment_for_update

V1 = GroupVersion(
    "apps",
    "v1",
    (
        Resource(kind="ControllerRevision", columns=printing.workloads.CONTROLLER_REVISION, has_generation=False),
        Resource(
            kind="DaemonSet",
            columns=printing.workloads.DAEMON_SET,
            defaults=defaults.workloads.DAEMON_SET,
            short_names=("ds",),
            categories=("all",),
            subresources=(STATUS,),
        ),
        Resource(
            kind="Deployment",
            prepare_for_update=prepare_deployment_for_update,
            columns=printing.workloads.DEPLOYMENT,
            defaults=defaults.workloads.DEPLOYMENT,
            short_names=("deploy",),
            categories=("all",),
            subresources=(SCALE, STATUS),
        ),
        Resource(
            kind="ReplicaSet",
            columns=printing.workloads.REPLICA_SET,
            defaults=defaults.workloads.REPLICA_SET,
            short_names=("rs",),
            categories=("all",),
            subresources=(SCALE, STATUS),
            selectable_fields=("status.replicas",),
        ),
        Resource(
            kind="StatefulSet",
            columns=printing.workloads.STATEFUL_SET,
            defaults=defaults.workloads.STATEFUL_SET,
            short_names=("sts",),
            categories=("all",),
            subresources=(SCALE, STATUS),
        ),
    ),
)
