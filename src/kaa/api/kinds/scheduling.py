"""The scheduling.k8s.io group."""

from kaa.api.printing import cluster
from kaa.api.resource import GroupVersion, Resource

V1 = GroupVersion(
    "scheduling.k8s.io",
    "v1",
    (
        Resource(
            kind="PriorityClass",
            columns=cluster.PRIORITY_CLASS,
            plural="priorityclasses",
            namespaced=False,
            short_names=("pc",),
        ),
    ),
)
