"""The policy group."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import STATUS, GroupVersion, Resource
from kaa.api.validation.walker import validator

V1 = GroupVersion(
    "policy",
    "v1",
    (
        Resource(
            kind="PodDisruptionBudget",
            columns=printing.workloads.POD_DISRUPTION_BUDGET,
            defaults=defaults.workloads.POD_DISRUPTION_BUDGET,
            validate=validator(validation.workloads.POD_DISRUPTION_BUDGET),
            validate_update=validation.workloads.validate_disruption_budget_update,
            short_names=("pdb",),
            subresources=(STATUS,),
        ),
    ),
)
