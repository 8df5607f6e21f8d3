"""The autoscaling group. Objects are stored as v2; v1 knows one metric, the CPU's utilization."""

from kaa.api import defaults, printing, validation
from kaa.api.conversions.autoscaling import from_v2, to_v2
from kaa.api.resource import STATUS, GroupVersion, Resource
from kaa.api.validation.walker import validator

V2 = GroupVersion(
    "autoscaling",
    "v2",
    (
        Resource(
            kind="HorizontalPodAutoscaler",
            columns=printing.workloads.HPA_V2,
            defaults=defaults.workloads.HPA_V2,
            validate=validator(validation.workloads.HORIZONTAL_POD_AUTOSCALER),
            short_names=("hpa",),
            categories=("all",),
            subresources=(STATUS,),
        ),
    ),
)

V1 = GroupVersion(
    "autoscaling",
    "v1",
    (
        Resource(
            kind="HorizontalPodAutoscaler",
            columns=printing.workloads.HPA_V1,
            defaults=defaults.workloads.HPA_V1,
            validate=validator(validation.workloads.HORIZONTAL_POD_AUTOSCALER),
            short_names=("hpa",),
            categories=("all",),
            subresources=(STATUS,),
            storage_version="v2",
            to_storage=to_v2,
            from_storage=from_v2,
        ),
    ),
)
