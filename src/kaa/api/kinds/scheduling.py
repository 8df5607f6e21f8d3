"""The scheduling.k8s.io group."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import GroupVersion, Resource

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
