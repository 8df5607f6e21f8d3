"""The apps group: workloads that keep pods running."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import SCALE, STATUS, GroupVersion, Resource
from kaa.api.strategies.workloads import (
    prepare_daemon_set_for_create,
    prepare_daemon_set_for_update,
    prepare_deployment_for_update,
)
from kaa.api.validation.names import dns_label
from kaa.api.validation.walker import unchanged, validator

V1 = GroupVersion(
    "apps",
    "v1",
    (
        Resource(
            kind="ControllerRevision",
            columns=printing.workloads.CONTROLLER_REVISION,
            validate=validator(validation.workloads.CONTROLLER_REVISION),
            validate_update=unchanged("data"),
            has_generation=False,
        ),
        Resource(
            kind="DaemonSet",
            columns=printing.workloads.DAEMON_SET,
            prepare_for_create=prepare_daemon_set_for_create,
            prepare_for_update=prepare_daemon_set_for_update,
            defaults=defaults.workloads.DAEMON_SET,
            validate=validator(validation.workloads.DAEMON_SET),
            validate_update=unchanged("spec.selector"),
            short_names=("ds",),
            categories=("all",),
            subresources=(STATUS,),
        ),
        Resource(
            kind="Deployment",
            prepare_for_update=prepare_deployment_for_update,
            validate=validator(validation.workloads.DEPLOYMENT),
            validate_update=unchanged("spec.selector"),
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
            validate=validator(validation.workloads.REPLICA_SET),
            validate_update=unchanged("spec.selector"),
            short_names=("rs",),
            categories=("all",),
            subresources=(SCALE, STATUS),
            selectable_fields=("status.replicas",),
        ),
        Resource(
            kind="StatefulSet",
            columns=printing.workloads.STATEFUL_SET,
            defaults=defaults.workloads.STATEFUL_SET,
            name_rule=dns_label,
            validate=validator(validation.workloads.STATEFUL_SET),
            validate_update=validation.workloads.validate_stateful_set_update,
            short_names=("sts",),
            categories=("all",),
            subresources=(SCALE, STATUS),
        ),
    ),
)
