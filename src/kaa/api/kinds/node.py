"""The node.k8s.io group."""

from kaa.api import printing
from kaa.api.resource import GroupVersion, Resource

V1 = GroupVersion(
    "node.k8s.io",
    "v1",
    (
        Resource(
            kind="RuntimeClass",
            columns=printing.cluster.RUNTIME_CLASS,
            plural="runtimeclasses",
            namespaced=False,
            has_generation=False,
        ),
    ),
)
