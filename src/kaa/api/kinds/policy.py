"""The policy group."""

from kaa.api.printing import workloads
from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "policy",
    "v1",
    (
        Resource(
            kind="PodDisruptionBudget",
            columns=workloads.POD_DISRUPTION_BUDGET,
            short_names=("pdb",),
            subresources=(STATUS,),
        ),
    ),
)
