"""The scheduling.k8s.io group."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "scheduling.k8s.io",
    "v1",
    (
        Resource(
            kind="PriorityClass",
            columns=printing.cluster.PRIORITY_CLASS,
            defaults=defaults.cluster.PRIORITY_CLASS,
            validate=validation.cluster.validate_priority_class,
            validate_update=validation.cluster.validate_priority_class_update,
            plural="priorityclasses",
            namespaced=False,
            short_names=("pc",),
        ),
    ),
)

V1BETA1 = GroupVersion(
    "scheduling.k8s.io",
    "v1beta1",
    (
        Resource(
            kind="PodGroup",
            validate=validation.scheduling.validate_pod_group,
            validate_update=validation.scheduling.validate_pod_group_update,
            subresources=(STATUS,),
        ),
        Resource(kind="Workload", validate=validation.scheduling.validate_workload),
    ),
)
"""Groups of pods that are scheduled together. A Workload is what controllers make them from."""
