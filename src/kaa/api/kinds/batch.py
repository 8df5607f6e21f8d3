"""The batch group: work that ends."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import STATUS, GroupVersion, Resource
from kaa.api.strategies.workloads import prepare_job_for_create
from kaa.api.validation.walker import validator

V1 = GroupVersion(
    "batch",
    "v1",
    (
        Resource(
            kind="CronJob",
            columns=printing.workloads.CRON_JOB,
            defaults=defaults.workloads.CRON_JOB,
            name_rule=validation.workloads.cron_job_name,
            validate=validator(validation.workloads.CRON_JOB),
            short_names=("cj",),
            categories=("all",),
            subresources=(STATUS,),
        ),
        Resource(
            kind="Job",
            prepare_for_create=prepare_job_for_create,
            validate=validation.workloads.validate_job,
            validate_update=validation.workloads.validate_job_update,
            columns=printing.workloads.JOB,
            defaults=defaults.workloads.JOB,
            categories=("all",),
            subresources=(STATUS,),
            selectable_fields=("status.successful",),
        ),
    ),
)
