"""The batch group: work that ends."""

from kaa.api import defaults, printing
from kaa.api.resource import STATUS, GroupVersion, Resource
from kaa.api.strategies.workloads import prepare_job_for_create

V1 = GroupVersion(
    "batch",
    "v1",
    (
        Resource(
            kind="CronJob",
            columns=printing.workloads.CRON_JOB,
            defaults=defaults.workloads.CRON_JOB,
            short_names=("cj",),
            categories=("all",),
            subresources=(STATUS,),
        ),
        Resource(
            kind="Job",
            prepare_for_create=prepare_job_for_create,
            columns=printing.workloads.JOB,
            defaults=defaults.workloads.JOB,
            categories=("all",),
            subresources=(STATUS,),
            selectable_fields=("status.successful",),
        ),
    ),
)
