"""The scheduling.k8s.io group."""

from kaa.api import defaults, printing
from kaa.api.resource import GroupVersion, Resource

V1 = GroupVersion(
    "scheduling.k8s.io",
    "v1",
    (
        Resource(
            kind="PriorityClass",
            columns=printing.cluster.PRIORITY_CLASS,
            defaults=defaults.cluster.PRIORITY_CLASS,
            plural="priorityclasses",
            namespaced=False,
            short_names=("pc",),
        ),
    ),
)
