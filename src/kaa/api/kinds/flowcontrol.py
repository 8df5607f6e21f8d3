"""The flowcontrol.apiserver.k8s.io group: which requests wait for which."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import STATUS, GroupVersion, Resource

V1 = GroupVersion(
    "flowcontrol.apiserver.k8s.io",
    "v1",
    (
        Resource(
            kind="FlowSchema",
            columns=printing.policy.FLOW_SCHEMA,
            defaults=defaults.extensions.FLOW_SCHEMA,
            validate=validation.flow_control.validate_flow_schema,
            namespaced=False,
            subresources=(STATUS,),
        ),
        Resource(
            kind="PriorityLevelConfiguration",
            columns=printing.policy.PRIORITY_LEVEL,
            defaults=defaults.extensions.PRIORITY_LEVEL,
            validate=validation.flow_control.validate_priority_level,
            namespaced=False,
            subresources=(STATUS,),
        ),
    ),
)
