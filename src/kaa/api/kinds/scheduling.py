"""The scheduling.k8s.io group."""

from kaa.api.resource import GroupVersion, Resource

V1 = GroupVersion(
    "scheduling.k8s.io",
    "v1",
    (Resource(kind="PriorityClass", plural="priorityclasses", namespaced=False, short_names=("pc",)),),
)
