"""The node.k8s.io group."""

from kaa.api.resource import GroupVersion, Resource

V1 = GroupVersion(
    "node.k8s.io",
    "v1",
    (Resource(kind="RuntimeClass", plural="runtimeclasses", namespaced=False, has_generation=False),),
)
