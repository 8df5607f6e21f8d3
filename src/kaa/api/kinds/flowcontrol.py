"""The flowcontrol.apiserver.k8s.io group: which requests wait for which."""

from kaa.api.printing import policy
from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "flowcontrol.apiserver.k8s.io",
    "v1",
    (
        Resource(kind="FlowSchema", columns=policy.FLOW_SCHEMA, namespaced=False, subresources=(STATUS,)),
        Resource(
            kind="PriorityLevelConfiguration", columns=policy.PRIORITY_LEVEL, namespaced=False, subresources=(STATUS,)
        ),
    ),
)
