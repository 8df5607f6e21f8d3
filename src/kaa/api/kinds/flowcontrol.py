"""The flowcontrol.apiserver.k8s.io group: which requests wait for which."""

from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "flowcontrol.apiserver.k8s.io",
    "v1",
    (
        Resource(kind="FlowSchema", namespaced=False, subresources=(STATUS,)),
        Resource(kind="PriorityLevelConfiguration", namespaced=False, subresources=(STATUS,)),
    ),
)
