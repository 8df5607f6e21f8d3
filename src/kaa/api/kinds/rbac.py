"""The rbac.authorization.k8s.io group: who may do what."""

from kaa.api import defaults, printing, validation
from kaa.api.resource import GroupVersion, Resource
from kaa.api.validation.names import path_segment
from kaa.api.validation.walker import validator

V1 = GroupVersion(
    "rbac.authorization.k8s.io",
    "v1",
    (
        Resource(
            kind="ClusterRoleBinding",
            columns=printing.policy.ROLE_BINDING,
            defaults=defaults.cluster.ROLE_BINDING,
            name_rule=path_segment,
            validate=validation.cluster.validate_binding,
            validate_update=validation.cluster.validate_binding_update,
            namespaced=False,
            has_generation=False,
        ),
        Resource(
            kind="ClusterRole",
            columns=printing.policy.ROLE,
            defaults=defaults.cluster.ROLE,
            name_rule=path_segment,
            validate=validator(validation.cluster.CLUSTER_ROLE),
            namespaced=False,
            has_generation=False,
        ),
        Resource(
            kind="RoleBinding",
            columns=printing.policy.ROLE_BINDING,
            defaults=defaults.cluster.ROLE_BINDING,
            name_rule=path_segment,
            validate=validation.cluster.validate_binding,
            validate_update=validation.cluster.validate_binding_update,
            has_generation=False,
        ),
        Resource(
            kind="Role",
            columns=printing.policy.ROLE,
            defaults=defaults.cluster.ROLE,
            name_rule=path_segment,
            validate=validator(validation.cluster.ROLE),
            has_generation=False,
        ),
    ),
)
