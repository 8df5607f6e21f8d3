"""The batch group: work that ends."""

from kaa.api.printing import workloads
from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "batch",
    "v1",
    (
        Resource(
            kind="CronJob", columns=workloads.CRON_JOB, short_names=("cj",), categories=("all",), subresources=(STATUS,)
        ),
        Resource(
            kind="Job",
            columns=workloads.JOB,
            categories=("all",),
            subresources=(STATUS,),
            selectable_fields=("status.successful",),
        ),
    ),
)
