"""The node.k8s.io group."""

from kaa.api.printing import cluster
from kaa.api.resource import GroupVersion, Resource

V1 = GroupVersion(
    "node.k8s.io",
    "v1",
    (
        Resource(
            kind="RuntimeClass",
            columns=cluster.RUNTIME_CLASS,
            plural="runtimeclasses",
            namespaced=False,
            has_generation=False,
        ),
    ),
)
